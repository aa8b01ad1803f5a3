"""Reaching as a Gymnasium environment: arm, limiter and task of the live system, without ROS."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.arm_sim import SUBSTEPS, ArmSim
from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv
from tdm_ros.envs.view import ARM_VIEW, GOAL_RADIUS_M, Marker, View
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.geometry import has_stand, size
from tdm_ros.robots.limiter import Limiter, Limits
from tdm_ros.robots.sawyer import SAWYER
from tdm_ros.tasks import TaskSpec, reach_task

START_SPREAD_RAD = 0.1


class ReachEnv(MujocoGoalEnv):
    """Move the hand of an arm with J joints to a point.

    Observation (2 J + 3,): joint positions [rad], velocities [rad/s] and hand [m]. Goal (3,): hand [m]. Actions (J,):
    joint velocities or torques (``actuation``: "velocity", "torque" or "torque_low_damping"), which pass the limiter.
    It never terminates. The options of `reset` are ``"goal"``, (3,) [m], and ``"q_rad"``, (J,) [rad], the start.
    ``robot`` is the name of a description, or the path of a .yaml file. A subclass with other starts and goals gives
    its ``task``. Raises ValueError if the robot, the actuation or the render mode is unknown.
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
        robot: str = "sawyer",
    ) -> None:
        self.robot = load_robot(robot)
        if actuation not in (known := actuations(self.robot)):
            raise ValueError(f"actuation must be one of {', '.join(known)}, got {actuation!r}")
        self.actuation = known[actuation]
        self.sim = ArmSim(self.actuation, robot=self.robot)
        super().__init__(task or reach_task(self.robot, actuation), self.sim.model, render_mode, self.sim.data)
        self.cycle = ArmCycle(self.sim, Limiter(self.actuation, limits, self.robot), self.actuation)
        low, high = (np.array(corner, np.float32) for corner in (self.task.goal.low, self.task.goal.high))
        spaces: Any = self.observation_space
        self.observation_space = gym.spaces.Dict({**spaces, "desired_goal": gym.spaces.Box(low, high)})

    def _reset(self, options: dict[str, Any]) -> None:
        start = self._draw_start(self.np_random)
        self.sim.reset(options.get("q_rad", start))
        self.cycle.restart()

    def _draw_start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the initial posture, (J,) [rad]."""
        home = self.robot.home_rad
        return home + rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, home.shape)

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        self.cycle.command(self.actuation.to_command(action))
        self.cycle.advance(SUBSTEPS)
        executed = self.cycle.finish()
        self._info = {"executed_action": executed.action, "limited": executed.limited, "limiter": executed.layer}

    def _observation(self) -> Array:
        reading = self.sim.reading()
        return np.concatenate((reading.q_rad, reading.qd_rad_s, reading.hand_m))

    def _achieved(self, observation: Array) -> Array:
        return observation[-3:]

    def _view(self) -> View:
        place, ratio = self.view, size(self.robot) / size(SAWYER)
        x, y, z = (ratio * part for part in place.lookat_m)
        z += 0.0 if has_stand(self.robot) else 0.18 * ratio  # on the table it is all above it
        return place._replace(lookat_m=(x, y, z), distance_m=ratio * place.distance_m)

    def _markers(self) -> list[Marker]:
        return [Marker(self._goal[-3:], GOAL_RADIUS_M * size(self.robot) / size(SAWYER))]
