"""Distances between parts of the arm, against MuJoCo's and against a fine grid."""

import mujoco
import numpy as np
import pytest

from tdm_ros.robots.capsules import BODY, CAPSULES, PAIRS, PEDESTAL, capsule_ends, gaps, least_gap_m
from tdm_ros.robots.kinematics import link_frames
from tdm_ros.robots.mjcf import sawyer_xml
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD

MODEL = mujoco.MjModel.from_xml_string(sawyer_xml())
DATA = mujoco.MjData(MODEL)


def geoms() -> list[int]:
    """The simulated arm's capsules, in the order of ours: the pedestal first."""
    bodies = [0] + [MODEL.body(link).id for link, shapes in CAPSULES.items() if link != "right_arm_base_link"]
    rest = [g for b in bodies for g in range(MODEL.ngeom) if MODEL.geom_bodyid[g] == b and MODEL.geom_group[g] == 3]
    base = next(g for g in rest if MODEL.geom_size[g][0] == CAPSULES["right_arm_base_link"][0].radius_m)
    swinging = [g for g in rest if MODEL.geom_bodyid[g]]
    return [MODEL.geom("pedestal").id, base, *swinging]


@pytest.mark.parametrize("seed", range(8))
def test_least_gap_random_posture_equals_that_of_mujoco(seed: int) -> None:
    q_rad = np.random.default_rng(seed).uniform(Q_LOWER_RAD, Q_UPPER_RAD)
    DATA.qpos[:7] = q_rad
    mujoco.mj_forward(MODEL, DATA)
    order = {int(j): g for j, g in enumerate(geoms())}
    far = [mujoco.mj_geomDistance(MODEL, DATA, order[a], order[b], 3.0, None) for a, b in PAIRS]
    assert least_gap_m(link_frames(q_rad)) == pytest.approx(min(far), abs=1e-6)


def test_gaps_parallel_and_crossing_capsules_nearest_place_is_found() -> None:
    ends, grid = capsule_ends(link_frames(NEUTRAL_RAD)), np.linspace(0, 1, 201)[:, None]
    rng = np.random.default_rng(1)
    for k in range(20):
        ends = ends + 0.2 * rng.normal(size=ends.shape)
        if k % 2:
            ends[:, 1] = ends[:, 0] + rng.normal(size=3) * 0.3  # all side by side
        assert np.abs(gaps(ends).place_m).max() < 10  # also where parallel axes cross nowhere
        least = gaps(ends).gap_m.reshape(5, -1).min(axis=0)
        for (a, b), gap in zip(PAIRS, least, strict=True):
            on_a, on_b = (e[0] + grid * (e[1] - e[0]) for e in (ends[a], ends[b]))
            apart = np.linalg.norm(on_a[:, None] - on_b[None], axis=2).min()
            assert gap == pytest.approx(apart - BODY.radius_m[[a, b]].sum(), abs=5e-3)


def test_pairs_neighbours_and_their_neighbours_left_out() -> None:
    assert all(abs(BODY.joints[a] - BODY.joints[b]) >= 3 for a, b in PAIRS)
    assert len(PAIRS) == 30
    assert PEDESTAL.radius_m == BODY.radius_m[0]
