"""Whether a robot behind ros2_control may move: its own topics, and its controller manager."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # type: ignore[import-untyped]
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool

from tdm_ros.drivers.intera.sdk import NO_ROBOT, ComingUpError
from tdm_ros.drivers.ros2_control_settings import Settings
from tdm_ros.drivers.watchdog import NEWEST, Polled, ask
from tdm_ros.robots.description import Robot

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DIAGNOSTICS_SILENT_S = 3.0
"""Age of diagnostics, which come once per second, that stops the arm [s]."""
LOOK_EVERY_S = 0.1
"""Interval at which publishers of the robot's topics are counted [s]."""
ASK_EVERY_S = 0.5
ANSWER_S = 2.0
"""Interval of questions to the controller manager, and age of its last answer that stops the arm [s]."""
SWITCHED_S = 3.0
"""Longest time for controllers to be switched [s]."""


class RobotStatus:
    """Topics named in the robot file: whether the robot is enabled, its e-stop, and its diagnostics."""

    def __init__(self, node: Node, polled: Polled, settings: Settings) -> None:
        self._node, self._polled, self._name = node, polled, settings.diagnostics_name
        self._to_find = {"enabled": settings.enabled_topic, "estop": settings.estop_topic}
        self.faults: dict[str, str] = {}
        self._diagnosed_s = -math.inf
        self._diagnostics_topic = settings.diagnostics_topic
        self._looked_s, self._silent = -math.inf, ""
        self._to_find = {key: topic for key, topic in self._to_find.items() if topic}
        self._bools: dict[str, tuple[str, bool | None]] = {key: (topic, None) for key, topic in self._to_find.items()}
        if settings.diagnostics_topic:
            polled.subscribe(DiagnosticArray, settings.diagnostics_topic, self._on_diagnostics, QoSProfile(depth=10))

    @property
    def enabled(self) -> bool:
        return self._bools.get("enabled", ("", True))[1] is True

    @property
    def estop(self) -> bool:
        return self._bools.get("estop", ("", False))[1] is not False

    def missing(self) -> str:
        """Subscribe to topics that are there now; return one that published nothing, or ""."""
        self._find()
        for topic, value in self._bools.values():
            if value is None:
                return f"{topic} (std_msgs/Bool) published nothing"
        if self._diagnostics_topic and self._diagnosed_s == -math.inf:
            return f"{self._diagnostics_topic} published no status whose name begins with {self._name!r}"
        return ""

    def problem(self, now_s: float) -> str:
        """Return why the robot says that it must not move, or why it does not say anything, or ""."""
        if self.estop:
            return f"the e-stop is pressed ({self._bools['estop'][0]}): release it, then reset and enable the arm"
        if not self.enabled:
            return f"the robot is not enabled ({self._bools['enabled'][0]} is false): enable it there, then the arm"
        for name, text in self.faults.items():
            return f"the robot reports an error ({name}: {text}): clear it there, then reset and enable the arm"
        if self._diagnostics_topic and now_s - self._diagnosed_s > DIAGNOSTICS_SILENT_S:
            return f"{self._diagnostics_topic} is {now_s - self._diagnosed_s:.1f} s old: is the robot's driver up?"
        if now_s - self._looked_s > LOOK_EVERY_S:
            self._looked_s = now_s
            without = [topic for topic, _ in self._bools.values() if not self._node.count_publishers(topic)]
            self._silent = f"{without[0]} has no publisher: is the robot's driver up?" if without else ""
        return self._silent

    def _find(self) -> None:
        """Subscribe as the publisher offers: what is published at each change alone is latched, the rest is not."""
        for key, topic in [*self._to_find.items()]:
            if offered := self._node.get_publishers_info_by_topic(topic):
                latched = offered[0].qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                self._polled.subscribe(Bool, topic, self._setter(key), LATCHED if latched else NEWEST)
                del self._to_find[key]

    def _setter(self, key: str) -> Callable[[Bool], None]:
        def receive(message: Bool) -> None:
            self._bools[key] = self._bools[key][0], message.data

        return receive

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self._name):
                self._diagnosed_s = time.monotonic()
                self.faults.pop(status.name, None)
                if status.level in (DiagnosticStatus.ERROR, DiagnosticStatus.STALE):
                    self.faults[status.name] = status.message or "no text"


class Controllers:
    """The arm's controller: its joints and interface, as it tells them, and whether it is active.

    What is not there is not checked: a simulator may have neither a controller manager nor parameters.
    """

    def __init__(self, node: Node, polled: Polled, settings: Settings, robot: Robot) -> None:
        self._settings, self._robot = settings, robot
        self.name = settings.usual[0]
        self.order: tuple[str, ...] = settings.joints or robot.joint_names
        self._known = self._asked = False
        self._wrong = ""
        self._parameters = polled.client(GetParameters, f"{self.name}/get_parameters", self._on_parameters)
        self._list: Any = None
        self._switch: Any = None
        self._switched, self._answer = threading.Event(), ""
        self._states: dict[str, Any] = {}
        self._asked_s = self._answered_s = -math.inf
        self.unchecked = ""
        try:
            from controller_manager_msgs.srv import ListControllers, SwitchController
        except ImportError:
            self.unchecked = "controller manager: controller_manager_msgs cannot be imported, controllers not checked"
            return
        manager, self._request = settings.controller_manager, SwitchController.Request
        self._list = polled.client(ListControllers, f"{manager}/list_controllers", self._on_list)
        self._switch = polled.client(SwitchController, f"{manager}/switch_controller", self._on_switched)

    @property
    def remedy(self) -> str:
        return f"type `ros2 control switch_controllers --activate {self.name}` and what it deactivates, or call enable"

    def missing(self) -> str:
        """Return what has not answered yet, or ""; a ComingUpError if the controller is another one than expected."""
        self._ask(time.monotonic())
        if self._wrong:
            raise ComingUpError(self._wrong, NO_ROBOT)
        if self._parameters.service_is_ready() and not self._known:
            if not self._asked:
                self._asked = True  # of one that it does not have, it would tell none of them
                interface = "command_interfaces" if self._settings.command == "trajectory" else "interface_name"
                ask(self._parameters, GetParameters.Request(names=["joints", interface]))
            return f"{self._parameters.srv_name} did not answer"
        if self._list is not None and self._list.service_is_ready() and self._answered_s == -math.inf:
            return f"{self._list.srv_name} did not answer"
        return ""

    def absent(self) -> str:
        """Return which services are not there (yet), or ""."""
        if not self._parameters.service_is_ready():
            return f"{self._parameters.srv_name} is not there: the order of its joints is that of the robot file"
        if self._list is not None and not self._list.service_is_ready():
            return f"{self._list.srv_name} is not there: controllers are not checked"
        return ""

    def problem(self, now_s: float) -> str:
        """Return why the controller follows no command, or ""."""
        if self._answered_s == -math.inf:
            return ""
        self._ask(now_s)
        if now_s - self._answered_s > ANSWER_S:
            return f"{self._list.srv_name} has not answered for {now_s - self._answered_s:.1f} s: is the driver up?"
        state = self._states.get(self.name)
        if state is None:
            return f"{self.name} is not loaded: type `ros2 control load_controller {self.name} --set-state inactive`"
        return "" if state.state == "active" else f"{self.name} is {state.state}, not active: {self.remedy}"

    def activate(self) -> str:
        """Activate the controller, and deactivate those that claim its joints; return "" or why not. It may wait."""
        if self._answered_s == -math.inf or self._states.get(self.name) is None or not self.problem(time.monotonic()):
            return self.problem(time.monotonic())
        ours = set(self._robot.joint_names)
        others = [
            name
            for name, state in self._states.items()
            if state.state == "active" and any(claim.split("/")[0] in ours for claim in state.claimed_interfaces)
        ]
        request = self._request(activate_controllers=[self.name], deactivate_controllers=others, strictness=2)
        self._switched.clear()
        ask(self._switch, request)
        if not self._switched.wait(SWITCHED_S):
            return f"{self._switch.srv_name} did not answer for {SWITCHED_S:g} s: {self.remedy}"
        until_s = time.monotonic() + SWITCHED_S
        while not self._answer and self.problem(time.monotonic()) and time.monotonic() < until_s:
            time.sleep(0.01)
        return self._answer or self.problem(time.monotonic())

    def _ask(self, now_s: float) -> None:
        if self._list is not None and now_s - self._asked_s > ASK_EVERY_S and self._list.service_is_ready():
            self._asked_s = now_s
            ask(self._list, self._list.srv_type.Request())

    def _on_list(self, answer: Any) -> None:
        self._states = {state.name: state for state in answer.controller}
        self._answered_s = time.monotonic()

    def _on_switched(self, answer: Any) -> None:
        why = getattr(answer, "message", "") or "the log of the controller manager says why"
        self._answer = "" if answer.ok else f"controllers were not switched ({why}): {self.remedy}"
        self._asked_s = -math.inf
        self._switched.set()

    def _on_parameters(self, answer: Any) -> None:
        self._known = True
        joints, interfaces = map(_texts, answer.values) if len(answer.values) == 2 else ([], [])
        if joints:
            self.order, self._wrong = tuple(joints), self._mismatch(joints, interfaces)
        else:
            self.unchecked = f"joints of {self.name}: it does not tell them, their order is that of the robot file"

    def _mismatch(self, joints: Sequence[str], interfaces: Sequence[str]) -> str:
        """Return whether the controller has other joints, or takes something else than we send, or ""."""
        expected = ", ".join(self._robot.joint_names)
        if sorted(joints) != sorted(self._robot.joint_names):
            got = f"{self.name} must command the joints of {self._robot.name} ({expected}), got {', '.join(joints)}"
            return f"{got}: set its parameter joints, or ros2_control.controller"
        wanted = self._settings.command
        if interfaces and wanted != "trajectory" and wanted not in interfaces:
            got = f"{self.name} must take {wanted}, got {', '.join(interfaces)}"
            return f"{got}: set ros2_control.command, or another ros2_control.controller"
        return ""


def _texts(value: Any) -> list[str]:
    if value.type == ParameterType.PARAMETER_STRING:
        return [value.string_value] if value.string_value else []
    return list(value.string_array_value)
