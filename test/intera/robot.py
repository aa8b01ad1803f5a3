"""A simulated Sawyer that speaks Intera: a ROS 1 node over our MuJoCo model.

It has the topics, parameters, services, rates and time-outs of the real controller, as far as intera_interface uses
them. Time is real. Its parent writes one JSON list per line to its stdin, `["name", arguments...]`, and reads one
JSON line for each from its stdout: faults are set that way, and the true motion is read, apart from ROS.
"""

from __future__ import annotations

import argparse
import json
from collections import deque

import numpy as np
import rospy
from controller import LIMB, Body, listen
from intera_core_msgs.msg import (
    CollisionDetectionState,
    EndpointState,
    EndpointStates,
    IOComponentCommand,
    IOComponentConfiguration,
    IODataStatus,
    IODeviceConfiguration,
    IODeviceStatus,
    IONodeConfiguration,
    JointCommand,
    JointLimits,
    RobotAssemblyState,
)
from intera_core_msgs.srv import SolvePositionFK, SolvePositionFKResponse, SolvePositionIK, SolvePositionIKResponse
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, Float64

from tdm_ros.robots.kinematics import HandPose, jacobian, quaternion_wxyz
from tdm_ros.robots.sawyer import EFFORT_MAX_N_M, JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S

ACCELERATION_RAD_S2 = [10.0, 8.0, 10.0, 10.0, 12.0, 12.0, 12.0]
DEVICES = {
    "robot/cuff": {"right_cuff": 0, "right_button_lower": 0, "right_button_upper": 0},
    "robot/navigator": {
        f"{side}_{name}": 0
        for side in ("right", "head")
        for name in (
            "button_back",
            "button_show",
            "button_circle",
            "button_square",
            "button_triangle",
            "button_ok",
            "wheel",
        )
    },
    "robot/robot": {f"head_{colour}_light": False for colour in ("red", "green", "blue")},
    "end_effector/right_gripper": {
        "position_m": 0.0,
        "position_response_m": 0.0,
        "speed_mps": 3.0,
        "force_response_n": 0.0,
        "dead_zone_m": 0.0,
        "has_error": False,
        "is_calibrated": True,
        "is_moving": False,
        "is_gripping": False,
        "calibrate": False,
        "reboot": False,
        "go": True,
    },
}


class Node(Body):
    """Topics, parameters and services around the controller."""

    def __init__(self, without: list[str]) -> None:
        super().__init__()
        self._set_parameters(without)
        rospy.init_node("sawyer", disable_signals=True)
        self._make_topics(without)
        self._io = {
            name: Device(
                name,
                {signal: value for signal, value in signals.items() if f"{name}/{signal}" not in without},
                f"{name}/state" not in without,
            )
            for name, signals in DEVICES.items()
            if name not in without
        }
        self._io_config = rospy.Publisher("/io/robot/config", IONodeConfiguration, queue_size=1)
        self._io_since = rospy.Time.now()
        self._announce_gripper()

    def _set_parameters(self, without: list[str]) -> None:
        for name, value in {
            "/robot_config/assembly_names": ["right", "torso", "head"],
            "/robot_config/right_config/joint_names": list(JOINT_NAMES),
            "/manifest/robot_class": "sawyer",
            "/manifest/robot_software/version/HLR_VERSION_STRING": "5.5.2.0",
        }.items():
            if name not in without:
                rospy.set_param(name, value)

    def _make_topics(self, without: list[str]) -> None:
        c = self.controller
        self._joints = rospy.Publisher("/robot/joint_states", JointState, queue_size=1, tcp_nodelay=True)
        self._endpoint = rospy.Publisher(LIMB + "endpoint_state", EndpointState, queue_size=1, tcp_nodelay=True)
        if "tip_states" not in without:
            self._tips = rospy.Publisher(LIMB + "tip_states", EndpointStates, queue_size=1, tcp_nodelay=True)
        self._collision = None
        if "collision_detection_state" not in without:
            self._collision = rospy.Publisher(LIMB + "collision_detection_state", CollisionDetectionState, queue_size=1)
        self._state = rospy.Publisher("/robot/state", RobotAssemblyState, queue_size=1, latch=True)
        self._limits = rospy.Publisher("/robot/joint_limits", JointLimits, queue_size=1, latch=True)
        self._limits.publish(
            JointLimits(JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S, ACCELERATION_RAD_S2, EFFORT_MAX_N_M)
        )
        subscribe = rospy.Subscriber
        self._joint_command = subscribe(LIMB + "joint_command", JointCommand, self.take, queue_size=1, tcp_nodelay=True)
        subscribe(LIMB + "joint_command_timeout", Float64, self.set_timeout)
        subscribe(LIMB + "set_speed_ratio", Float64, lambda m: setattr(c, "speed_ratio", min(max(m.data, 0.0), 1.0)))
        subscribe("/robot/set_super_enable", Bool, lambda m: c.enable(m.data))
        subscribe("/robot/set_super_reset", Empty, lambda m: c.reset())
        subscribe("/robot/set_super_stop", Empty, lambda m: c.stop(2, 2))
        kinematics = "/ExternalTools/right/PositionKinematicsNode/"
        rospy.Service(kinematics + "IKService", SolvePositionIK, lambda _: SolvePositionIKResponse())
        rospy.Service(kinematics + "FKService", SolvePositionFK, lambda _: SolvePositionFKResponse())

    def _announce_gripper(self) -> None:
        names = [name.split("/")[1] for name in self._io if name.startswith("end_effector/")]
        config = IONodeConfiguration(
            time=rospy.Time.now(), devices=[IOComponentConfiguration(name, "{}") for name in names]
        )
        self._gripper_config = rospy.Publisher("/io/end_effector/config", IONodeConfiguration, queue_size=1, latch=True)
        self._gripper_config.publish(config)

    def publish_motion(self) -> None:
        stamp = rospy.Time.now()
        message = JointState()
        message.header.stamp = stamp
        if (sample := self.joints(message)) is not None:
            self._joints.publish(sample)
        with self.controller.lock:
            reading, hand = self.controller.sim.reading(), self.controller.sim.hand_pose()
        state = _endpoint(reading.q_rad, reading.qd_rad_s, hand)
        state.header.stamp = stamp
        if not self.flags["mute_hand"]:
            self._endpoint.publish(state)
        if hasattr(self, "_tips"):
            tips = EndpointStates(names=["right_hand"], states=[state])
            self._tips.publish(tips)

    def publish_state(self) -> None:
        c = self.controller
        self._state.publish(
            RobotAssemblyState(
                homed=c.homed,
                ready=c.enabled,
                enabled=c.enabled,
                stopped=c.stopped,
                error=c.error,
                estop_button=c.estop_button,
                estop_source=c.estop_source,
            )
        )

    def publish_collision(self) -> None:
        if self._collision is not None:
            self._collision.publish(CollisionDetectionState(collision_state=self.flags["collided"]))

    def publish_devices(self) -> None:
        """As a robot's controller does, see `tdm_ros.drivers.intera.devices.Heartbeat`."""
        if not self.flags["mute_io"]:
            self._io_config.publish(IONodeConfiguration(time=self._io_since))
        if self.flags["io_repeats"]:
            for name in self._io:
                self._publish_device(name)

    def _publish_device(self, name: str) -> None:
        if not self.flags.get("mute_" + name.split("/")[1]):
            self._io[name].publish()

    def leave(self) -> None:
        self._joint_command.unregister()

    def press(self, device: str, signal: str, value: object) -> None:
        self._io[device].values[signal] = value
        self._publish_device(device)

    def withdraw(self, device: str) -> None:
        self._io[device].withdraw()

    def more_facts(self) -> dict[str, object]:
        return {
            "gripper_m": self._io["end_effector/right_gripper"].values["position_m"],
            "lights": self._io["robot/robot"].values,
        }


class Device:
    """One IO device: its signals, a latched configuration, a latched state, and the command to set a signal."""

    def __init__(self, name: str, signals: dict[str, object], is_active: bool) -> None:
        self.name, self.values, self._is_active = name, dict(signals), is_active
        self._done: deque = deque(maxlen=20)
        topic = f"/io/{name}/"
        component = IOComponentConfiguration(name.split("/")[1], "{}")
        self._config = rospy.Publisher(topic + "config", IODeviceConfiguration, queue_size=1, latch=True)
        self._state = rospy.Publisher(topic + "state", IODeviceStatus, queue_size=1, latch=True)
        rospy.Subscriber(topic + "command", IOComponentCommand, self._command)
        self._config.publish(IODeviceConfiguration(time=rospy.Time.now(), device=component))
        self.publish()

    def publish(self) -> None:
        """Say the state, if the device is active."""
        if not self._is_active:
            return
        signals = []
        for name, value in self.values.items():
            kind = {bool: "bool", int: "int", float: "float"}[type(value)]
            form = json.dumps({"type": kind, "role": "input"})
            signals.append(IODataStatus(name=name, format=form, data=json.dumps([value])))
        message = IODeviceStatus(time=rospy.Time.now(), signals=signals, commands=list(self._done))
        message.device.name = self.name.split("/")[1]
        self._state.publish(message)

    def withdraw(self) -> None:
        """Publish the state no more."""
        self._state.unregister()

    def _command(self, message: IOComponentCommand) -> None:
        for name, wanted in json.loads(message.args).get("signals", {}).items():
            if message.op == "set" and name in self.values:
                self.values[name] = type(self.values[name])(wanted["data"][0])
        if message.time not in self._done:
            self._done.append(message.time)
        self.publish()


def _endpoint(q_rad: np.ndarray, qd_rad_s: np.ndarray, hand: HandPose) -> EndpointState:
    """Pose and twist of the hand in frame base."""
    state = EndpointState(valid=True)
    at, turned = state.pose.position, state.pose.orientation
    at.x, at.y, at.z = hand.position_m
    turned.w, turned.x, turned.y, turned.z = quaternion_wxyz(hand.rotation)
    twist = jacobian(q_rad) @ qd_rad_s
    linear, angular = state.twist.linear, state.twist.angular
    linear.x, linear.y, linear.z = twist[:3]
    angular.x, angular.y, angular.z = twist[3:]
    return state


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument(
        "--without",
        action="append",
        default=[],
        help="a parameter, a device, DEVICE/state, DEVICE/SIGNAL, tip_states or collision_detection_state",
    )
    node = Node(words.parse_args().without)
    listen(node, lambda: rospy.signal_shutdown("the test is over"))
    node.run(rospy.is_shutdown)


if __name__ == "__main__":
    main()
