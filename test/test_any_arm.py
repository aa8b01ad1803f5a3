"""Every described arm is simulated, drawn, limited and learned with; no node knows a robot or its number of joints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from tdm_ros import TDM
from tdm_ros.bringup.table import TableError, load_table
from tdm_ros.control.arm_control import ArmControl, ArmTiming
from tdm_ros.control.arm_io import CommandCheck, JointOrder
from tdm_ros.control.timeline import Announcement, State
from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.arm_cycle import ArmCycle, at_home
from tdm_ros.robots.description import load_robot, robot_files
from tdm_ros.robots.kinematics import forward, joint_frames, joint_links
from tdm_ros.robots.limiter import Limiter
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.urdf import robot_urdf
from tdm_ros.tasks import TaskSpec, reach_task
from tdm_ros.tasks.pushing import push_task
from tdm_ros.training.environment import recorded_name

ROOT = Path(__file__).parents[1]
ROBOTS = sorted(robot_files())
rng = np.random.default_rng(5)


def posture(name: str) -> np.ndarray:
    robot = load_robot(name)
    return rng.uniform(np.maximum(robot.lower_rad, -2.5), np.minimum(robot.upper_rad, 2.5))


def test_there_are_the_six_arms() -> None:
    assert ROBOTS == ["gen3", "panda", "sawyer", "so101", "ur5e", "xarm7"]


@pytest.mark.parametrize("path", sorted((ROOT / "tdm_ros" / "nodes").glob("*.py")), ids=lambda path: path.stem)
def test_no_node_knows_a_robot_or_its_number_of_joints(path: Path) -> None:
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("EDGES"))
    found = re.findall(rf"(?i)\b(?:{'|'.join(ROBOTS)})\b|right_\w+|\(7,\)|\b7\b|\bseven\b", text)
    assert not [word for word in found if word != "sawyer"] and found.count("sawyer") <= (path.stem == "parameters")


@pytest.mark.parametrize("name", ROBOTS)
def test_simulated_arm_holds_at_home_and_its_hand_is_that_of_the_kinematics(name: str) -> None:
    robot = load_robot(name)
    sim = ArmSim(actuations(robot)["velocity"], robot=robot)
    sim.advance(500)
    now = sim.reading()
    np.testing.assert_allclose(now.q_rad, robot.home_rad, atol=1e-6)
    np.testing.assert_allclose(now.hand_m, forward(now.q_rad, robot).position_m, atol=1e-9)
    assert sim.data.ncon == 0
    speed = np.zeros(len(robot.joint_names))
    speed[1] = 0.2
    sim.drive("velocity", speed)
    sim.advance(100)
    np.testing.assert_allclose(sim.reading().qd_rad_s, speed, atol=0.03)


@pytest.mark.parametrize("name", ROBOTS)
def test_mjcf_urdf_and_frames_are_one_chain(name: str) -> None:
    robot, q = load_robot(name), posture(name)
    hand = forward(q, robot)
    frames, links = joint_frames(q, robot), joint_links(robot)
    above = {child: (joint, parent) for joint, (parent, child) in links.items()}
    chained, link = np.eye(4), robot.hand_frame
    while link in above:
        joint, link = above[link]
        chained = frames[joint] @ chained
    assert link == robot.base_frame
    np.testing.assert_allclose(chained[:3, 3], hand.position_m, atol=2e-9 if name != "sawyer" else 1e-5)
    model = mujoco.MjModel.from_xml_string(robot_xml(robot))
    data = mujoco.MjData(model)
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.site(robot.hand_frame).xpos, hand.position_m, atol=1e-9)
    spec = mujoco.MjSpec.from_string(robot_urdf(robot))
    spec.compiler.fusestatic = False
    read = spec.compile()
    assert [read.joint(i).name for i in range(read.njnt)] == list(robot.joint_names)
    np.testing.assert_allclose(read.jnt_range, np.stack([robot.lower_rad, robot.upper_rad], axis=1), atol=1e-5)
    seen = mujoco.MjData(read)
    seen.qpos[:] = q
    mujoco.mj_kinematics(read, seen)
    np.testing.assert_allclose(seen.body(robot.hand_frame).xpos, hand.position_m, atol=1e-5)


@pytest.mark.parametrize("name", ROBOTS)
def test_task_and_limits_are_those_of_the_robot(name: str) -> None:
    robot = load_robot(name)
    task = reach_task(robot)
    joints = len(robot.joint_names)
    assert task.name == f"{name}_reach_velocity" and task.frame == robot.base_frame
    assert task.action.names == robot.joint_names and task.observation.size == 2 * joints + 3
    assert (task.goal.low, task.goal.high) == robot.goal_box_m
    limits = Limiter(actuations(robot)["velocity"], None, robot).limits
    assert (limits.box_low_m, limits.box_high_m) == robot.hand_box_m
    low, high = np.array(robot.drive_home_box_m)
    assert (low <= robot.hand_box_m[0]).all() and (high >= robot.hand_box_m[1]).all()


@pytest.mark.parametrize("name", ROBOTS)
def test_environment_of_any_arm(name: str) -> None:
    env, task = make_goal_env(f"reach:{name}")
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first["observation"], again["observation"])
    for _ in range(task.episode_steps):
        seen, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert np.isfinite(seen["observation"]).all() and not terminated
    assert truncated and info["executed_action"].shape == env.action_space.shape
    np.testing.assert_array_equal(seen["achieved_goal"], seen["observation"][-3:])


@pytest.mark.parametrize("name", ["reach:nobody", "reach:", "reach:ur5e:pneumatic"])
def test_unknown_arm_or_actuation_is_one_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=r"must be .*(sawyer|velocity|reach:ROBOT)"):
        make_goal_env(name)


@pytest.mark.parametrize("name", ["ur5e", "so101"])
def test_another_arm_learns_to_reach_in_two_hundred_steps(name: str) -> None:
    model = TDM(f"reach:{name}", seed=0).learn(200)
    assert np.median(model.evaluate(20).final_distance) < 0.01


def test_systems_of_sawyer_and_of_any_arm_choose_the_driver() -> None:
    own, any_arm = (load_table(ROOT / "config" / f"{name}.system.yaml") for name in ("sawyer_reach", "reach"))
    values = own.values(["robot:=sawyer"])
    assert values["driver"] == "intera" and values["auto_start"] is False
    assert [path.name for path in own.params_files(values)] == ["sawyer_reach.yaml", "sawyer_real.yaml"]
    assert own.values(["sim:=gazebo"])["driver"] == "gazebo" and own.values([])["driver"] == "mujoco"
    assert [part.launch_file for part in own.included(own.values(["sim:=gazebo"]))] == ["gazebo.launch.py"]
    values = any_arm.values(["robot:=ur5e"])
    arm = next(node for node in any_arm.nodes if node.name == "arm")
    assert any_arm.given(arm, values)["robot"] == "ur5e" and values["auto_start"] is True
    assert all("robot" in node.parameters for node in any_arm.nodes)
    values = any_arm.values(["robot:=ur5e", "sim:=gazebo"])
    (gazebo,) = any_arm.included(values)
    assert values["driver"] == "gazebo" and gazebo.launch_file == "gazebo.launch.py" and "robot" in gazebo.arguments
    with pytest.raises(TableError, match="has no argument 'sim'"):
        load_table(ROOT / "config" / "push.system.yaml").values(["sim:=gazebo"])


@pytest.mark.parametrize("name", ["ur5e", "gen3", "so101"])
def test_the_operator_moves_the_hand_of_any_arm_and_it_drives_home(name: str) -> None:
    robot = load_robot(name)
    drive = actuations(robot)["velocity"]
    sim = ArmSim(drive, robot=robot)
    cycle = ArmCycle(sim, Limiter(drive, None, robot), drive)
    check = CommandCheck(JointOrder(robot.joint_names), mode=0)
    control = ArmControl((cycle, cycle), check, ArmTiming(), robot.home_rad, 0.0)
    control.announce(Announcement(State.HOLD, start_cycle=1, reason="test"), 0.0)
    begin, now_s = sim.reading().hand_m, 0.05
    control.tick(now_s)
    for _ in range(10):
        assert not control.receive_twist([0.0, 0.05, 0.0, 0.0, 0.0, 0.0], now_s + 0.001)
        now_s += 0.05
        control.announce(control.timeline.newest, now_s)
        control.tick(now_s)
    control.receive_twist(np.zeros(6), now_s)
    moved = sim.reading().hand_m - begin
    assert 0.01 < moved[1] < 0.03 and np.abs(moved[[0, 2]]).max() < 0.008
    control.announce(Announcement(State.RESETTING, start_cycle=control.cycle, reason="test"), now_s)
    for _ in range(80):
        now_s += 0.05
        control.announce(control.timeline.newest, now_s)
        control.tick(now_s)
    now = sim.reading()
    assert at_home(now.q_rad, now.qd_rad_s, robot.home_rad)


def test_capsule_without_a_length_is_a_sphere_in_all_models(tmp_path: Path) -> None:
    text = (ROOT / "config" / "robots" / "so101.yaml").read_text()
    short = re.sub(r"(link: gripper_link, ends_m: )\[[^]]*\]", r"\1[0.01, 0, 0, 0.01, 0, 0]", text, count=1)
    path = tmp_path / "short.yaml"
    path.write_text(short)
    robot = load_robot(path)
    model = mujoco.MjModel.from_xml_string(robot_xml(robot))
    assert (model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE).sum() == 2  # one seen, one touched
    assert mujoco.MjModel.from_xml_string(robot_urdf(robot)).njnt == 5
    make_goal_env(f"reach:{path}")[0].reset(seed=0)


@pytest.mark.parametrize(
    ("task", "arguments", "expected"),
    [
        (reach_task(load_robot("sawyer")), {"robot": "simulated"}, "reach:sawyer"),
        (reach_task(load_robot("ur5e"), "torque"), {"robot": "ur5e"}, "reach:ur5e:torque"),
        (push_task(load_robot("panda")), {"robot": "panda"}, "push:panda"),
        (reach_task(load_robot("so101")), {"robot": "/lab/mine.yaml"}, "reach:/lab/mine.yaml"),
    ],
)
def test_checkpoint_of_a_live_run_is_evaluated_in_the_environment_of_its_task(
    tmp_path: Path, task: TaskSpec, arguments: dict[str, str], expected: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"system": "any", "arguments": arguments}))
    assert recorded_name(tmp_path / "checkpoint", task) == expected
