"""Locomotion: ant and half-cheetah."""

from __future__ import annotations

from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv, gymnasium_model
from tdm_ros.envs.view import Marker, View
from tdm_ros.tasks import ANT_POSITION, ANT_POSITION_VELOCITY, CHEETAH, TaskSpec

GEAR = 30.0
"""Torque of a motor [N m]; Gymnasium's ant has 150."""

HEIGHT_M = (0.2, 1.0)
"""Range of the torso's height; outside, the episode terminates."""

START_SPREAD = 0.1
"""Range of initial positions around the standing posture [m, rad], and standard deviation of initial velocities."""


@cache
def ant_model() -> mujoco.MjModel:
    """Gymnasium's ant with the authors' gear."""
    spec = gymnasium_model("ant.xml")
    for motor in spec.actuators:
        motor.gear[0] = GEAR
    return spec.compile()


class AntPositionEnv(MujocoGoalEnv):
    """Walk to a point within 6 m along each axis.

    Observation (30,): the torso's height [m] and attitude (quaternion wxyz), eight joints [rad], their velocities, and
    the torso's position [m]. Goal (2,): its x and y [m]. Actions (8,): torques. It terminates when the torso is too low
    or too high. Source: rlkit's GoalXYPosAnt, where the torso's position is 10 ms old; here it is that of the same
    instant.
    """

    def __init__(self, render_mode: str | None = None, task: TaskSpec = ANT_POSITION) -> None:
        super().__init__(task, ant_model(), render_mode)

    def _start(self, rng: np.random.Generator) -> None:
        self.data.qpos[:] += rng.uniform(-START_SPREAD, START_SPREAD, self.model.nq)
        mujoco.mj_normalizeQuat(self.model, self.data.qpos)
        self.data.qvel[:] = rng.normal(0.0, START_SPREAD, self.model.nv)

    def _observation(self) -> Array:
        position = self.data.qpos
        return np.concatenate((position[2:], self.data.qvel, position[:3]))

    def _achieved(self, observation: Array) -> Array:
        return observation[27:29]

    def _ended(self, distance: float) -> tuple[bool, bool]:
        return not HEIGHT_M[0] <= float(self.data.qpos[2]) <= HEIGHT_M[1], False

    def _view(self) -> View:
        middle = (self.data.qpos[:2] + self._goal[:2]) / 2
        apart = float(np.linalg.norm(self._goal[:2] - self.data.qpos[:2]))
        return View((float(middle[0]), float(middle[1]), 0.2), 3.5 + 1.2 * apart, 90.0, -35.0)

    def _markers(self) -> list[Marker]:
        return [Marker((*self._goal[:2].tolist(), 0.25), 0.25)]


class AntPositionVelocityEnv(AntPositionEnv):
    """Be at a point within 1 m with a velocity of up to 1 m/s along each axis.

    Observation (33,): that of `AntPositionEnv` and the torso's displacement in the last step [m]. Goal (4,): x and y
    [m], and their displacements per step [m]. It is truncated when the score falls below `TaskSpec.success`. Source:
    rlkit's GoalXYPosAndVelAnt, where an achieved goal terminates; here it truncates, as it does not end the episode for
    relabelled goals.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self._moved = np.zeros(3)
        super().__init__(render_mode, ANT_POSITION_VELOCITY)

    def _start(self, rng: np.random.Generator) -> None:
        super()._start(rng)
        self._moved = np.zeros(3)

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        before = self.data.qpos[:3].copy()
        super()._act(action)
        self._moved = self.data.qpos[:3] - before

    def _observation(self) -> Array:
        return np.concatenate((super()._observation(), self._moved))

    def _achieved(self, observation: Array) -> Array:
        return observation[[27, 28, 30, 31]]

    def _ended(self, distance: float) -> tuple[bool, bool]:
        return False, distance < self.task.success


X_VELOCITY = 8
"""Index of the speed [m/s] in the observation."""


@cache
def cheetah_model() -> mujoco.MjModel:
    """Gymnasium's half-cheetah with a changed appearance."""
    spec = gymnasium_model("half_cheetah.xml")
    for light in spec.lights:
        light.castshadow = False  # from a low viewpoint its shadow breaks into stripes
    return spec.compile()


class CheetahEnv(MujocoGoalEnv):
    """Run at a speed of -6 to 6 m/s.

    Observation (17,): height [m], pitch and six joints [rad], and their velocities with that along x, which is the goal
    (1,) [m/s]. Actions (6,): torques. It never terminates. Source: the start and the goals are those of rlkit's
    GoalXVelHalfCheetah.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(CHEETAH, cheetah_model(), render_mode)

    def _start(self, rng: np.random.Generator) -> None:
        self.data.qpos[:] += rng.uniform(-START_SPREAD, START_SPREAD, self.model.nq)
        self.data.qvel[:] = rng.normal(0.0, START_SPREAD, self.model.nv)

    def _observation(self) -> Array:
        return np.concatenate((self.data.qpos[1:], self.data.qvel))

    def _achieved(self, observation: Array) -> Array:
        return observation[X_VELOCITY : X_VELOCITY + 1]

    def _view(self) -> View:
        return View((float(self.data.qpos[0]), 0.0, 0.6), 4.5, 90.0, -12.0)

    def _markers(self) -> list[Marker]:
        """Ball ahead of or behind the body by 0.3 s of the commanded speed."""
        return [Marker((float(self.data.qpos[0]) + 0.3 * float(self._goal[0]), 0.0, 1.3), 0.08)]
