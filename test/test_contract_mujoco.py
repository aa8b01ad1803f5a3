"""The simulated arm does what every arm must do."""

import pytest
from arm_contract import ArmContract, SimulatedBench

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import ACTUATIONS


class TestMujoco(ArmContract):
    @pytest.fixture
    def bench(self) -> SimulatedBench:
        return SimulatedBench(ArmSim(ACTUATIONS["velocity"]))
