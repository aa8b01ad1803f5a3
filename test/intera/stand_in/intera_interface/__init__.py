"""Stands in for Rethink's intera_interface where that cannot be had: what the worker uses of it, and no more.

It has the same calls, the same waiting and the same failures, written from their description; the genuine one is used
wherever it can be imported.
"""

from .devices import Cuff, Navigator
from .limb import Limb
from .robot_enable import RobotEnable

STAND_IN = True
SDK_VERSION = "5.3.0"

__all__ = ["SDK_VERSION", "STAND_IN", "Cuff", "Limb", "Navigator", "RobotEnable"]
