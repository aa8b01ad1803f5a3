"""Sawyer through intera_interface: its state, its commands, the errors of the start, and the ROS master."""

from __future__ import annotations

import http.client
import math
import os
import socket
import threading
import time
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse

if TYPE_CHECKING:
    from collections.abc import Callable

ASK_EVERY_S = 0.04
SILENT_S = 0.12
"""Time without an answer of the ROS master that stops the arm [s]."""


class _TimeoutTransport(xmlrpc.client.Transport):
    def make_connection(self, host: object) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection = super().make_connection(host)  # type: ignore[arg-type]
        connection.timeout = 1.0
        return connection


class MasterWatch:
    """Polls the master for its process id, on its own thread."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._last_received_s = time.monotonic()
        self._master_error = ""
        threading.Thread(target=self._ask, name="master", daemon=True).start()

    def problem(self, now_s: float) -> str:
        """Return what is wrong with the master, or ""."""
        silent_s = now_s - self._last_received_s
        if self._master_error:
            return f"the ROS master is not reachable: {self._master_error}"
        return f"the ROS master has not answered for {silent_s:.2f} s" if silent_s > SILENT_S else ""

    def _ask(self) -> None:
        while True:
            master = xmlrpc.client.ServerProxy(self._uri, transport=_TimeoutTransport())
            try:
                while True:
                    master.getPid("/tdm_sawyer_worker")
                    self._last_received_s, self._master_error = time.monotonic(), ""
                    time.sleep(ASK_EVERY_S)
            except Exception as error:  # of the network, of HTTP or of XML-RPC; a frozen master is merely silent
                if not isinstance(error, socket.timeout):
                    self._master_error = str(error) or type(error).__name__
            time.sleep(ASK_EVERY_S)


JOINT_NAMES = tuple(f"right_j{i}" for i in range(7))
COMMAND_TIMEOUT_S = 0.15
"""Time without a command after which the robot returns to position mode by itself [s]. With its default of
0.2 s, an arm whose worker was killed took 0.28 s to stop."""

STALE_S = 0.1
"""Largest age of joint states while the arm moves [s]."""

STATE_SILENT_S = 0.3
"""Largest age of the topics that `WATCHED` names while the arm moves [s]; they arrive many times per second."""

FOUND_S = 5.0
"""Longest time until every topic was received and the robot has subscribed to ours [s]."""

LIMB = "/robot/limb/right/"
WATCHED = {
    "state of the robot": "/robot/state",
    "collision state": LIMB + "collision_detection_state",
    "pose of the hand": LIMB + "endpoint_state",
}
"""Topics that have to be received all the time besides joint states, by name."""

PRESSED = 1
"""Value of RobotAssemblyState.estop_button."""

UNUSABLE, NO_ROS, NO_MASTER, NO_ROBOT = 2, 3, 4, 5
"""Exit codes: the arguments, the Python that runs this, the network, the robot."""


class ComingUpError(RuntimeError):
    """The worker cannot start; the text is the reason. `code` is its exit code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Joints(NamedTuple):
    """One sample of `/robot/joint_states`, and its time of arrival on the steady clock [s]."""

    arrived_s: float
    q_rad: tuple
    qd_rad_s: tuple
    effort_n_m: tuple


def joints_of(message: Any, names: tuple = JOINT_NAMES) -> Joints | None:
    """Return the sample in a JointState of ROS 1 or 2 that has just arrived; None if it is incomplete or not finite."""
    place = {name: index for index, name in enumerate(message.name)}
    arrays = (message.position, message.velocity, message.effort)
    if not set(names) <= set(place) or any(len(array) != len(place) for array in arrays):
        return None
    q, qd, effort = (tuple(float(array[place[name]]) for name in names) for array in arrays)
    return Joints(time.monotonic(), q, qd, effort) if all(map(math.isfinite, q + qd + effort)) else None


def hand_of(message: Any) -> tuple | None:
    """Return position (3,) [m] and quaternion wxyz (4,) of an EndpointState of ROS 1 or 2; None if not finite."""
    p, o = message.pose.position, message.pose.orientation
    hand = ((p.x, p.y, p.z), (o.w, o.x, o.y, o.z))
    return hand if all(math.isfinite(value) for part in hand for value in part) else None


class Received:
    """Newest messages of the robot, of ROS 1 or 2, and the times of their arrival.

    ``silent_s`` is the largest age of the topics that `WATCHED` names [s].
    """

    def __init__(self, silent_s: float = STATE_SILENT_S) -> None:
        self._silent_s = silent_s
        self._at_s = dict.fromkeys(WATCHED, -math.inf)
        self._joints: Joints | None = None
        self._stamp: Any = None
        self._hand: Any = None

    def joints(self) -> Joints | None:
        """Return the newest sample, or None before the first."""
        return self._joints

    def joints_age_s(self, now_s: float) -> float:
        """Return how long ago the newest sample came [s]; very long before the first."""
        return now_s - self._joints.arrived_s if self._joints else 1e6

    def hand(self) -> tuple:
        """Return position (3,) [m] and quaternion wxyz (4,) of the hand; the last that were finite."""
        return tuple(self._hand)

    def _on_joints(self, message: Any) -> None:
        """Keep a sample that is new, complete and finite; the SDK does not recognise an old one."""
        stamp = message.header.stamp
        if self._stamp is not None and stamp == self._stamp and stamp != type(stamp)():
            return
        joints = joints_of(message)
        if joints is not None:
            self._stamp, self._joints = stamp, joints

    def _on_hand(self, message: Any) -> None:
        hand = hand_of(message)
        if hand is not None:
            self._hand = hand
            self._note("pose of the hand")

    def _note(self, name: str) -> None:
        self._at_s[name] = time.monotonic()

    def _never_received(self) -> str:
        """Return the topics that were never received, or ""."""
        never = [WATCHED[name] for name, at_s in self._at_s.items() if at_s == -math.inf]
        never = never if self._joints else ["/robot/joint_states"]
        return f"{', '.join(never)} published nothing complete and finite" if never else ""

    def _silent(self, now_s: float) -> str:
        """Return a topic whose last message is too old, or ""."""
        for name, at_s in self._at_s.items():
            if now_s - at_s > self._silent_s:
                return f"the {name} is {now_s - at_s:.1f} s old"
        return ""

    def _missing(self) -> tuple[str, str]:
        """Return topics without messages or without a subscriber, or "", and the remedy."""
        raise NotImplementedError

    def _wait_for_all(self, found_s: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until nothing is missing; a ComingUpError if something still is after ``found_s`` [s]."""
        deadline_s = time.monotonic() + found_s
        while True:
            missing, remedy = self._missing()
            if not missing:
                return
            if time.monotonic() > deadline_s:
                raise ComingUpError(f"{missing} for {found_s:g} s: {remedy}", NO_ROBOT)
            meanwhile()
            time.sleep(0.01)


def reset_problem(state: Any) -> str:
    """Return why a robot in this state (a RobotAssemblyState of ROS 1 or 2) cannot be reset, or ""."""
    if state.stopped and state.estop_button == PRESSED:
        return "the e-stop is pressed: release it first"
    if state.error and not state.stopped:
        return (
            "the robot reports an error without being stopped, and a reset clears only a stop: stop it (motors off, "
            "brakes on), then reset it, then enable it"
        )
    return "" if state.stopped else "the robot is not stopped: there is nothing to reset"


ERROR_PERSISTS = (
    "an error persists after the reset: the robot's screen and log say which; if it stays, switch the robot off and on"
)


def flags_of(state: Any, collided: bool) -> dict[str, bool]:
    """Return enabled, stopped, error, homed, estop and collided, from a RobotAssemblyState of ROS 1 or 2."""
    flags = {name: bool(getattr(state, name)) for name in ("homed", "enabled", "stopped", "error")}
    return {**flags, "estop": state.estop_button == PRESSED, "collided": collided}


def robot_problem(flags: dict[str, bool], joints_age_s: float) -> str:
    """Return why a robot with these flags cannot be moved; empty if it can."""
    if flags["estop"]:
        return "the e-stop is pressed"
    if flags["stopped"]:
        return "the robot is stopped: ask for a reset, then enable it"
    if flags["error"]:
        return "the robot reports an error: stop it, reset it, then enable it"
    if not flags["enabled"]:
        return "the motors are off: enable them"
    if not flags["homed"]:
        return "the robot's joints are not homed, so that it does not know where they are: home them"
    if flags["collided"]:
        return "the robot reports a collision"
    return f"joint states are {joints_age_s:.2f} s old" if joints_age_s > STALE_S else ""


class Robot(Received):
    """The arm, connected but not enabled, through the modules that `join_ros` returns.

    ``speed_ratio`` is that of position mode, in (0, 1]. The robot keeps it after the end of the worker, so that it is
    always set. A ComingUpError is raised if the robot is absent or incomplete, or cannot reach this machine.
    """

    def __init__(self, rospy: Any, sdk: Any, speed_ratio: float, silent_s: float) -> None:
        super().__init__(silent_s)
        self._rospy, self.sdk = rospy, sdk
        self._subscribe()
        # Not versioned: that check ends the process, and SDK 5.3.0 rejects robots with 5.5.
        self._enabler, self._limb = _built(
            {"RobotEnable": lambda: sdk.RobotEnable(versioned=False), "Limb": lambda: sdk.Limb("right")}
        )
        self._check_limb()
        self._outgoing = self._connections()
        self._wait_for_all(FOUND_S)
        self.motors = Motors(self._enabler)
        self._limb.set_joint_position_speed(speed_ratio)
        self._limb.set_command_timeout(COMMAND_TIMEOUT_S)
        self._master = MasterWatch(os.environ["ROS_MASTER_URI"])

    @property
    def interface(self) -> str:
        """Which intera_interface this is: "genuine", or the "stand-in" of our tests."""
        return "stand-in" if getattr(self.sdk, "STAND_IN", False) else "genuine"

    def versions(self) -> tuple[str, str]:
        """Return the versions of the SDK and of the robot's software, or "unknown"."""
        robot = self._rospy.get_param("/manifest/robot_software/version/HLR_VERSION_STRING", "unknown")
        return str(getattr(self.sdk, "SDK_VERSION", "unknown")), str(robot)

    def on_shutdown(self, call: Callable[[], None]) -> None:
        self._rospy.on_shutdown(call)

    def shut_down(self) -> None:
        self._rospy.signal_shutdown("the worker leaves")

    def flags(self) -> dict[str, bool]:
        return flags_of(self._enabler.state(), bool(self._limb.has_collided()))

    def problem(self, now_s: float) -> str:
        return (
            robot_problem(self.flags(), self.joints_age_s(now_s))
            or self._silent(now_s)
            or self._master.problem(now_s)
            or self._unheard()
        )

    def send(self, kind: str, values: tuple) -> None:
        """Send one output of the command watchdog. Only one thread may: the SDK fills one shared message."""
        if kind == "exit":
            self._limb.exit_control_mode(COMMAND_TIMEOUT_S)
        elif kind:
            send = self._limb.set_joint_velocities if kind == "velocity" else self._limb.set_joint_torques
            send(dict(zip(JOINT_NAMES, values)))  # noqa: B905 - Python 3.8

    def _subscribe(self) -> None:
        """Subscribe beside the SDK, whose objects keep the last values for ever, without their times of arrival."""
        from intera_core_msgs.msg import CollisionDetectionState, EndpointState, RobotAssemblyState
        from sensor_msgs.msg import JointState

        for topic, kind, call in (
            ("/robot/joint_states", JointState, self._on_joints),
            (WATCHED["state of the robot"], RobotAssemblyState, lambda _: self._note("state of the robot")),
            (WATCHED["collision state"], CollisionDetectionState, lambda _: self._note("collision state")),
            (WATCHED["pose of the hand"], EndpointState, self._on_hand),
        ):
            self._rospy.Subscriber(topic, kind, call, queue_size=1, tcp_nodelay=True)

    def _connections(self) -> list[Any]:
        """Return a publisher of each topic to the robot. Those of the SDK are private, and share their connections."""
        from intera_core_msgs.msg import JointCommand
        from std_msgs.msg import Bool, Empty, Float64

        return [
            self._rospy.Publisher(topic, kind, queue_size=queue_size)
            for topic, kind, queue_size in (
                (LIMB + "joint_command", JointCommand, 1),
                (LIMB + "joint_command_timeout", Float64, 10),
                (LIMB + "set_speed_ratio", Float64, 10),
                ("/robot/set_super_enable", Bool, 10),
                ("/robot/set_super_reset", Empty, 10),
                ("/robot/set_super_stop", Empty, 10),
            )
        ]

    def _unheard(self) -> str:
        """Return our topics without a subscriber, or ""."""
        names = [publisher.name for publisher in self._outgoing if not publisher.get_num_connections()]
        return f"no subscriber of {', '.join(names)}" if names else ""

    def _missing(self) -> tuple[str, str]:
        if never := self._never_received():
            return never, "is the robot up, and in SDK mode?"
        return self._unheard(), (
            f"the robot has to connect back to this machine, at {self._rospy.get_node_uri()}. Set ros1.host_ip "
            "(ROS_IP) to this machine's address in the robot's network, and let the robot through the firewall"
        )

    def _check_limb(self) -> None:
        """Check that the SDK's Limb is complete: without the robot's parameters it has no joints, and no error."""
        try:
            names = set(self._limb.joint_angles())
        except AttributeError:
            names = set()
        if names != set(JOINT_NAMES):
            raise ComingUpError(
                f"Limb('right') must have joints right_j0 to right_j6, got {sorted(names) or 'none'}: are the "
                "parameters /robot_config/assembly_names and /robot_config/right_config/joint_names set?",
                NO_ROBOT,
            )


class Motors:
    """Enable, reset and stop, each on explicit request; each may take five seconds. They return "", or why not.

    RobotEnable's `enable` resets a stopped robot by itself. Here that is forbidden, also when the stop comes in
    between our reading of the state and that of the SDK.
    """

    def __init__(self, enabler: Any) -> None:
        self._enabler = enabler
        self._reset = enabler.reset
        self._lock = threading.Lock()
        enabler.reset = self._reject_reset

    def enable(self) -> str:
        """Switch the motors on, unless the robot is stopped."""
        with self._lock:
            if self._enabler.state().stopped:
                return "the robot is stopped: ask for a reset first"
            reason = _tried(self._enabler.enable)
            return f"{reason}: the robot's screen and lights say why; is it in SDK mode?" if reason else ""

    def reset(self) -> str:
        """Clear a stop; the motors stay off."""
        with self._lock:
            return reset_problem(self._enabler.state()) or _tried(self._reset)

    def stop(self) -> str:
        """Switch the motors off and apply the brakes: a software e-stop. It does not wait for the others."""
        return _tried(self._enabler.stop)

    @staticmethod
    def _reject_reset() -> None:
        raise RuntimeError("the robot was stopped meanwhile: ask for a reset first")


def _tried(action: Callable[[], object]) -> str:
    try:
        done = action()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ERROR_PERSISTS if done is False else ""


def join_ros() -> tuple[Any, Any]:
    """Become a node of ROS 1; return the modules rospy and intera_interface, or raise a ComingUpError."""
    rospy, sdk = _modules()
    _find_master()
    rospy.init_node("tdm_sawyer_worker", disable_signals=True, anonymous=True)
    return rospy, sdk


def device_states(rospy: Any) -> Callable[[str, Callable[[Any], None]], Any]:
    """Return a function that subscribes to the state of a device, or to the configuration of their node, "io"."""
    from intera_core_msgs.msg import IODeviceStatus

    def subscribe(name: str, call: Callable[[Any], None]) -> Any:
        if name == "io":
            return rospy.Subscriber("/io/robot/config", rospy.AnyMsg, call, queue_size=1)
        return rospy.Subscriber(f"/io/robot/{name}/state", IODeviceStatus, call, queue_size=1)

    return subscribe


def _modules() -> tuple[Any, Any]:
    try:
        import rospy
    except ImportError as error:
        raise ComingUpError(f"this Python has no rospy ({error}): run the worker with a ROS 1 Python", NO_ROS) from None
    try:
        import intera_interface
    except (Exception, SystemExit) as error:
        raise ComingUpError(
            f"intera_interface cannot be imported ({type(error).__name__}: {error}): "
            "put Rethink's intera_sdk and its messages on the worker's PYTHONPATH",
            NO_ROS,
        ) from None
    return rospy, intera_interface


def _find_master() -> None:
    uri = os.environ.get("ROS_MASTER_URI", "")
    place = urlparse(uri)
    if not place.hostname:
        raise ComingUpError(f"ROS_MASTER_URI must be like http://robot.local:11311, got {uri!r}", NO_MASTER)
    try:
        socket.create_connection((place.hostname, place.port or 11311), timeout=3.0).close()
    except OSError as error:
        raise ComingUpError(f"no ROS master at {uri} ({error}): is the robot on and reachable?", NO_MASTER) from None


def _built(builders: dict[str, Callable[[], Any]]) -> list[Any]:
    """Make objects of intera_interface in parallel: each may wait for many seconds."""

    def make(what: str) -> Any:
        try:
            return builders[what]()
        except SystemExit as error:
            return ComingUpError(f"{what} of intera_interface wanted to end the process ({error})", NO_ROBOT)
        except Exception as error:
            reason = f"{what} of intera_interface cannot be made ({type(error).__name__}: {error})"
            return ComingUpError(reason, NO_ROBOT)

    with ThreadPoolExecutor(len(builders)) as pool:
        made = list(pool.map(make, builders))
    reasons = "; ".join(str(one) for one in made if isinstance(one, ComingUpError))
    if reasons:
        raise ComingUpError(f"{reasons}: is the robot up, and can it reach this machine (ROS_IP)?", NO_ROBOT)
    return made
