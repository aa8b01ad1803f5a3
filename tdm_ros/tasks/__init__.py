"""Observations, goals and actions of a task: names, units, scales, bounds."""

from tdm_ros.tasks.registry import (
    ANT_POSITION,
    ANT_POSITION_VELOCITY,
    CHEETAH,
    FETCH_PUSH,
    MAZE,
    PUSHER,
    REACHER,
    SAWYER_AROUND,
    SAWYER_PUSH,
    SAWYER_PUSH_AROUND,
    SAWYER_REACH,
    observe,
    prompt,
    prompt_from_behind,
    reach_task,
)
from tdm_ros.tasks.scenes import SCENES, Scene
from tdm_ros.tasks.spec import Channels, TaskSpec

__all__ = [
    "ANT_POSITION",
    "ANT_POSITION_VELOCITY",
    "CHEETAH",
    "FETCH_PUSH",
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
    "observe",
    "prompt",
    "prompt_from_behind",
    "reach_task",
]
