"""Layers of the limiter for a real arm: functions that return the part of a velocity command that passes.

A layer returns a factor in [0, 1] for the whole command, so that its direction is kept. Boxes and clearance use one
scheme: `room` is the distance to a bound, and `approach` the speed at which each joint reduces it. Two sums must not
exceed the room divided by `look_ahead_s`, so that the arm slows down smoothly on approach: that over all joints,
SPARE_M before the bound; and, at the bound, that over the approaching joints alone, since joints may move less than
commanded (friction can hold a slow one). As the command continues for `horizon_s` while the arm moves, directions
change; `turn` bounds the resulting increase of the approach.
Zero velocity is always within the bounds of a layer, and so is any fraction of a command that is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from tdm_ros.robots.capsules import Body, body, capsule_ends, dot, gaps
from tdm_ros.robots.description import Array, Robot
from tdm_ros.robots.kinematics import joint_axes, link_frames
from tdm_ros.robots.limits import ArmReading, Limits
from tdm_ros.robots.sawyer import SAWYER

SPARE_M = 0.01
"""Margin of boxes and clearances, as long as joints move as commanded."""

ROUNDING = 1e-9
"""Relative excess that passes unscaled, so that a second application of a layer changes nothing."""


class Posture(NamedTuple):
    """State of the arm as the layers need it, computed once."""

    axes: Array
    origins_m: Array
    """(J, 3) each: axes and origins of the joints, in the base frame."""
    hand_m: Array
    """(3,) [m]: as reported."""
    reach_m: Array
    """(3, J) [m/rad]: linear Jacobian of the hand."""
    ends_m: Array
    """(S, 2, 3) [m]: end points of the capsules."""
    body: Body


def posture(reading: ArmReading, robot: Robot = SAWYER) -> Posture:
    """Compute joint axes, Jacobian and capsules."""
    frames = link_frames(reading.q_rad, robot)
    axes, origins_m = joint_axes(frames, robot), frames[:-1, :3, 3]
    reach_m = _cross(axes, frames[-1, :3, 3] - origins_m).T
    return Posture(axes, origins_m, reading.hand_m, reach_m, capsule_ends(frames, body(robot)), body(robot))


Layer = Callable[[Array, Posture, Limits], float]


def workspace(command: Array, arm: Posture, limits: Limits) -> float:
    """Keep the hand in its box, and the ends of all moving capsules in theirs.

    The lower side of the latter is the minimum height of elbow and links.
    """
    low, high = _corners(limits, arm.body)
    points = np.concatenate([arm.hand_m[None], arm.ends_m[arm.body.links].reshape(-1, 3)])[: len(low)]
    levers = _cross(arm.axes, points[:, None] - arm.origins_m) * arm.body.moved[: len(low), :, None]
    velocity = levers.transpose(0, 2, 1) * command
    turn = np.repeat(_turn(command, _lengths(levers), limits.horizon_s), 3)
    room_m = np.concatenate([(high - points).ravel(), (points - low).ravel()])
    approach = np.concatenate([velocity, -velocity]).reshape(-1, len(command))
    return _share_before(approach, np.concatenate([turn, turn]), room_m, limits)


def _corners(limits: Limits, of: Body) -> tuple[Array, Array]:
    """Corners of the box of the hand and, if links have one, of the ends of their axes: (N, 3) each [m]."""
    low, high = np.array([limits.box_low_m]), np.array([limits.box_high_m])
    if limits.links_low_m is None or limits.links_high_m is None:
        return low, high
    radii_m = np.repeat(of.radius_m[of.links], 2)[:, None]
    return np.concatenate([low, limits.links_low_m + radii_m]), np.concatenate([high, limits.links_high_m - radii_m])


def hand_speed(command: Array, arm: Posture, limits: Limits) -> float:
    """Limit the speed of the hand, also after the arm has turned, and if joints move less than commanded."""
    assert limits.hand_speed_m_s is not None
    velocities = (_subsets(len(command)) * command) @ arm.reach_m.T
    speed = np.sqrt(dot(velocities, velocities).max())
    turn = _turn(command, _lengths(arm.reach_m.T[None]), limits.horizon_s)
    return _share(np.atleast_1d(speed), turn, np.atleast_1d(limits.hand_speed_m_s))


def singularity(command: Array, arm: Posture, limits: Limits) -> float:
    """Slow down on approach to postures in which the hand cannot move in some direction."""
    assert limits.singular_m is not None
    squares, sides = np.linalg.eigh(arm.reach_m @ arm.reach_m.T)
    value = float(np.sqrt(max(squares[0], 1e-12)))
    left, right = sides[:, 0], sides[:, 0] @ arm.reach_m / value
    # d J_k / d q_i = axis of the joint nearer to the base x column of the other.
    number = np.arange(len(command))
    inner, outer = np.minimum.outer(number, number), np.maximum.outer(number, number)
    bend = _cross(arm.axes[inner], arm.reach_m.T[outer]) @ left @ right
    room = max(value - limits.singular_m, 0.0)
    loss = np.atleast_1d(-bend @ command)
    return _share(loss, np.zeros(1), np.atleast_1d(room / limits.look_ahead_s))


def clearance(command: Array, arm: Posture, limits: Limits) -> float:
    """Keep parts of the arm apart, except neighbours."""
    assert limits.clearance_m is not None
    found = gaps(arm.ends_m, arm.body)
    # normal . axis x (place - origin), and the length of that product, without the product itself, which is large.
    closing = found.normal @ _cross(arm.axes, arm.origins_m).T - _cross(found.place_m, found.normal) @ arm.axes.T
    along = found.place_m @ arm.axes.T - dot(arm.axes, arm.origins_m)
    square = dot(found.place_m, found.place_m)[:, None] - 2 * found.place_m @ arm.origins_m.T
    square += dot(arm.origins_m, arm.origins_m) - along * along
    arms_m = np.sqrt(np.maximum(square, 0.0)) * arm.body.between
    turn = _turn(command, arms_m, limits.horizon_s)
    return _share_before(closing * (command * arm.body.between), turn, found.gap_m - limits.clearance_m, limits)


def layers_of(limits: Limits) -> dict[str, Layer]:
    """Active layers by name, in their order."""
    given: dict[str, tuple[Layer, object]] = {
        "workspace": (workspace, limits.links_low_m or limits.delay_s or None),
        "hand speed": (hand_speed, limits.hand_speed_m_s),
        "singularity": (singularity, limits.singular_m),
        "self-collision": (clearance, limits.clearance_m),
    }
    return {name: layer for name, (layer, bound) in given.items() if bound is not None}


def _share_before(approach: Array, turn: Array, room_m: Array, limits: Limits) -> float:
    """Factor that keeps N bounds: approach of each joint (N, J) [m/s], turn (N,) [m/s], room (N,) [m]."""
    ones = np.ones(approach.shape[1])
    alone = np.maximum(approach, 0.0) @ ones
    near = alone + turn > (room_m - SPARE_M) / limits.look_ahead_s  # the others keep both
    if not near.any():
        return 1.0
    used = np.concatenate([approach[near] @ ones, alone[near]])
    room = np.maximum(np.concatenate([room_m[near] - SPARE_M, room_m[near]]), 0.0) / limits.look_ahead_s
    return _share(used, np.tile(turn[near], 2), room)


def _share(approach: Array, turn: Array, allowed: Array) -> float:
    """Largest share s in [0, 1] with ``approach s + turn s^2 <= allowed``, where turn and allowed are >= 0."""
    used_up = approach + turn > allowed * (1 + ROUNDING) + ROUNDING**2
    if not used_up.any():
        return 1.0
    u, k, b = approach[used_up], turn[used_up], allowed[used_up]
    root = np.sqrt(u * u + 4 * k * b)
    share = np.where(u > 0, 2 * b / np.maximum(u + root, 1e-300), (root - u) / np.maximum(2 * k, 1e-300))
    return min(float(share.min()), 1.0)


@cache
def _subsets(joints: int) -> Array:
    """All subsets of joints that obey; the fastest hand of all partly obeying joints is that of one of them."""
    return np.array(list(product((0.0, 1.0), repeat=joints)))


@cache
def _inward(joints: int) -> Array:
    """Matrix, (J, J), that sums, in column i, the rates of joint i once and of joints nearer to the base twice."""
    return np.asarray(2 * np.triu(np.ones((joints, joints))) - np.eye(joints))


def _lengths(levers_m: Array) -> Array:
    lengths: Array = np.sqrt(np.einsum("nix,nix->ni", levers_m, levers_m))
    return lengths


def _turn(command: Array, arms_m: Array, horizon_s: float) -> Array:
    """Largest change of the velocity of points with levers of lengths (N, J) within the horizon, (N,) [m/s].

    The acceleration of a point at constant joint velocities is the sum over joints i of its lever's speed, times the
    rates of i and, twice, of the joints nearer to the base that turn this lever.
    """
    rates = np.abs(command)
    change: Array = np.einsum("ni,ni,i->n", arms_m, (rates * (arms_m > 0)) @ _inward(len(rates)), rates) * horizon_s
    return change


def _cross(a: Array, b: Array) -> Array:
    """Cross product over the last axis; NumPy's function takes several times as long."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
        product[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return product
