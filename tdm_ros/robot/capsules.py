"""The arm's body as capsules, and how far its parts are from each other."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robot.kinematics import HEAD_LIFT_M

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Capsule(NamedTuple):
    """A collision capsule in its link's frame: end points [m], radius [m] and which group it belongs to."""

    ends_m: tuple[float, ...]
    radius_m: float
    group: str


CAPSULES: dict[str, tuple[Capsule, ...]] = {
    "right_arm_base_link": (Capsule((0, 0, 0, 0, 0, 0.2), 0.08, "body"),),
    "right_l0": (Capsule((0, 0, 0.0, 0, 0, 0.25), 0.07, "body"),),
    "head": (Capsule((0, -0.06, 0.1, 0, 0.06, 0.1), 0.09, "body"),),
    "right_l1": (Capsule((0, 0, -0.06, 0, 0, 0.13), 0.068, "body"),),
    "right_l2": (Capsule((0, 0, -0.15, 0, 0, 0.26), 0.055, "upper"),),
    "right_l3": (Capsule((0, 0, -0.115, 0, 0, 0.03), 0.055, "elbow"),),
    "right_l4": (Capsule((0, 0, -0.13, 0, 0, 0.27), 0.045, "elbow"),),
    "right_l5": (
        Capsule((0, 0, -0.02, 0, 0, 0.1), 0.045, "wrist"),
        Capsule((0, 0, 0.105, 0, -0.082, 0.105), 0.045, "wrist"),
    ),
    "right_l6": (Capsule((0, 0, -0.02, 0, 0, 0.0), 0.04, "wrist"),),
}
"""Source: the capsules of the MuJoCo Menagerie model (numbers only); base, head and hand simplified here."""

PEDESTAL = Capsule((-0.02, 0, -0.6, -0.02, 0, -0.16), 0.18, "room")
"""In frame base. Its upper end is round, so that it is 2 cm above the true one."""

FREE = 3
"""Links that are this many joints apart may touch; nearer ones overlap by construction, in some or all postures."""


class Body(NamedTuple):
    """All capsules as arrays, S of them.

    Parameters
    ----------
    joints : (S,) int
        How many joints move the capsule: 0 for base and pedestal, 1 for right_l0 and the head, 7 for right_l6.
    ends_m : (S, 2, 3) float64 [m]
        In the frame of the last of these joints (of the base, if there is none).
    radius_m : (S,) float64 [m]
    """

    joints: Indices
    ends_m: Array
    radius_m: Array


def _body() -> Body:
    lifted = {"right_arm_base_link": (0, 0.0), "head": (1, HEAD_LIFT_M)}
    joints, ends, radii = [0], [PEDESTAL.ends_m], [PEDESTAL.radius_m]
    for link, capsules in CAPSULES.items():
        joint, lift_m = lifted.get(link) or (int(link[-1]) + 1, 0.0)
        for capsule in capsules:
            joints.append(joint)
            ends.append(tuple(np.add(capsule.ends_m, [0, 0, lift_m] * 2)))
            radii.append(capsule.radius_m)
    return Body(np.array(joints), np.reshape(ends, (-1, 2, 3)).astype(float), np.array(radii))


BODY = _body()
LINKS = np.flatnonzero(BODY.joints > 1)
"""Capsules that swing: right_l1 to right_l6. (Base, right_l0 and the head only turn about themselves.)"""

PAIRS = np.array([p for p in combinations(range(len(BODY.joints)), 2) if abs(np.diff(BODY.joints[list(p)])[0]) >= FREE])
_NEAR, _FAR = PAIRS[np.arange(len(PAIRS))[:, None], np.argsort(BODY.joints[PAIRS], axis=1)].T
"""Of each pair: the capsule nearer to the base, and the one that moves against it."""


def placed(frames: Array) -> Array:
    """End points of all capsules in frame base: link frames, (8, 4, 4), as of `kinematics` -> (S, 2, 3) [m]."""
    base_first = np.concatenate([np.eye(4)[None], frames])[BODY.joints]
    ends: Array = BODY.ends_m @ base_first[:, :3, :3].transpose(0, 2, 1) + base_first[:, None, :3, 3]
    return ends


class Gaps(NamedTuple):
    """Free space between parts of the arm, five places for each of P pairs.

    A pair's nearest places, and each of the four ends with what of the other capsule is nearest to it: where capsules
    lie side by side, the nearest place jumps from end to end.

    Parameters
    ----------
    gap_m : (5 P,) float64 [m]
        Distance of the surfaces; negative where they overlap.
    place_m : (5 P, 3) float64 [m]
        On the axis of the capsule that moves.
    normal : (5 P, 3) float64
        Unit vector from the other capsule to it.
    first, last : (5 P,) int
        Joints ``first <= i < last`` move the one against the other.
    """

    gap_m: Array
    place_m: Array
    normal: Array
    first: Indices
    last: Indices


def gaps(ends_m: Array) -> Gaps:
    """Free space between all pairs of capsules that may touch: end points, (S, 2, 3) [m], in frame base."""
    a, b = ends_m[_NEAR], ends_m[_FAR]
    along_a, along_b = a[:, 1] - a[:, 0], b[:, 1] - b[:, 0]
    s, t = _nearest(a[:, 0], along_a, b[:, 0], along_b)
    zero, one = np.zeros(len(a)), np.ones(len(a))
    on_a = np.stack([s, zero, one, *(_foot(b[:, i], a[:, 0], along_a) for i in (0, 1))])[..., None]
    on_b = np.stack([t, *(_foot(a[:, i], b[:, 0], along_b) for i in (0, 1)), zero, one])[..., None]
    place = (b[:, 0] + on_b * along_b).reshape(-1, 3)
    apart = place - (a[:, 0] + on_a * along_a).reshape(-1, 3)
    distance = np.sqrt((apart * apart).sum(axis=1))
    gap = distance - np.tile(BODY.radius_m[_NEAR] + BODY.radius_m[_FAR], 5)
    normal = apart / np.maximum(distance, 1e-9)[:, None]
    return Gaps(gap, place, normal, np.tile(BODY.joints[_NEAR], 5), np.tile(BODY.joints[_FAR], 5))


def _foot(point: Array, start: Array, along: Array) -> Array:
    """Where on segments, (P, 3) each, the place nearest to points, (P, 3), is: (P,), from 0 to 1."""
    foot: Array = np.clip(((point - start) * along).sum(axis=1) / (along * along).sum(axis=1), 0.0, 1.0)
    return foot


def _nearest(a: Array, u: Array, b: Array, v: Array) -> tuple[Array, Array]:
    """Where segments a..a+u and b..b+v, (P, 3) each, are nearest: (P,) and (P,), each from 0 to 1.

    Source: the usual clamped solution of the two linear equations; here a parallel pair takes its first end.
    """
    apart = a - b
    uu, vv, uv = (u * u).sum(axis=1), (v * v).sum(axis=1), (u * v).sum(axis=1)
    down = uu * vv - uv * uv
    s = np.clip((uv * (v * apart).sum(axis=1) - vv * (u * apart).sum(axis=1)) / np.maximum(down, 1e-12), 0.0, 1.0)
    t = _foot(a + s[:, None] * u, b, v)
    return _foot(b + t[:, None] * v, a, u), t


def least_gap_m(frames: Array) -> float:
    """Smallest distance [m] of any two parts that may touch, at link frames (8, 4, 4); negative if they overlap."""
    return float(gaps(placed(frames)).gap_m.min())
