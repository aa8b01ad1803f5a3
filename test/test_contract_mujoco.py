"""The simulated arm does what every arm must do."""

import pytest
from arm_contract import ArmContract, SimulatedBench

from tdm_ros.envs.sawyer_sim import SawyerSim
from tdm_ros.robots.arm import ACTUATIONS


class TestMujoco(ArmContract):
    @pytest.fixture
    def bench(self) -> SimulatedBench:
        return SimulatedBench(SawyerSim(ACTUATIONS["velocity"]))
