"""Body of the arm as capsules, and the distances between its parts."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robots.description import Array, Robot
from tdm_ros.robots.sawyer import SAWYER

Indices = NDArray[np.intp]

FAR_M = 1e3

FREE = 3
"""Capsules at least this many joints apart are checked; nearer ones overlap by construction in some postures."""


class Body(NamedTuple):
    """All capsules of a robot with J joints as arrays, S of them, and the P pairs of them that are checked."""

    joints: Indices
    """(S,): number of joints that move the capsule: 0 for the base, J for the last link."""
    ends_m: Array
    radius_m: Array
    """(S, 2, 3), (S,) [m]: end points in the frame of the last of these joints (of the base for 0), and radii."""
    links: Indices
    moved: NDArray[np.bool_]
    """(L,), (1 + 2 L, J): capsules that more than one joint moves (what the first one moves only rotates about it), and
    joints that move the hand and the ends of these capsules."""
    near: Indices
    far: Indices
    """(P,) each, capsules of a pair: the one nearer to the base, and the other one."""
    point: tuple[Indices, Indices]
    segment: Indices
    sign: Array
    """(4 P,) or (4 P, 1): end points of each pair, the capsule that each is compared with, sign of the way outward."""
    radii_m: Array
    between: NDArray[np.bool_]
    """(5 P,), (5 P, J): sum of both radii, and joints that change the distance, at the five places of `Gaps`."""


@cache
def body(robot: Robot) -> Body:
    """Capsules and pairs of a robot."""
    places = [(*robot.place(capsule.link), np.reshape(capsule.ends_m, (2, 3))) for capsule in robot.capsules]
    ends_m = np.reshape([ends @ frame[:3, :3].T + frame[:3, 3] for _, frame, ends in places], (-1, 2, 3))
    joints = [count for count, *_ in places]
    moved_by, radius_m = np.array(joints, np.intp), np.array([capsule.radius_m for capsule in robot.capsules])
    pairs = [sorted(pair, key=joints.__getitem__) for pair in combinations(range(len(joints)), 2)]
    near, far = np.array([(a, b) for a, b in pairs if joints[b] - joints[a] >= FREE], np.intp).reshape(-1, 2).T
    links, number = np.flatnonzero(moved_by > 1), np.arange(len(robot.joint_names))
    moved = number < np.concatenate([[len(number)], np.repeat(moved_by[links], 2)])[:, None]
    point = np.concatenate([far, far, near, near]), np.repeat([0, 1, 0, 1], len(near))
    segment, sign = np.concatenate([near, near, far, far]), np.repeat([1.0, 1.0, -1.0, -1.0], len(near))[:, None]
    radii_m = np.tile(radius_m[near] + radius_m[far], 5)
    between = np.tile((moved_by[near][:, None] <= number) & (number < moved_by[far][:, None]), (5, 1))
    return Body(moved_by, ends_m, radius_m, links, moved, near, far, point, segment, sign, radii_m, between)


BODY = body(SAWYER)
LINKS = BODY.links
PAIRS = np.sort(np.stack([BODY.near, BODY.far], axis=1))
PEDESTAL, *_OTHERS = SAWYER.capsules
CAPSULES = {link: tuple(c for c in _OTHERS if c.link == link) for link in dict.fromkeys(c.link for c in _OTHERS)}
"""Capsules of Sawyer's links."""


def capsule_ends(frames: Array, of: Body = BODY) -> Array:
    """End points of all capsules in the base frame: frames, (J + 1, 4, 4), of `link_frames` -> (S, 2, 3) [m]."""
    base_first = np.concatenate([np.eye(4)[None], frames])[of.joints]
    ends: Array = of.ends_m @ base_first[:, :3, :3].transpose(0, 2, 1) + base_first[:, None, :3, 3]
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


def gaps(ends_m: Array, of: Body = BODY) -> Gaps:
    """Distances between all checked pairs of capsules: end points, (S, 2, 3) [m], in the base frame."""
    start, along = ends_m[:, 0], ends_m[:, 1] - ends_m[:, 0]
    length2 = np.maximum(dot(along, along), 1e-12)  # that of a sphere is zero
    point = ends_m[of.point]
    offset = point - start[of.segment]
    part = np.minimum(np.maximum(dot(offset, along[of.segment]) / length2[of.segment], 0.0), 1.0)
    apart = (offset - part[:, None] * along[of.segment]) * of.sign
    cross_m, cross_apart = _crossing(start[of.near], along[of.near], start[of.far], along[of.far])
    place, apart = np.concatenate([point, cross_m]), np.concatenate([apart, cross_apart])
    distance = np.sqrt(dot(apart, apart))
    normal = apart / np.maximum(distance, 1e-9)[:, None]
    return Gaps(distance - of.radii_m, place, normal)


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
