"""Motion of an arm that pushes: joint velocities for an action, the action for joint velocities, and postures."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.description import Array, Robot
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.tasks.pushing import PushSetup, push_setup, tip_of

_BOX_HZ = 10.0
_TIP_HZ = 6.0
_TILT_HZ = 3.0
_HOME_HZ = 1.0
_LIMIT_HZ = 5.0
MARGIN_RAD = 0.12
"""Distance that joints keep from their limits; the limiter's own is smaller."""
_SINGULAR_M2, _SINGULAR = 1e-4, 0.03
_SOLVE_STEPS = 80
_DOWN = np.array([0.0, 0.0, -1.0])


def tip_jacobian(q_rad: ArrayLike, robot: Robot) -> tuple[Array, Array]:
    """Jacobian of the tip, and of the hand's rotation, (3, J) each, at (J,) [rad]."""
    linear, angular = np.split(jacobian(q_rad, robot), 2)
    arm_m = push_setup(robot).tool_length_m * forward(q_rad, robot).rotation[:, 2]
    return linear + np.cross(angular, arm_m, axisa=0, axisc=0), angular


def boxed(velocity_m_s: ArrayLike, tip_m: ArrayLike, setup: PushSetup) -> Array:
    """Velocity of the tip, (3,) [m/s], slowed down before the tip's box ends, and back into it from outside."""
    tip, fast = np.asarray(tip_m, np.float64), setup.speed_m_s
    least, most = _BOX_HZ * (setup.tip_low_m - tip), _BOX_HZ * (setup.tip_high_m - tip)
    return np.clip(np.clip(velocity_m_s, least, most), -fast, fast)


def push_velocity(q_rad: ArrayLike, velocity_m_s: ArrayLike, robot: Robot) -> Array:
    """Joint velocities, (J,) [rad/s], at (J,) [rad], for a velocity of the tip, (3,) [m/s].

    By damped least squares. The velocity of the tip has priority over turning the tool to the vertical, and that over
    the return to home: an arm with five joints keeps the tool as vertical as it can. The tool is round, so that its
    rotation about its own axis is not commanded. A joint that would come too near to its limit is slowed down, and the
    others move instead of it.
    """
    q = np.asarray(q_rad, np.float64)
    wanted = np.asarray(velocity_m_s, np.float64)
    linear, angular = tip_jacobian(q, robot)
    tilt = _TILT_HZ * np.cross(forward(q, robot).rotation[:, 2], _DOWN)[:2]
    least, most = (_LIMIT_HZ * (side - q) for side in (robot.lower_rad + MARGIN_RAD, robot.upper_rad - MARGIN_RAD))
    kept, joints = np.ones(len(q)), np.zeros(len(q))
    for _ in q:
        rest = linear @ joints, angular[:2] @ joints
        moving = _prioritised(linear * kept, angular[:2] * kept, wanted - rest[0], tilt - rest[1], robot.home_rad - q)
        moving = joints + kept * moving
        over = kept * np.maximum(np.maximum(least - moving, moving - most), 0.0)
        if not over.any():
            return moving
        worst = int(over.argmax())
        kept[worst], joints[worst] = 0.0, np.clip(moving[worst], least[worst], most[worst])
    return joints


def _prioritised(linear: Array, angular: Array, velocity: Array, tilt: Array, home: Array) -> Array:
    """Joint velocities for the tip's velocity; in its null space for the tilt; in that one's towards home."""
    straight = _inverse(linear, _SINGULAR_M2)
    free_ = np.eye(len(home)) - straight @ linear
    turning = angular @ free_
    upright = free_ @ _inverse(turning, _SINGULAR)
    moving = straight @ velocity
    moving = moving + upright @ (tilt - angular @ moving)
    return np.asarray(moving + (free_ - upright @ turning) @ (_HOME_HZ * home))


def push_command(q_rad: ArrayLike, action: ArrayLike, tip_m: ArrayLike, robot: Robot) -> Array:
    """Joint velocities, (J,) [rad/s], for an action, (3,) in [-1, 1], at (J,) [rad] with the tip at (3,) [m]."""
    setup = push_setup(robot)
    velocity = setup.speed_m_s * np.clip(np.asarray(action, np.float64), -1.0, 1.0)
    return push_velocity(q_rad, boxed(velocity, tip_m, setup), robot)


def push_action(q_rad: ArrayLike, joints_rad_s: ArrayLike, robot: Robot) -> NDArray[np.float32]:
    """Action, (3,) float32 in [-1, 1], that is equivalent to joint velocities, (J,) [rad/s], at (J,) [rad]."""
    moved = tip_jacobian(q_rad, robot)[0] @ np.asarray(joints_rad_s, np.float64)
    return np.clip(moved / push_setup(robot).speed_m_s, -1.0, 1.0).astype(np.float32)


def push_posture(tip_m: ArrayLike, robot: Robot) -> Array:
    """Posture, (J,) [rad], with the tip at (3,) [m] and the tool as vertical as the arm can keep it."""
    setup, q = push_setup(robot), np.array(robot.home_rad)
    for _ in range(_SOLVE_STEPS):
        gap = np.asarray(tip_m, np.float64) - tip_of(forward(q, robot), setup)
        q = q + push_velocity(q, _TIP_HZ * gap, robot) / (2 * _TIP_HZ)
    return q


def _inverse(matrix: Array, damping: float) -> Array:
    """Damped pseudoinverse of a (M, J) matrix: (J, M)."""
    return np.asarray(matrix.T @ np.linalg.inv(matrix @ matrix.T + damping * np.eye(len(matrix))))
