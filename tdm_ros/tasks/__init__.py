"""Observations, goals and actions of a task: names, units, scales, bounds."""

from tdm_ros.tasks.locomotion import ANT_POSITION, ANT_POSITION_VELOCITY, CHEETAH
from tdm_ros.tasks.manipulation import REACHER
from tdm_ros.tasks.maze import MAZE
from tdm_ros.tasks.pushing import PUSHER, SAWYER_PUSH, SAWYER_PUSH_AROUND, ask
from tdm_ros.tasks.reach import SAWYER_AROUND, SAWYER_REACH, observe
from tdm_ros.tasks.scenes import SCENES, Scene
from tdm_ros.tasks.spec import Channels, TaskSpec

__all__ = [
    "ANT_POSITION",
    "ANT_POSITION_VELOCITY",
    "CHEETAH",
    "MAZE",
    "PUSHER",
    "REACHER",
    "SAWYER_AROUND",
    "SAWYER_PUSH",
    "SAWYER_PUSH_AROUND",
    "SAWYER_REACH",
    "SCENES",
    "Channels",
    "Scene",
    "TaskSpec",
    "ask",
    "observe",
]
