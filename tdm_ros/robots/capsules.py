"""Body of the arm as capsules, and the distances between its parts."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robots.kinematics import HEAD_LIFT_M

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Capsule(NamedTuple):
    """Collision capsule in its link's frame: end points [m], radius [m] and contact group."""

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

PEDESTAL = Capsule((-0.02, 0, -0.6, -0.02, 0, -0.16), 0.18, "static")
"""In frame base. Its round upper end is 2 cm above that of the robot."""

FAR_M = 1e3

FREE = 3
"""Capsules at least this many joints apart are checked; nearer ones overlap by construction in some postures."""


class Body(NamedTuple):
    """All capsules as arrays, S of them."""

    joints: Indices
    """(S,): number of joints that move the capsule: 0 for base and pedestal, 1 for right_l0 and head, 7 for
    right_l6."""
    ends_m: Array
    """(S, 2, 3) [m]: end points in the frame of the last of these joints (of the base for 0)."""
    radius_m: Array
    """(S,) [m]"""


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
"""Moving capsules: right_l1 to right_l6. (Base, right_l0 and the head only rotate about themselves.)"""

PAIRS = np.array([p for p in combinations(range(len(BODY.joints)), 2) if abs(np.diff(BODY.joints[list(p)])[0]) >= FREE])
_NEAR, _FAR = PAIRS[np.arange(len(PAIRS))[:, None], np.argsort(BODY.joints[PAIRS], axis=1)].T
"""Per pair: the capsule nearer to the base, and the other one."""

_POINT = np.concatenate([_FAR, _FAR, _NEAR, _NEAR]), np.repeat([0, 1, 0, 1], len(PAIRS))
_SEGMENT = np.concatenate([_NEAR, _NEAR, _FAR, _FAR])
_SIGN = np.repeat([1.0, 1.0, -1.0, -1.0], len(PAIRS))[:, None]
"""Four end points per pair, the segment that each is compared with, and the sign of the outward direction."""

_RADII_M = np.tile(BODY.radius_m[_NEAR] + BODY.radius_m[_FAR], 5)
BETWEEN = np.tile((BODY.joints[_NEAR][:, None] <= np.arange(7)) & (np.arange(7) < BODY.joints[_FAR][:, None]), (5, 1))
"""Joints, (5 P, 7) bool, that change the distance of a pair, at the five places of `Gaps`."""


def capsule_ends(frames: Array) -> Array:
    """End points of all capsules in frame base: link frames, (8, 4, 4), of `kinematics` -> (S, 2, 3) [m]."""
    base_first = np.concatenate([np.eye(4)[None], frames])[BODY.joints]
    ends: Array = BODY.ends_m @ base_first[:, :3, :3].transpose(0, 2, 1) + base_first[:, None, :3, 3]
    return ends


class Gaps(NamedTuple):
    """Distances between parts of the arm, at five places for each of P pairs.

    Four places are the ends of a pair with the nearest point of the other capsule (with parallel capsules the nearest
    point alone would jump from end to end); the fifth is the place where the two cross, if they do.
    """

    gap_m: Array
    """(5 P,) [m]: distance of the surfaces; negative where they overlap, about FAR_M without a crossing."""
    place_m: Array
    """(5 P, 3) [m]: point on the axis of one of them."""
    normal: Array
    """(5 P, 3): unit vector from the capsule nearer to the base to the other one."""


def gaps(ends_m: Array) -> Gaps:
    """Distances between all checked pairs of capsules: end points, (S, 2, 3) [m], in frame base."""
    start, along = ends_m[:, 0], ends_m[:, 1] - ends_m[:, 0]
    length2 = dot(along, along)
    point = ends_m[_POINT]
    offset = point - start[_SEGMENT]
    part = np.minimum(np.maximum(dot(offset, along[_SEGMENT]) / length2[_SEGMENT], 0.0), 1.0)
    apart = (offset - part[:, None] * along[_SEGMENT]) * _SIGN
    cross_m, cross_apart = _crossing(start[_NEAR], along[_NEAR], start[_FAR], along[_FAR])
    place, apart = np.concatenate([point, cross_m]), np.concatenate([apart, cross_apart])
    distance = np.sqrt(dot(apart, apart))
    normal = apart / np.maximum(distance, 1e-9)[:, None]
    return Gaps(distance - _RADII_M, place, normal)


def _crossing(a: Array, u: Array, b: Array, v: Array) -> tuple[Array, Array]:
    """Nearest point of segments a..a+u and b..b+v, (P, 3) each, and the vector between them, where inside both.

    Otherwise an end is nearest, and the vector is FAR_M long.
    """
    apart = b - a
    uu, vv, uv, ua, va = dot(u, u), dot(v, v), dot(u, v), dot(u, apart), dot(v, apart)
    down = np.maximum(uu * vv - uv * uv, 1e-12)
    s, t = (vv * ua - uv * va) / down, (uv * ua - uu * va) / down
    within = (s > 0) & (s < 1) & (t > 0) & (t < 1)
    place = b + np.where(within, t, 0.0)[:, None] * v
    return place, np.where(within[:, None], place - a - s[:, None] * u, FAR_M)


def dot(a: Array, b: Array) -> Array:
    """Scalar products of N vectors, (N, 3), (N, 3) -> (N,)."""
    product: Array = np.einsum("nx,nx->n", a, b)
    return product
