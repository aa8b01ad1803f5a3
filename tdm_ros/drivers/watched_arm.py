"""Arm behind a watchdog whose controllers follow their last command for ever: the node `arm` can stop it by itself."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from rclpy.duration import Duration

from tdm_ros.drivers.intera.client import ArmClient, InteraError
from tdm_ros.drivers.worker_arm import WorkerArm
from tdm_ros.robots.description import Robot
from tdm_ros.robots.limits import ArmReading

FOUND_S = 20.0
"""Longest time until the controllers have acknowledged a zero [s]."""


class Commands(ABC):
    """Publishers of the controllers' commands for ``joints`` joints, in a watchdog or in the node `arm`."""

    def __init__(self, publishers: Sequence[Any], joints: int) -> None:
        self._publishers, self._joints = publishers, joints

    @abstractmethod
    def publish(self, values: ArrayLike) -> None:
        """Publish (J,) values in the controllers' unit."""

    def stop(self) -> None:
        """Publish zero."""
        self.publish(np.zeros(self._joints))

    def unmatched(self) -> str:
        """Return that a topic has no subscriber, or ""."""
        silent = [publisher.topic_name for publisher in self._publishers if not publisher.get_subscription_count()]
        return f"{silent[0]} has no subscriber" if silent else ""

    def reach(self, timeout_s: float) -> str:
        """Publish zero until each controller has acknowledged it; return what is missing in the end, or "".

        A subscriber that this process has discovered may not have discovered it yet, and then receives nothing.
        """
        until_s, wait = time.monotonic() + timeout_s, Duration(seconds=0.02)
        while True:
            self.stop()
            late = [publisher.topic_name for publisher in self._publishers if not publisher.wait_for_all_acked(wait)]
            missing = self.unmatched() or (f"{late[0]} acknowledged nothing" if late else "")
            if not missing or time.monotonic() > until_s:
                return missing
            time.sleep(0.01)


class WatchedArm(WorkerArm):
    """An `Arm` whose watchdog publishes the commands while it runs, and which publishes zero when it is lost.

    ``commands`` are publishers of this process; None: the controllers take positions, and stay at the last. An
    InteraError with ``remedy`` says that a controller does not receive them.
    """

    def __init__(self, client: ArmClient, robot: Robot, commands: Commands | None, remedy: str) -> None:
        super().__init__(client, robot=robot)
        if commands is not None and (missing := commands.reach(FOUND_S)):
            raise InteraError(f"{missing} for {FOUND_S:g} s, so that nothing could stop the arm: {remedy}")
        self._commands = commands

    def reading(self) -> ArmReading:
        """Newest joint states, and their age; read in each cycle, also in a fault."""
        self._stop_without_watchdog()
        return super().reading()

    def problem(self) -> str:
        """Why the arm must not be driven, or ""."""
        self._stop_without_watchdog()
        return super().problem()

    def _stop_without_watchdog(self) -> None:
        """Publish zero at each call while the watchdog is lost: its last command may arrive after the first zero."""
        if self._commands is not None and self.client.state().problem:
            self._commands.stop()
