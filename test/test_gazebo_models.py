"""Gazebo worlds of any arm: read by Drake they are its description; world, bridge and driver agree on names."""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tdm_ros.cli import robot as cli
from tdm_ros.envs.description import bridge_yaml, world_sdf
from tdm_ros.envs.push_env import push_model
from tdm_ros.robots.description import Capsule, Robot, load_robot
from tdm_ros.robots.gazebo import joint_topics, ros_command_topics, servo_n_m_s_rad, start_rad
from tdm_ros.robots.geometry import numbers
from tdm_ros.robots.kinematics import link_frames, rotation_from_rpy
from tdm_ros.robots.sawyer import SAWYER
from tdm_ros.tasks.pushing import push_setup

OTHERS = ("ur5e", "panda", "xarm7", "gen3", "so101")
UR5E = load_robot("ur5e")
WITH_SERVO = replace(UR5E, drivers={"gazebo": {"servo_n_m_s_rad": [9.0] * 6}})


def plant_of(xml: str, robot: Robot) -> tuple[Any, Any, list[Any]]:
    """Drake's plant of a world, its context, and the joints of the robot; SDF is read by the genuine libsdformat."""
    reason = "the parser of SDF is in the wheel `drake`: make models"
    parsing = pytest.importorskip("pydrake.multibody.parsing", reason=reason)
    from pydrake.multibody.plant import MultibodyPlant

    plant = MultibodyPlant(0.001)
    parsing.Parser(plant).AddModelsFromString(xml, "sdf")
    plant.Finalize()
    return plant, plant.CreateDefaultContext(), [plant.GetJointByName(name) for name in robot.joint_names]


def largest_difference_m(robot: Robot, xml: str, frames: tuple[str, ...]) -> float:
    """Largest difference of any frame's entries to our kinematics in 50 postures."""
    plant, context, joints = plant_of(xml, robot)
    worst, low, high = 0.0, np.maximum(robot.lower_rad, -7), np.minimum(robot.upper_rad, 7)
    for q_rad in np.random.default_rng(0).uniform(low, high, (50, len(joints))):
        for joint, angle in zip(joints, q_rad - start_rad(robot), strict=True):
            joint.set_angle(context, angle)
        read = [plant.GetFrameByName(name).CalcPoseInWorld(context).GetAsMatrix4() for name in frames]
        worst = max(worst, np.abs(read - link_frames(q_rad, robot)).max())
    return worst


@pytest.mark.parametrize("name", OTHERS)
def test_world_of_every_arm_has_its_frames_limits_and_inertias(name: str) -> None:
    robot = load_robot(name)
    xml = world_sdf("open", robot=robot)
    assert largest_difference_m(robot, xml, (*robot.link_names, robot.hand_frame)) < 1e-6
    plant, _, joints = plant_of(xml, robot)
    bounds = [[joint.position_lower_limit(), joint.position_upper_limit()] for joint in joints]
    wanted = np.stack([robot.lower_rad, robot.upper_rad], axis=1) - start_rad(robot)[:, None]
    np.testing.assert_allclose(bounds, wanted, atol=1e-9)
    for link in robot.link_names:
        inertia = plant.GetBodyByName(link).default_spatial_inertia()
        about = inertia.Shift(inertia.get_com()).CalcRotationalInertia().CopyToFullMatrix3()
        assert inertia.get_mass() == pytest.approx(robot.links[link].mass_kg, rel=1e-8)
        np.testing.assert_allclose(inertia.get_com(), robot.links[link].com_m, atol=1e-9)
        moments = [about[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(moments, robot.links[link].inertia_kg_m2, atol=1e-8)


@pytest.mark.parametrize("name", OTHERS)
def test_world_is_touched_where_the_limiter_believes_the_arm_to_be(name: str) -> None:
    robot = load_robot(name)
    model = ElementTree.fromstring(world_sdf("open", robot=robot)).find(f"world/model[@name='{name}']")
    for link in (robot.base_frame, *robot.link_names):
        written = sorted(map(_round, model.findall(f"link[@name='{link}']/collision")), key=_rounded)
        ends = [(*capsule.ends_m, capsule.radius_m) for capsule in robot.capsules if capsule.link == link]
        np.testing.assert_allclose(written, sorted(map(_either_way, ends), key=_rounded), atol=2e-6)


def _round(element: ElementTree.Element) -> tuple[float, ...]:
    """End points [m] and radius of a capsule or sphere in SDF, (7,)."""
    where, geometry = numbers(element.findtext("pose")), element.find("geometry")[0]
    along = rotation_from_rpy(where[3:]) @ [0, 0, float(geometry.findtext("length") or 0) / 2]
    return _either_way((*(where[:3] - along), *(where[:3] + along), float(geometry.findtext("radius"))))


def _rounded(capsule: tuple[float, ...]) -> tuple[float, ...]:
    return tuple((np.round(capsule, 4) + 0.0).tolist())


def _either_way(capsule: tuple[float, ...]) -> tuple[float, ...]:
    """The capsule with the lesser end first."""
    ends = sorted((capsule[:3], capsule[3:6]), key=_rounded)
    return (*ends[0], *ends[1], capsule[6])


def test_joints_have_effort_velocity_damping_and_friction_of_the_description() -> None:
    model = ElementTree.fromstring(world_sdf("open", robot=UR5E)).find("world/model[@name='ur5e']")
    for i, name in enumerate(UR5E.joint_names):
        axis = model.find(f"joint[@name='{name}']/axis")
        read = [float(axis.findtext(key)) for key in ("limit/effort", "limit/velocity")]
        read += [float(axis.findtext(key)) for key in ("dynamics/damping", "dynamics/friction")]
        fields = UR5E.effort_n_m, UR5E.velocity_rad_s, UR5E.damping_n_m_s_rad, UR5E.friction_n_m
        np.testing.assert_allclose(read, [field[i] for field in fields], rtol=1e-9)


def test_every_arm_but_sawyer_is_at_home_where_the_joints_of_its_world_are_at_zero() -> None:
    np.testing.assert_array_equal(start_rad(SAWYER), np.zeros(7))
    for name in OTHERS:
        np.testing.assert_array_equal(start_rad(load_robot(name)), load_robot(name).home_rad)


def test_links_of_a_world_by_torque_carry_the_rotors() -> None:
    mass = {}
    for actuation in ("velocity", "torque"):
        model = ElementTree.fromstring(world_sdf("open", actuation, WITH_SERVO)).find("world/model[@name='ur5e']")
        text = [
            model.findtext(f"link[@name='{UR5E.link_names[2]}']/inertial/inertia/{key}")
            for key in ("ixx", "iyy", "izz")
        ]
        mass[actuation] = np.array(text, float)
    axis = np.square(UR5E.axes[2])
    added = mass["torque"] - mass["velocity"]
    np.testing.assert_allclose(added, UR5E.rotor_inertia_kg_m2[2] / 2 * (1 + axis), atol=1e-8)


@pytest.mark.parametrize(("robot", "by"), [(UR5E, "velocity"), (WITH_SERVO, "torque")])
def test_bridge_and_driver_have_the_topics_of_the_world(robot: Robot, by: str) -> None:
    said, heard = set(), set()
    for model in ElementTree.fromstring(world_sdf("push", by, robot)).findall("world/model"):
        for plugin in model.findall("plugin"):
            if plugin.get("name").endswith("JointStatePublisher"):
                said.add(plugin.findtext("topic"))
            else:
                joint = f"/model/{model.get('name')}/joint/{plugin.findtext('joint_name')}/cmd_force"
                heard.add(plugin.findtext("topic") or joint)
    entries = yaml.safe_load(bridge_yaml(by, robot))
    assert said == {entry["gz_topic_name"] for entry in entries[1:] if entry["direction"] == "GZ_TO_ROS"}
    assert heard == {entry["gz_topic_name"] for entry in entries if entry["direction"] == "ROS_TO_GZ"}
    commands = [entry["ros_topic_name"] for entry in entries if entry["direction"] == "ROS_TO_GZ"]
    assert commands == ros_command_topics(robot, by == "torque")
    assert not any("sawyer" in str(value) for entry in entries for value in entry.values())


def test_names_that_sdf_or_ros_cannot_have_are_replaced() -> None:
    """An imported robot may have a base `world`, joints `1`, `2`, ..., and links that are called like joints."""
    links = ("1", *UR5E.link_names[1:])
    robot = replace(
        UR5E,
        name="my arm",
        base_frame="world",
        joint_names=tuple("123456"),
        link_names=links,
        links={"1": UR5E.links[UR5E.link_names[0]], **{link: UR5E.links[link] for link in links[1:]}},
        capsules=(Capsule("world", (0, 0, 0, 0, 0, 0.1), 0.05, "body"),),
    )
    assert joint_topics(robot) == tuple(f"joint_{i}" for i in range(1, 7))
    xml = world_sdf("open", robot=robot)
    assert '<model name="my_arm">' in xml and '<world name="tdm_my_arm">' in xml
    assert largest_difference_m(robot, xml, ("1_link", *links[1:], robot.hand_frame)) < 1e-6


def test_push_scene_of_another_arm_has_object_and_tool_of_the_task() -> None:
    robot, setup = load_robot("so101"), push_setup(load_robot("so101"))
    model, world = push_model(robot), ElementTree.fromstring(world_sdf("push", robot=robot)).find("world")
    puck = world.find("model[@name='puck']")
    size = puck.find("link[@name='puck']/collision/geometry/cylinder")
    read = [float(size.findtext("radius")), float(size.findtext("length")) / 2]
    np.testing.assert_allclose(read, model.geom("object").size[:2], atol=1e-6)
    assert float(puck.findtext("link[@name='puck']/inertial/mass")) == pytest.approx(model.body("object").mass[0])
    drag = puck.find("joint[@name='puck_x']/axis/dynamics")
    joint = model.joint("object_x").dofadr[0]
    read = [float(drag.findtext("damping")), float(drag.findtext("friction"))]
    np.testing.assert_allclose(read, [model.dof_damping[joint], model.dof_frictionloss[joint]])
    for name in ("puck", "target"):
        place = np.array(numbers(world.findtext(f"model[@name='{name}']/pose"))[:2])
        assert (setup.object_low_m < place).all() and (place < setup.object_high_m).all() and setup.movable(place)
    tool = world.findall(f"model[@name='so101']/link[@name='{robot.link_names[-1]}']/collision")
    radii = [float(one.findtext("geometry/capsule/radius") or 0) for one in tool]
    assert any(abs(radius - setup.tool_radius_m) < 1e-6 for radius in radii)


@pytest.mark.parametrize(
    ("scene", "actuation", "robot", "says"),
    [
        ("wall", "velocity", UR5E, "scene wall has keep-outs for sawyer alone, got robot ur5e: take scene open"),
        ("open", "torque", UR5E, "ur5e has no drivers.gazebo.servo_n_m_s_rad, .* take actuation velocity"),
        ("open", "velocity", replace(UR5E, drivers={"gazebo": {"start_rad": [9] * 6}}), "start_rad .* joint limits"),
        ("open", "velocity", replace(UR5E, drivers={"gazebo": {"start_rad": [0] * 7}}), "start_rad must be 6 finite"),
        ("open", "velocity", replace(UR5E, drivers={"gazebo": {"start": [0] * 6}}), "no key but .* got start: correct"),
    ],
)
def test_world_that_cannot_be_is_rejected_with_the_remedy(scene: str, actuation: str, robot: Robot, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        world_sdf(scene, actuation, robot)


def test_sawyer_keeps_the_gains_that_were_tried() -> None:
    np.testing.assert_array_equal(servo_n_m_s_rad(SAWYER), [40, 40, 20, 20, 3, 2, 2])


def test_robot_world_writes_both_files_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    words = ["world", "panda", "--out", str(tmp_path / "new"), "--scene"]
    assert cli.run(parser.parse_args([*words, "push"])) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / name) for name in ("world.sdf", "gz_bridge.yaml")]
    assert (tmp_path / "new" / "world.sdf").read_text() == world_sdf("push", robot=load_robot("panda"))
    assert "panda: change that" in (tmp_path / "new" / "gz_bridge.yaml").read_text().splitlines()[0]
    assert cli.run(parser.parse_args([*words, "wall"])) == 2
    assert "tdm_ros robot world: scene wall has keep-outs for sawyer alone" in capsys.readouterr().err
