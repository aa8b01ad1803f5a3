"""Simulated arm for the hostile commanders of `tdm_ros.robots.hostile`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import ACTUATIONS

Array = np.ndarray


class Physics:
    """The simulated arm in MuJoCo."""

    def __init__(self) -> None:
        self.sim = ArmSim(ACTUATIONS["velocity"])

    def reset(self, q_rad: Array) -> None:
        self.sim.reset(q_rad)

    def move(self, velocity: Array) -> Iterator[tuple[Array, Array]]:
        """Joints and their velocities, five times in the cycle that follows."""
        self.sim.drive("velocity", velocity)
        for _ in range(5):
            self.sim.advance(5)
            now = self.sim.reading()
            assert self.sim.data.ncon == 0
            yield now.q_rad, now.qd_rad_s
