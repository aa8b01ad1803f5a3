"""A simulated Sawyer that speaks Intera: a ROS 1 node over our MuJoCo model.

It has the topics, parameters, services, rates and time-outs of the real controller, as far as intera_interface uses
them. Time is real. Its parent writes one JSON list per line to its stdin, `["name", arguments...]`, and reads one
JSON line for each from its stdout: faults are set that way, and the true motion is read, apart from ROS.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import signal

import rospy
from controller import LIMB, Body, listen
from intera_core_msgs.msg import (
    CollisionDetectionState,
    EndpointState,
    EndpointStates,
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
        for (topic, call), kind in zip(self.settings().items(), (Float64, Float64, Bool, Empty, Empty), strict=True):
            subscribe(topic, kind, call)
        kinematics = "/ExternalTools/right/PositionKinematicsNode/"
        rospy.Service(kinematics + "IKService", SolvePositionIK, lambda _: SolvePositionIKResponse())
        rospy.Service(kinematics + "FKService", SolvePositionFK, lambda _: SolvePositionFKResponse())

    def publish_motion(self) -> None:
        stamp = rospy.Time.now()
        message = JointState()
        message.header.stamp = stamp
        if (sample := self.joints(message)) is not None:
            self._joints.publish(sample)
        state = self.endpoint(EndpointState(valid=True))
        state.header.stamp = stamp
        if not self.flags["mute_hand"]:
            self._endpoint.publish(state)
        if hasattr(self, "_tips"):
            tips = EndpointStates(names=["right_hand"], states=[state])
            self._tips.publish(tips)

    def publish_state(self) -> None:
        self._state.publish(RobotAssemblyState(**self.state()))

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


class Device:
    """One IO device: its signals, a latched configuration and a latched state."""

    def __init__(self, name: str, signals: dict[str, object], is_active: bool) -> None:
        self.name, self.values, self._is_active = name, dict(signals), is_active
        topic = f"/io/{name}/"
        component = IOComponentConfiguration(name.split("/")[1], "{}")
        self._config = rospy.Publisher(topic + "config", IODeviceConfiguration, queue_size=1, latch=True)
        self._state = rospy.Publisher(topic + "state", IODeviceStatus, queue_size=1, latch=True)
        self._config.publish(IODeviceConfiguration(time=rospy.Time.now(), device=component))
        self.publish()

    def publish(self) -> None:
        """Say the state, if the device is active."""
        if not self._is_active:
            return
        signals = []
        for name, value in self.values.items():
            form = json.dumps({"type": "int", "role": "input"})
            signals.append(IODataStatus(name=name, format=form, data=json.dumps([value])))
        message = IODeviceStatus(time=rospy.Time.now(), signals=signals)
        message.device.name = self.name.split("/")[1]
        self._state.publish(message)

    def withdraw(self) -> None:
        """Publish the state no more."""
        self._state.unregister()


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # says on stderr what each thread does
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
