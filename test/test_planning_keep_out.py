"""Keep-out boxes: which straight ways cross them, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.planning import KeepOut

BOX = KeepOut(np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]]), (0, 1, 2))


def test_crosses_agrees_with_points_along_the_way():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(-1, 1, (4, 2, 3)), axis=1)
    keep_out = KeepOut(corners, (0, 2, 3))
    start, end = rng.uniform(-1.5, 1.5, (2, 300, 4))
    along = start[:, None] + np.linspace(0, 1, 2001)[:, None] * (end - start)[:, None]
    touched = keep_out.contains(along, 0.1).any(axis=1)
    crosses = keep_out.crosses(start, end, 0.1)
    assert 0.2 < crosses.mean() < 0.9
    assert not (touched & ~crosses).any(), "a way that is inside somewhere crosses"
    assert (touched == crosses).mean() > 0.99, "and the other way round, but for corners that are just cut"


def test_crosses_a_way_along_a_face_only_touches():
    assert not BOX.crosses([-1, 0.5, 1.0], [2, 0.5, 1.0])
    assert BOX.crosses([-1, 0.5, 0.99], [2, 0.5, 0.99])


def test_crosses_a_point_that_stands_still_is_judged_by_where_it_is():
    assert BOX.crosses([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    assert not BOX.crosses([1.5, 0.5, 0.5], [1.5, 0.5, 0.5])


def test_crosses_the_way_out_of_a_box_may_be_taken_the_way_through_not():
    inside, outside = [0.5, 0.5, 0.9], [0.5, 0.5, 2.0]
    assert BOX.crosses(inside, outside)
    assert not BOX.crosses(inside, outside, may_leave=True)
    assert BOX.crosses(inside, [0.5, 0.5, 0.8], may_leave=True), "it ends inside"
    assert BOX.crosses([-1, 0.5, 0.5], [2, 0.5, 0.5], may_leave=True), "it does not start inside"


def test_depth_is_positive_exactly_where_a_way_crosses():
    rng = np.random.default_rng(1)
    start, end = rng.uniform(-1, 2, (2, 500, 3))
    assert ((BOX.depth(start, end, 0.1) > 0) == BOX.crosses(start, end, 0.1)).all()


def test_depth_is_how_far_a_way_must_be_moved():
    assert BOX.depth([-1, 0.5, 0.9], [2, 0.5, 0.9]) == pytest.approx(0.1)
    assert BOX.depth([-1, 0.5, 0.9], [2, 0.5, 0.9], 0.05) == pytest.approx(0.15)
    assert BOX.depth([-1, 0.5, 0.5], [0.2, 0.5, 0.5]) == pytest.approx(0.2), "its end is to be pulled back"


def test_clearance_is_the_margin_at_which_a_point_is_touched():
    assert BOX.clearance([0.5, 0.5, 1.2]) == pytest.approx(0.2)
    assert BOX.clearance([0.5, 0.5, 0.9]) == pytest.approx(-0.1)
    assert KeepOut().clearance([0.0, 0.0]) == np.inf


def test_empty_set_keeps_nothing_out():
    assert not KeepOut().crosses(np.zeros((3, 2)), np.ones((3, 2))).any()
    assert (KeepOut().depth(np.zeros((3, 2)), np.ones((3, 2))) == 0).all()
    assert len(KeepOut()) == 0


def test_infinite_box_is_a_half_space():
    half = KeepOut(np.array([[[-np.inf, -np.inf], [np.inf, 0.0]]]), (0, 1))
    assert half.crosses([0, 1], [0, -1]) and not half.crosses([-5, 1], [5, 0.5])
    assert half.depth([0, 1], [0, -0.2]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("boxes", "what"),
    [
        (np.zeros((1, 2, 3)), "shape"),
        (np.array([[[1.0, 0], [0, 1]]]), "lower corner below its upper"),
        (np.array([[[np.nan, 0], [0, 1]]]), "lower corner below its upper"),
    ],
)
def test_boxes_that_make_no_sense_are_rejected(boxes, what):
    with pytest.raises(ValueError, match=what):
        KeepOut(boxes, (0, 1))
