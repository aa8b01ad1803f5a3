"""Arm and limits of the node `arm`, from its parameters."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace

from rclpy.node import Node

from tdm_ros.drivers.bridged import JOINT_STATES as BRIDGED
from tdm_ros.drivers.gazebo import GazeboArm, JointCommands
from tdm_ros.drivers.intera.authentication import read_secret
from tdm_ros.drivers.intera.client import WORKER, ArmClient, InteraClient, InteraError, ros1_environment
from tdm_ros.drivers.intera.wire import JOINTS
from tdm_ros.drivers.ros2_control import Ros2ControlArm, make_zero, watchdog_words
from tdm_ros.drivers.ros2_control_settings import settings_of
from tdm_ros.drivers.watchdog import WatchdogClient
from tdm_ros.drivers.worker_arm import WorkerArm
from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.envs.push_env import push_model
from tdm_ros.nodes.parameters import UNLIMITED, ArmParameters, LimitParameters
from tdm_ros.robots.arm import ACTUATIONS, Arm, actuations
from tdm_ros.robots.description import Point, Robot
from tdm_ros.robots.gazebo import JOINT_STATES as GAZEBO
from tdm_ros.robots.gazebo import servo_n_m_s_rad
from tdm_ros.robots.limits import Limits
from tdm_ros.tasks.pushing import PushSetup


def limits_of(given: LimitParameters, robot: Robot) -> Limits:
    """Limits of a robot; a ValueError says that corners make no box, or that bounds do not go together."""
    hand, links, parts = given.hand_box, given.link_box, given.self_collision
    low_m, high_m = hand.low_m or robot.hand_box_m[0], hand.high_m or robot.hand_box_m[1]
    try:
        return Limits(
            box_low_m=_corner(low_m),
            box_high_m=_corner(high_m),
            joint_margin_rad=given.joint_margin_rad,
            velocity_scale=given.velocity_scale,
            look_ahead_s=given.look_ahead_s,
            age_max_s=_bound(given.state_age_s),
            delay_s=given.command_delay_s,
            acceleration_scale=_bound(given.acceleration_scale),
            links_low_m=_corner(links.low_m) if links.enabled else None,
            links_high_m=_corner(links.high_m) if links.enabled else None,
            hand_speed_m_s=_bound(given.hand_speed_m_s),
            singular_m=given.min_singular_value_m or None,
            clearance_m=parts.clearance_m if parts.enabled else None,
        )
    except ValueError as error:
        raise ValueError(f"arm.limits: {error}") from None


def limits_with_tool(limits: Limits, setup: PushSetup) -> Limits:
    """Limits of a hand whose vertical tool must not touch the table: its tip stays at half its height of pushing."""
    x, y, z = limits.box_low_m
    return replace(limits, box_low_m=(x, y, max(z, setup.tool_length_m + setup.half_height_m / 2)))


def _corner(given: tuple[float, ...]) -> Point:
    if len(given) != 3:
        raise ValueError("link_box.low_m and link_box.high_m must be given where link_box.enabled is true, got none")
    return given[0], given[1], given[2]


def _bound(maximum: float) -> float | None:
    return None if maximum == UNLIMITED else maximum


def home_limits_of(limits: Limits, robot: Robot) -> Limits:
    """Limits of the drive home: a wider box with the same lowest height, and no limit near singular postures.

    A straight line in joint space passes these without large velocities.
    """
    (x, y, _), high_m = robot.drive_home_box_m
    return replace(limits, box_low_m=(x, y, limits.box_low_m[2]), box_high_m=high_m, singular_m=None)


def make_arm(given: ArmParameters, node: Node, robot: Robot) -> Arm:
    """Arm of the node; a ValueError has the reason why it is not available."""
    if given.driver == "mujoco":
        model = push_model(robot) if given.task == "push" else None
        return ArmSim(actuations(robot)[given.actuation], model, robot)
    if given.task == "push" and given.driver == "gazebo":
        raise ValueError("driver gazebo is for task reach: its worlds have neither tool nor object, take driver mujoco")
    file = given.robot if given.robot.endswith(".yaml") else ""
    if given.driver not in (*robot.drivers, "gazebo"):
        raise ValueError(
            f"the description of robot {robot.name} has no entry {given.driver} below drivers: add one, or take "
            f"driver {' or '.join(dict.fromkeys(('mujoco', 'gazebo', *robot.drivers)))}"
        )
    if given.driver == "ros2_control":
        return make_ros2_control(given, node, robot, file)
    if given.driver == "intera":
        return make_intera(given)
    if given.driver == "bridged":  # a bridge repeats the ROS 1 topics of the arm
        return _through("bridged", lambda: _watchdog(given, node, "bridged"))
    return make_gazebo(given, node, robot, file)


def joint_states_read(given: ArmParameters, robot: Robot) -> str:
    """Topic from which the watchdog of a driver takes the robot's joint states, relative to the namespace; "" if none.

    The node must not publish there: the watchdog would take its messages for those of a robot that has fallen silent.
    """
    if given.driver == "ros2_control":
        return settings_of(robot, given.ros2_control.given()).joint_states
    return {"bridged": BRIDGED, "gazebo": GAZEBO}.get(given.driver, "")


def make_gazebo(given: ArmParameters, node: Node, robot: Robot, file: str = "") -> Arm:
    """The arm of a robot's Gazebo world that runs already, through the watchdog of its topics; ``file`` as below."""
    by_torque = actuations(robot)[given.actuation].mode == "torque"
    if by_torque and given.lock_step:
        raise ValueError("lock_step needs actuation velocity: torques that hold the arm have to change within a cycle")
    if by_torque:
        servo_n_m_s_rad(robot)
    words = ["--robot", file or robot.name, *["--lock-step"] * given.lock_step, *["--by-torque"] * by_torque]
    commands, joints = JointCommands(node, by_torque, robot), len(robot.joint_names)
    return _through(
        "gazebo",
        lambda: _watchdog(given, node, "gazebo", *words, joints=joints),
        lambda client: GazeboArm(client, commands, given.lock_step, robot),
    )


def make_ros2_control(given: ArmParameters, node: Node, robot: Robot, file: str = "") -> Arm:
    """The arm of a robot behind ros2_control, through the watchdog of its topics.

    ``file`` is the path of a description that is not installed: the watchdog reads it, too.
    """
    settings = settings_of(robot, given.ros2_control.given())
    if ACTUATIONS[given.actuation].mode == "torque":
        raise ValueError(f"driver ros2_control takes actuation velocity, got {given.actuation}: choose velocity")
    zero, words = make_zero(node, robot, settings), watchdog_words(file or robot.name, settings)
    joints = len(robot.joint_names)
    return _through(
        "ros2_control",
        lambda: _watchdog(given, node, "ros2_control", *words, joints=joints),
        lambda client: Ros2ControlArm(client, robot, zero),
    )


def make_intera(given: ArmParameters) -> Arm:
    """An arm behind a worker with intera_interface."""

    def start() -> InteraClient:
        if given.worker.address != "none":
            return _connected(given)
        folders = [folder for folder in given.worker.python_path.split(":") if folder]
        host_ip = "" if given.ros1.host_ip == "auto" else given.ros1.host_ip
        environ = ros1_environment(os.environ, given.ros1.master_uri, host_ip, folders)
        return InteraClient.start(
            [*shlex.split(given.worker.command), WORKER, *shlex.split(given.worker.arguments)], environ
        )

    return _through("intera", start)


def _watchdog(given: ArmParameters, node: Node, module: str, *words: str, joints: int = JOINTS) -> WatchdogClient:
    if given.worker.address != "none":
        raise ValueError("worker.address is only for driver intera: the watchdog of other drivers is started here")
    command = [sys.executable, "-m", f"tdm_ros.drivers.{module}", *shlex.split(given.worker.arguments)]
    return WatchdogClient(node, [*command, *words], joints=joints)


def _through(name: str, start: Callable[[], ArmClient], arm: Callable[[ArmClient], Arm] = WorkerArm) -> Arm:
    try:
        client = start()
        try:
            client.wait_ready()
            return arm(client)
        except BaseException:
            client.close()
            raise
    except (InteraError, OSError, ValueError) as error:
        raise ValueError(f"driver {name}: {error}") from error


def _connected(given: ArmParameters) -> InteraClient:
    host, _, port = given.worker.address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"worker.address must be HOST:PORT, got {given.worker.address!r}")
    if not given.worker.secret_file:
        raise ValueError("worker.secret_file must name the file that the worker was given as --secret-file, got none")
    return InteraClient.connect(host, int(port), read_secret(given.worker.secret_file))
