"""Sawyer pushing a puck over its table to a target; the hand is commanded in the plane."""

from __future__ import annotations

from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.arm_sim import SUBSTEPS, ArmSim
from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv
from tdm_ros.envs.view import Marker, View
from tdm_ros.robots import geometry
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.kinematics import forward, jacobian, joint_velocity
from tdm_ros.robots.limiter import Limiter, Limits
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_PUSH, TaskSpec, prompt


@cache
def sawyer_push_model() -> mujoco.MjModel:
    """The compiled model: the arm's seven joints, then the puck's two slides."""
    spec = mujoco.MjSpec.from_string(robot_xml())
    _add_fork(spec)
    _add_puck(spec)
    return spec.compile()


def _add_fork(spec: mujoco.MjSpec) -> None:
    """Add a massless fork to the hand that opens away from the robot while the hand points down."""
    for ends in geometry.fork_bars_m():
        spec.body("right_l6").add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[geometry.FORK_RADIUS_M, 0, 0],
            fromto=ends,
            material="steel",
            mass=0,
            condim=1,
            contype=0,
            conaffinity=3,  # like the wrist: static objects and the puck
            group=2,
        )


def _add_puck(spec: mujoco.MjSpec) -> None:
    """Add a puck that slides on the table and cannot tip; dry friction stops it within one or two centimetres."""
    puck = spec.worldbody.add_body(name="puck", pos=[0, 0, geometry.PUCK_HALF_HEIGHT_M])
    dry = {"damping": [geometry.PUCK_DAMPING_N_S_M, 0, 0], "frictionloss": geometry.PUCK_FRICTION_N}
    for name, axis in (("puck_x", [1, 0, 0]), ("puck_y", [0, 1, 0])):
        puck.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, **dry)
    puck.add_geom(
        name="puck",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[geometry.PUCK_RADIUS_M, geometry.PUCK_HALF_HEIGHT_M, 0],
        mass=geometry.PUCK_MASS_KG,
        rgba=geometry.PUCK_RGBA,
        condim=1,
        contype=1,  # touches the moving links, not the table under it
        conaffinity=0,
        group=2,
    )


SPEED_M_S = 0.3
HAND_LOW_M, HAND_HIGH_M = (0.40, -0.10), (0.45, 0.10)
PUCK_LOW_M, PUCK_HIGH_M = (0.54, -0.12), (0.60, 0.12)
"""Boxes of the starts of hand and puck, x and y [m]: the puck ahead of the fork's opening, the target beyond both."""

POINTING_DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""Commanded axes of the hand, as columns: almost those of the neutral posture."""

_SERVO_HZ = 6.0
_POSTURE_HZ = 1.0
_SINGULAR = 1e-4
_SOLVE_STEPS = 60


HELD_M = 0.04
"""Distance between hand and puck below which the fork holds it."""


class SawyerPushEnv(MujocoGoalEnv):
    """Push a puck to a target.

    Observation (19,): seven joints [rad], their velocities [rad/s], the hand [m], the puck's x and y [m]. Goal (4,):
    hand and puck x and y [m], see `prompt`. Actions (2,): velocity of the hand along x and y, up to 0.3 m/s. A
    controller holds height and attitude of the hand; its joint velocities pass the limiter like those of a policy. It
    never terminates.
    """

    view = View((0.5, 0.0, 0.08), 1.6, 140.0, -30.0)
    puck_stays = True
    """See `prompt`."""

    def __init__(
        self, render_mode: str | None = None, limits: Limits | None = None, task: TaskSpec = SAWYER_PUSH
    ) -> None:
        actuation = ACTUATIONS["velocity"]
        self.sim = ArmSim(actuation, sawyer_push_model())
        super().__init__(task, self.sim.model, render_mode, self.sim.data)
        self.cycle = ArmCycle(self.sim, Limiter(actuation, limits), actuation)

    def _start(self, rng: np.random.Generator) -> None:
        hand, puck = self._draw_places(rng)
        self.sim.reset(posture(hand))
        self.cycle.restart()
        self.data.qpos[self.sim.joints :] = puck

    def _draw_places(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw the starts of hand and puck, (2,) and (2,) [m]."""
        return rng.uniform(HAND_LOW_M, HAND_HIGH_M), rng.uniform(PUCK_LOW_M, PUCK_HIGH_M)

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        return np.tile(rng.uniform(self.task.goal.low[2:], self.task.goal.high[2:]), 2)

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        q = self.sim.reading().q_rad
        self.cycle.command(steer(q, SPEED_M_S * np.asarray(action, np.float64)))
        self.cycle.advance(SUBSTEPS)
        executed = self.cycle.finish()
        if executed.limited:
            action = self._equivalent_action(executed.action, q)
        self._info = {"executed_action": action, "limited": executed.limited, "limiter": executed.layer}

    def _equivalent_action(self, executed: ArrayLike, q_rad: Array) -> NDArray[np.float32]:
        """Action, (2,), that is equivalent to joint actions, (7,)."""
        moved = jacobian(q_rad)[:2] @ self.cycle.actuation.to_command(executed)
        return np.clip(moved / SPEED_M_S, -1.0, 1.0).astype(np.float32)

    def _observation(self) -> Array:
        reading = self.sim.reading()
        return np.concatenate((reading.q_rad, reading.qd_rad_s, reading.hand_m, self.data.qpos[self.sim.joints :]))

    def _achieved(self, observation: Array) -> Array:
        return observation[[14, 15, 17, 18]]

    def _present_goal(self, achieved: NDArray[np.float32]) -> NDArray[np.float32]:
        return prompt(achieved, self._goal[2:], HELD_M, self.puck_stays)

    def _markers(self) -> list[Marker]:
        return [Marker((*self._goal[2:].tolist(), geometry.PUCK_HALF_HEIGHT_M), 0.025)]


def steer(q_rad: ArrayLike, velocity_m_s: ArrayLike) -> Array:
    """Joint velocities, (7,) [rad/s], that move the hand in the plane and hold its height and attitude.

    At (7,) [rad], for a velocity along x and y of frame base, (2,) [m/s]. Damped least squares; the null-space motion
    returns towards the neutral posture.
    """
    q = np.asarray(q_rad, np.float64)
    return joint_velocity(q, level(q, velocity_m_s), _SINGULAR, _POSTURE_HZ * (NEUTRAL_RAD - q))


def level(q_rad: ArrayLike, velocity_m_s: ArrayLike) -> Array:
    """Commanded velocity and angular velocity of the hand, (6,) [m/s, rad/s]."""
    hand = forward(q_rad)
    # Small rotation from the present to the commanded attitude, as a vector.
    tilt = 0.5 * np.cross(hand.rotation, POINTING_DOWN, axis=0).sum(axis=1)
    lift = geometry.HAND_HEIGHT_M - hand.position_m[2]
    return np.concatenate((np.asarray(velocity_m_s, np.float64), [_SERVO_HZ * lift], _SERVO_HZ * tilt))


def posture(hand_m: ArrayLike) -> Array:
    """Posture, (7,) [rad], with the hand at x and y, (2,) [m], at the height of pushing and pointing down."""
    q = np.array(NEUTRAL_RAD)
    for _ in range(_SOLVE_STEPS):
        gap = np.asarray(hand_m, np.float64) - forward(q).position_m[:2]
        q = q + steer(q, _SERVO_HZ * gap) / (2 * _SERVO_HZ)
    return q
