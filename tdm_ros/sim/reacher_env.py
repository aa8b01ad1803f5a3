"""The paper's seven-joint arm, driven by torques without gravity, that brings its tip to a point."""

from __future__ import annotations

from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.sim.mujoco_env import Array, Marker, MujocoGoalEnv, View, gymnasium_model
from tdm_ros.tasks import REACHER

TORQUE_N_M = 2.0
START_RAD_S = 0.005
"""The arm starts straight; its joints turn no faster than this."""

TIP = "tips_arm"
"""The body whose origin counts as the tip: the middle of the hand, as in the paper's curve, which begins at the
distance that this gives."""


@cache
def reacher_model() -> mujoco.MjModel:
    """The arm and the table of Gymnasium's Pusher, without the object and the goal."""
    spec = gymnasium_model("pusher_v5.xml")
    for name in ("object", "goal"):
        spec.delete(spec.body(name))
    return spec.compile()


class ReacherEnv(MujocoGoalEnv):
    """Bring the tip to where it is in a random posture.

    Observation (17,): seven joints [rad], their velocities [rad/s], the tip [m]. Goal (3,): the tip [m]. Actions
    (7,): torques up to 2 N m. It lasts, whatever happens.

    Source: rlkit's Reacher7Dof; postures in which the hand touches the table are drawn again here, since no
    torque can bring it there.
    """

    view = View((0.1, -0.55, -0.05), 2.7, 160.0, -28.0)

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(REACHER, reacher_model(), render_mode)
        self._tip = self.model.body(TIP).id
        self._posture = mujoco.MjData(self.model)

    def _start(self, rng: np.random.Generator) -> None:
        self.data.qvel[:] = rng.uniform(-START_RAD_S, START_RAD_S, self.model.nv)

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        low, high = self.model.jnt_range.T
        while True:
            self._posture.qpos[:] = rng.uniform(low, high)
            mujoco.mj_fwdPosition(self.model, self._posture)
            if self._posture.ncon == 0:
                return self._posture.xpos[self._tip]

    @property
    def _strength(self) -> float:
        return TORQUE_N_M

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        super()._act(action)
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves the poses of the state before it

    def _observation(self) -> Array:
        return np.concatenate((self.data.qpos, self.data.qvel, self.data.xpos[self._tip]))

    def _achieved(self, observation: Array) -> Array:
        return observation[14:]

    def _markers(self) -> list[Marker]:
        return [Marker(self._goal, 0.05)]
