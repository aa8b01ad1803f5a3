"""Sawyer reaching as a Gymnasium environment: arm, limiter and task of the live system, without ROS."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv
from tdm_ros.envs.sawyer_sim import SUBSTEPS, SawyerSim
from tdm_ros.envs.view import ARM_VIEW, GOAL_RADIUS_M, Marker
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.limiter import Limiter, Limits
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH, TaskSpec

START_SPREAD_RAD = 0.1


class SawyerReachEnv(MujocoGoalEnv):
    """Move Sawyer's hand to a point.

    Observation (17,): joint positions [rad], velocities [rad/s] and hand [m]. Goal (3,): hand [m]. Actions (7,): joint
    velocities or torques (``actuation``: "velocity", "torque" or "torque_low_damping"), which pass the limiter. It
    never terminates. The options of `reset` are ``"goal"``, (3,) [m], and ``"q_rad"``, (7,) [rad], the start. A
    subclass with other starts and goals gives its ``task``. Raises ValueError if the actuation or the render mode is
    unknown.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}  # noqa: RUF012 - declared so by Gymnasium
    reset_options = ("goal", "q_rad")
    view = ARM_VIEW

    def __init__(
        self,
        actuation: str = "velocity",
        render_mode: str | None = None,
        limits: Limits | None = None,
        task: TaskSpec | None = None,
    ) -> None:
        if actuation not in ACTUATIONS:
            raise ValueError(f"actuation must be one of {', '.join(ACTUATIONS)}, got {actuation!r}")
        self.actuation = ACTUATIONS[actuation]
        self.sim = SawyerSim(self.actuation)
        super().__init__(task or SAWYER_REACH[actuation], self.sim.model, render_mode, self.sim.data)
        self.cycle = ArmCycle(self.sim, Limiter(self.actuation, limits), self.actuation)
        low, high = (np.array(corner, np.float32) for corner in (self.task.goal.low, self.task.goal.high))
        spaces: Any = self.observation_space
        self.observation_space = gym.spaces.Dict({**spaces, "desired_goal": gym.spaces.Box(low, high)})

    def _reset(self, options: dict[str, Any]) -> None:
        start = self._draw_start(self.np_random)
        self.sim.reset(options.get("q_rad", start))
        self.cycle.restart()

    def _draw_start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the initial posture, (7,) [rad]."""
        return NEUTRAL_RAD + rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, NEUTRAL_RAD.shape)

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        self.cycle.command(self.actuation.to_command(action))
        self.cycle.advance(SUBSTEPS)
        executed = self.cycle.finish()
        self._info = {"executed_action": executed.action, "limited": executed.limited, "limiter": executed.layer}

    def _observation(self) -> Array:
        reading = self.sim.reading()
        return np.concatenate((reading.q_rad, reading.qd_rad_s, reading.hand_m))

    def _achieved(self, observation: Array) -> Array:
        return observation[14:17]

    def _markers(self) -> list[Marker]:
        return [Marker(self._goal[-3:], GOAL_RADIUS_M)]
