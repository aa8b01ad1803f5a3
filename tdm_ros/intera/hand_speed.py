"""Speed of the hand for given joint velocities, without numpy: the worker runs in a ROS 1 Python."""

from __future__ import annotations

import math

Matrix = tuple  # of three rows of three float
Vector = tuple  # of three float

FRAMES = (
    ((0.0, 0.0, 0.08), (0.0, 0.0, 0.0)),
    ((0.081, 0.05, 0.237), (-math.pi / 2, math.pi / 2, 0.0)),
    ((0.0, -0.14, 0.1425), (math.pi / 2, 0.0, 0.0)),
    ((0.0, -0.042, 0.26), (-math.pi / 2, 0.0, 0.0)),
    ((0.0, -0.125, -0.1265), (math.pi / 2, 0.0, 0.0)),
    ((0.0, 0.031, 0.275), (-math.pi / 2, 0.0, 0.0)),
    ((0.0, -0.11, 0.1053), (-math.pi / 2, -0.17453, math.pi)),
)
"""Of each joint in the frame of the one before: xyz [m] and rpy [rad]; it turns about its own z."""

HAND_M = (0.0, 0.0, 0.0245)
"""Hand in the frame of the last joint. A test compares this table with `tdm_ros.robot.kinematics`."""


def levers(q_rad: tuple) -> tuple:
    """Return the velocity of the hand per velocity of each joint, (7, 3) [m/rad], in frame base."""
    turn: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    at: Vector = (0.0, 0.0, 0.0)
    joints = []
    for (xyz_m, _), fixed, q in zip(FRAMES, _FIXED, q_rad):  # noqa: B905 - Python 3.8
        at = _sum(at, _rotated(turn, xyz_m))
        turn = _product(turn, fixed)
        joints.append((at, tuple(row[2] for row in turn)))
        turn = _product(turn, _about_z(q))
    hand = _sum(at, _rotated(turn, HAND_M))
    return tuple(_cross(axis, tuple(h - p for h, p in zip(hand, at))) for at, axis in joints)  # noqa: B905


def speed_m_s(levers_m: tuple, qd_rad_s: tuple) -> float:
    """Return the speed of the hand at (7,) joint velocities [rad/s]."""
    return math.sqrt(
        sum(sum(qd * lever[axis] for qd, lever in zip(qd_rad_s, levers_m)) ** 2 for axis in range(3))  # noqa: B905
    )


def _sum(a: Vector, b: Vector) -> Vector:
    return tuple(x + y for x, y in zip(a, b))  # noqa: B905


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _rotated(turn: Matrix, vector: Vector) -> Vector:
    return tuple(sum(a * b for a, b in zip(row, vector)) for row in turn)  # noqa: B905


def _product(a: Matrix, b: Matrix) -> Matrix:
    return tuple(tuple(sum(row[k] * b[k][column] for k in range(3)) for column in range(3)) for row in a)


def _about_z(angle: float) -> Matrix:
    c, s = math.cos(angle), math.sin(angle)
    return ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))


def _fixed(rpy: Vector) -> Matrix:
    (r, p, y) = rpy
    about_x = ((1.0, 0.0, 0.0), (0.0, math.cos(r), -math.sin(r)), (0.0, math.sin(r), math.cos(r)))
    about_y = ((math.cos(p), 0.0, math.sin(p)), (0.0, 1.0, 0.0), (-math.sin(p), 0.0, math.cos(p)))
    return _product(_about_z(y), _product(about_y, about_x))


_FIXED = tuple(_fixed(rpy) for _, rpy in FRAMES)
