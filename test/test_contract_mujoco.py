"""The simulated arm does what every arm must do."""

import pytest
from arm_contract import ArmContract, SimulatedBench

from tdm_ros.robot.actuation import ACTUATIONS
from tdm_ros.sim.sawyer_sim import SawyerSim


class TestMujoco(ArmContract):
    @pytest.fixture
    def bench(self) -> SimulatedBench:
        return SimulatedBench(SawyerSim(ACTUATIONS["velocity"]))
