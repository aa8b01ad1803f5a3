"""A Sawyer through intera_interface does what every arm must do."""

import pytest
from arm_contract import RealArmContract, RealBench
from ros1_bench import Ros1, SimulatedRobot

from tdm_ros.drivers.intera.client import InteraClient


class TestIntera(RealArmContract):
    @pytest.fixture
    def bench(self, ros1: Ros1, robot: SimulatedRobot, client: InteraClient) -> RealBench:
        return RealBench(client, robot)
