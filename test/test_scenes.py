"""Scenes: keep-out boxes from numbers, and the count of entries."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.control.episodes import EpisodeResult
from tdm_ros.control.timeline import Mode
from tdm_ros.live.run_record import KeepOutStatistics
from tdm_ros.tasks import SCENES
from tdm_ros.tasks.scenes import boxes_of_numbers

HERE, THERE, ABOVE = (0.5, 0.2, 0.2), (0.5, -0.2, 0.2), (0.5, 0.0, 0.5)


def test_boxes_of_numbers_reads_several() -> None:
    boxes = boxes_of_numbers((0, 0, 0, 1, 1, 1, -1, -2, -3, 0, 0, 0.5))
    np.testing.assert_array_equal(boxes, [[[0, 0, 0], [1, 1, 1]], [[-1, -2, -3], [0, 0, 0.5]]])
    assert boxes_of_numbers(()).shape == (0, 2, 3)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (0, 0, 0, 1, -1, 1), (0, 0, 0, 1, 1, np.nan)])
def test_boxes_of_numbers_that_are_no_box_are_rejected(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="keep-out box"):
        boxes_of_numbers(numbers)


def result(mode: Mode, distance_m: float, end: str = "time_limit") -> EpisodeResult:
    return EpisodeResult(1, mode, np.zeros(3, np.float32), np.zeros(3), distance_m, end, "", 0)


def test_kept_out_counts_who_passes_through_a_wall_between_two_states() -> None:
    kept = KeepOutStatistics(SCENES["wall"])
    for ways, mode, distance in (
        ((HERE, THERE), Mode.TRAIN, 0.01),
        ((THERE, ABOVE, HERE), Mode.EVALUATE, 0.01),
        ((HERE, THERE), Mode.EVALUATE, 0.01),
        ((THERE, THERE), Mode.EVALUATE, 0.2),
    ):
        for point in ways:
            kept.on_cycle(1, point)
        kept.on_episode(result(mode, distance))
    for point in (HERE, THERE):
        kept.on_cycle(0, point)  # the drive home belongs to no episode
    kept.on_cycle(2, THERE)
    kept.on_episode(result(Mode.EVALUATE, 0.01, "interrupted"))
    summary = kept.summary()
    assert summary is not None
    assert (summary["evaluated"], summary["evaluated_entered"], summary["evaluated_reached"]) == (3, 1, 1)
    assert (summary["trained"], summary["trained_entered"]) == (1, 1)


def test_kept_out_in_an_open_scene_there_is_nothing_to_say() -> None:
    assert KeepOutStatistics(SCENES["open"]).summary() is None
