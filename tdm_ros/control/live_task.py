"""A task in the live system: the learner's arrays from states of the arm, commands from actions, goals from points."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.push_motion import push_action, push_command
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import forward
from tdm_ros.tasks import TaskSpec, observe, reach_task
from tdm_ros.tasks.pushing import observe_push, present_push_goal, push_setup, push_task

Array32 = NDArray[np.float32]
Array = NDArray[np.float64]
TASKS = ("reach", "push")


class LiveTask:
    """Reaching: the goal is a position of the hand, (3,) [m], and an action is scaled to a command of the joints."""

    instruction = "drive the hand to the goal"
    """What the operator does in a demonstration."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    def problem(self, sample: ArmSample) -> str:
        """Why a state is none of this task, or ""."""
        return ""

    def observe(self, sample: ArmSample) -> Array32:
        """Observation of a state, (O,)."""
        return observe(sample.q_rad, sample.qd_rad_s, sample.hand_m)

    def achieved(self, sample: ArmSample) -> Array32:
        """Point of the goal space that a state is at, (G,)."""
        return sample.hand_m.astype(np.float32)

    def present(self, achieved: ArrayLike, goal: Array32) -> Array32:
        """Goal to pursue at an achieved one, (G,), on the way to an episode's goal, (G,)."""
        return goal

    def command(self, action: Array32, sample: ArmSample) -> Array:
        """Command of the joints, (J,) [rad/s or N m], for an action, (A,) in [-1, 1], at a state."""
        return np.clip(action.astype(np.float64), -1.0, 1.0) * self.spec.action.scale

    def action(self, before: ArmSample, after: ArmSample) -> Array32:
        """Action, (A,), that was executed between two states."""
        return after.action

    def goal_of(self, point_m: ArrayLike) -> Array32:
        """Goal, (G,), that a point, (3,) [m], stands for."""
        return np.asarray(point_m, np.float32)

    def point_of(self, goal: ArrayLike) -> Array32:
        """Point, (3,) [m], that stands for a goal, (G,)."""
        return np.asarray(goal, np.float32)


class LivePush(LiveTask):
    """Pushing: the goal is tip and object, (5,) [m], an action a velocity of the tip; states need the object."""

    instruction = "push the object to the goal"

    def __init__(self, robot: Robot) -> None:
        super().__init__(push_task(robot))
        self._robot, self.setup = robot, push_setup(robot)
        self._scale = actuations(robot)["velocity"].scale

    def problem(self, sample: ArmSample) -> str:
        return "" if sample.object_m.size else "the position of the object is unknown"

    def observe(self, sample: ArmSample) -> Array32:
        return observe_push(sample.q_rad, sample.qd_rad_s, self._tip_m(sample), sample.object_m)

    def achieved(self, sample: ArmSample) -> Array32:
        known_m = sample.object_m if sample.object_m.size else (np.nan, np.nan)
        return np.concatenate((self._tip_m(sample), known_m)).astype(np.float32)

    def present(self, achieved: ArrayLike, goal: Array32) -> Array32:
        return present_push_goal(achieved, goal[3:], self.setup)

    def command(self, action: Array32, sample: ArmSample) -> Array:
        return push_command(sample.q_rad, action, self._tip_m(sample), self._robot)

    def action(self, before: ArmSample, after: ArmSample) -> Array32:
        return push_action(before.q_rad, after.action * self._scale, self._robot)

    def goal_of(self, point_m: ArrayLike) -> Array32:
        x, y = np.asarray(point_m, np.float32)[:2]
        return np.array((x, y, self.setup.half_height_m, x, y), np.float32)

    def point_of(self, goal: ArrayLike) -> Array32:
        x, y = np.asarray(goal, np.float32)[3:]
        return np.array((x, y, self.setup.half_height_m), np.float32)

    def _tip_m(self, sample: ArmSample) -> Array:
        """Tip of the tool, (3,) [m], from the pose of the hand that the arm reports, and its nominal attitude."""
        down = forward(sample.q_rad, self._robot).rotation[:, 2]
        return np.asarray(sample.hand_m + self.setup.tool_length_m * down)


def live_task(robot: Robot, actuation: str, task: str) -> LiveTask:
    """The task called ``task``, one of `TASKS`; a ValueError says that it cannot be had with this actuation."""
    if task == "reach":
        return LiveTask(reach_task(robot, actuation))
    if actuation != "velocity":
        raise ValueError(f"task push takes actuation velocity, got {actuation}: choose velocity")
    return LivePush(robot)
