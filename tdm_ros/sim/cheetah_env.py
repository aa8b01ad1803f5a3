"""Half-cheetah that runs at a commanded speed, forwards or backwards."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np

from tdm_ros.sim.mujoco_env import Array, Marker, MujocoGoalEnv, View, gymnasium_model
from tdm_ros.tasks import CHEETAH

X_VELOCITY = 8
"""Where the observation holds the speed [m/s]."""

START_SPREAD = 0.1
"""Positions start within this of the neutral posture [m, rad]; velocities have this standard deviation."""


@cache
def cheetah_model() -> mujoco.MjModel:
    """Gymnasium's half-cheetah; only its looks are changed."""
    spec = gymnasium_model("half_cheetah.xml")
    for light in spec.lights:
        light.castshadow = False  # seen from so low, its shadow breaks into stripes
    return spec.compile()


class CheetahEnv(MujocoGoalEnv):
    """Run at a speed of -6 to 6 m/s.

    Observation (17,): height [m], pitch and six joints [rad], and their velocities with that along x, which is the
    goal (1,) [m/s]. Actions (6,): torques. It lasts, whatever happens.

    Source: the start and the goals are those of rlkit's GoalXVelHalfCheetah.
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
        """The ball is ahead of the body, or behind it, by 0.3 s of the wanted speed."""
        return [Marker((float(self.data.qpos[0]) + 0.3 * float(self._goal[0]), 0.0, 1.3), 0.08)]
