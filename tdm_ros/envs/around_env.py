"""Tasks whose straight path is blocked: reaching around the robot past a joint limit, pushing from the wrong side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.mujoco_env import Array
from tdm_ros.envs.reach_env import START_SPREAD_RAD, ReachEnv
from tdm_ros.envs.sawyer_push_env import SawyerPushEnv
from tdm_ros.robots.limiter import Limits
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_AROUND, SAWYER_PUSH_AROUND

ROUND_LIMITS = Limits(box_low_m=(-0.95, -0.95, 0.02), box_high_m=(0.95, 0.95, 0.85))
"""The hand may be anywhere around the robot."""

FIRST_JOINT_RAD = 2.9
"""Largest angle of the first joint at starts and goals, to either side; its limits are at 3.05."""

RING_M = (0.40, 0.70)
HEIGHT_M = (0.08, 0.45)
"""Distance of goals from the axis of the first joint, and their height."""

SHOULDER_M = 0.16
"""Distance of the hand, to the left, from the axis of the first joint."""


def ring_goal(first_joint_rad: float, distance_m: float, height_m: float) -> NDArray[np.float32]:
    """Goal (4,): angle of the first joint [rad], and position of the hand of an arm that points straight ahead [m]."""
    angle = first_joint_rad + np.arcsin(SHOULDER_M / distance_m)
    hand = (distance_m * np.cos(angle), distance_m * np.sin(angle), height_m)
    return np.array((first_joint_rad, *hand), np.float32)


class SawyerAroundEnv(ReachEnv):
    """Move Sawyer's hand to a point anywhere around the robot, from anywhere around it.

    As `ReachEnv` with velocities, except for the goal (4,): first joint [rad] and hand [m]. Scored by the hand.
    Behind the robot, between the limits of the first joint, start and goal may be close together although the arm has
    to go around the robot.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__("velocity", render_mode, ROUND_LIMITS, SAWYER_AROUND)

    def _achieved(self, observation: Array) -> Array:
        return observation[[0, 14, 15, 16]]

    def _draw_start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        start = NEUTRAL_RAD + rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, NEUTRAL_RAD.shape)
        start[0] = rng.uniform(-FIRST_JOINT_RAD, FIRST_JOINT_RAD)
        return start

    def _draw_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        return ring_goal(rng.uniform(-FIRST_JOINT_RAD, FIRST_JOINT_RAD), rng.uniform(*RING_M), rng.uniform(*HEIGHT_M))


HAND_LOW_M, HAND_HIGH_M = (0.42, -0.25), (0.76, 0.25)
PUCK_LOW_M, PUCK_HIGH_M = (0.52, -0.15), (0.66, 0.15)
TARGET_LOW_M, TARGET_HIGH_M = (0.62, -0.20), (0.78, 0.20)
APART_M = 0.15
"""Smallest distance of a start anywhere from the puck: the fork touches nothing."""

BEYOND_LOW_M, BEYOND_HIGH_M = (0.15, -0.06), (0.22, 0.06)
"""Offset of the hand from the puck at starts beyond it."""


class SawyerPushAroundEnv(SawyerPushEnv):
    """Push a puck to a target from a start of the hand, whose fork opens away from the robot, beyond the puck.

    As `SawyerPushEnv`, except for starts and goals. Half of the training episodes are those of `SawyerPushEnv`; in the
    others the hand starts anywhere and moves to some other place, while the puck stays.
    """

    beyond = False
    """Whether every episode starts with the hand beyond the puck, as in evaluation."""

    def __init__(self, render_mode: str | None = None) -> None:
        self._hand_only = False
        super().__init__(render_mode, task=SAWYER_PUSH_AROUND)

    def _draw_places(self, rng: np.random.Generator) -> tuple[Array, Array]:
        self._hand_only = not self.beyond and bool(rng.random() < 0.5)
        if not self.beyond and not self._hand_only:
            return super()._draw_places(rng)
        while True:
            puck = rng.uniform(PUCK_LOW_M, PUCK_HIGH_M)
            aside = rng.uniform(BEYOND_LOW_M, BEYOND_HIGH_M)
            hand = puck + aside if self.beyond else rng.uniform(HAND_LOW_M, HAND_HIGH_M)
            if np.linalg.norm(hand - puck) >= APART_M and (hand <= HAND_HIGH_M).all():
                return hand, puck

    def _draw_goal(self, rng: np.random.Generator) -> Array:
        if self._hand_only:
            return np.concatenate((rng.uniform(HAND_LOW_M, HAND_HIGH_M), self.data.qpos[self.sim.joints :]))
        target: Array = np.tile(rng.uniform(TARGET_LOW_M, TARGET_HIGH_M), 2)
        return target

    def _present_goal(self, achieved: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._goal.copy() if self._hand_only else super()._present_goal(achieved)
