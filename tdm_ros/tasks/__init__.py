"""What is observed, what counts as a goal, what an action means: names, units, scales, bounds."""

from tdm_ros.tasks.reach import SAWYER_REACH, observe
from tdm_ros.tasks.spec import Channels, TaskSpec

__all__ = ["SAWYER_REACH", "Channels", "TaskSpec", "observe"]
