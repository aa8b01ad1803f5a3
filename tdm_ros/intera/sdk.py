"""Sawyer through intera_interface: what it reports, how it is moved, and what can go wrong while it comes up."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse

if TYPE_CHECKING:
    from collections.abc import Callable

if __package__:
    from tdm_ros.intera.master import MasterWatch
else:  # the worker runs as a file, with our folder on the path
    from master import MasterWatch  # type: ignore[import-not-found,no-redef]

JOINT_NAMES = tuple(f"right_j{i}" for i in range(7))
COMMAND_TIMEOUT_S = 0.15
"""The robot goes back to position mode by itself when it hears no command for this long [s]. With its own 0.2 s, an arm
whose worker was killed took 0.28 s to stand."""

STALE_S = 0.1
"""Joint states older than this [s] are no ground to move on."""

UNUSABLE, NO_ROS, NO_MASTER, NO_ROBOT = 2, 3, 4, 5
"""Exit codes: the arguments, the Python that runs this, the network, the robot."""


class ComingUpError(RuntimeError):
    """Why the worker can not come up, and its exit code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Joints(NamedTuple):
    """One sample of `/robot/joint_states`, and when it arrived on the steady clock [s]."""

    arrived_s: float
    q_rad: tuple
    qd_rad_s: tuple
    effort_n_m: tuple


def joints_of(message: Any) -> Joints | None:
    """Return a sample that is whole and finite, which has just arrived, from a JointState of ROS 1 or 2."""
    place = {name: index for index, name in enumerate(message.name)}
    arrays = (message.position, message.velocity, message.effort)
    if not set(JOINT_NAMES) <= set(place) or any(len(array) != len(place) for array in arrays):
        return None
    q, qd, effort = (tuple(float(array[place[name]]) for name in JOINT_NAMES) for array in arrays)
    return Joints(time.monotonic(), q, qd, effort) if all(map(math.isfinite, q + qd + effort)) else None


def trouble(flags: dict[str, bool], joints_age_s: float) -> str:
    """Return why a robot with these flags can not be moved; empty if it can."""
    if flags["estop"]:
        return "the e-stop is pressed"
    if flags["stopped"]:
        return "the robot is stopped: ask for a reset, then enable it"
    if flags["error"]:
        return "the robot reports an error"
    if not flags["enabled"]:
        return "the motors are off: enable them"
    if flags["collided"]:
        return "the robot reports a collision"
    return f"joint states are {joints_age_s:.2f} s old" if joints_age_s > STALE_S else ""


class Robot:
    """The arm, connected but not enabled.

    Parameters
    ----------
    speed_ratio : float
        For position mode, in (0, 1]. The robot keeps it when we are gone, so that it is set in any case.

    Raises
    ------
    ComingUpError
        If ROS 1, the SDK, the ROS master or the robot is not there, or not whole.
    """

    def __init__(self, speed_ratio: float) -> None:
        rospy, self.sdk = _modules()
        _find_master()
        rospy.init_node("tdm_sawyer_worker", disable_signals=True, anonymous=True)
        self._rospy = rospy
        self._joints: Joints | None = None
        self._stamp: Any = None
        self._pose = ((0.0,) * 3, (1.0, 0.0, 0.0, 0.0), (0.0,) * 6)
        from sensor_msgs.msg import JointState

        rospy.Subscriber("/robot/joint_states", JointState, self._hear_joints, queue_size=1, tcp_nodelay=True)
        # Not versioned: that check ends the process, and SDK 5.3.0 refuses robots with 5.5.
        self._enabler = _built("RobotEnable", lambda: self.sdk.RobotEnable(versioned=False))
        self._limb = _built("Limb", lambda: self.sdk.Limb("right"))
        self._check_limb()
        self.motors = Motors(self._enabler)
        self._limb.set_joint_position_speed(speed_ratio)
        self._limb.set_command_timeout(COMMAND_TIMEOUT_S)
        self._master = MasterWatch(os.environ["ROS_MASTER_URI"])

    names = JOINT_NAMES

    @property
    def interface(self) -> str:
        """Which intera_interface this is: "genuine", or the "stand-in" of our tests."""
        return "stand-in" if getattr(self.sdk, "STAND_IN", False) else "genuine"

    def versions(self) -> tuple[str, str]:
        """Return the versions of the SDK and of the robot's software, as far as they say."""
        robot = self._rospy.get_param("/manifest/robot_software/version/HLR_VERSION_STRING", "unknown")
        return str(getattr(self.sdk, "SDK_VERSION", "unknown")), str(robot)

    def on_shutdown(self, call: Callable[[], None]) -> None:
        """Have something done when the node ends, while its topics are still there."""
        self._rospy.on_shutdown(call)

    def shut_down(self) -> None:
        """Leave the ROS graph."""
        self._rospy.signal_shutdown("the worker leaves")

    def joints(self) -> Joints | None:
        """Return the newest sample, or None before the first."""
        return self._joints

    def joints_age_s(self, now_s: float) -> float:
        """Return how long ago the newest sample came [s]; very long before the first."""
        joints = self._joints
        return now_s - joints.arrived_s if joints else 1e6

    def hand(self) -> tuple:
        """Return position (3,) [m], quaternion wxyz (4,) and twist (6,) of the hand; the last that were finite."""
        pose, velocity = self._limb.endpoint_pose(), self._limb.endpoint_velocity()
        p, o, v, w = pose["position"], pose["orientation"], velocity["linear"], velocity["angular"]
        hand = ((p.x, p.y, p.z), (o.w, o.x, o.y, o.z), (v.x, v.y, v.z, w.x, w.y, w.z))
        if all(math.isfinite(value) for part in hand for value in part):
            self._pose = hand
        return self._pose

    def flags(self) -> dict[str, bool]:
        """Return enabled, stopped, error, estop and collided."""
        state = self._enabler.state()
        return {
            "enabled": bool(state.enabled),
            "stopped": bool(state.stopped),
            "error": bool(state.error),
            "estop": state.estop_button == 1,
            "collided": bool(self._limb.has_collided()),
        }

    def problem(self, now_s: float) -> str:
        """Return why the arm can not be moved now; empty if it can."""
        return trouble(self.flags(), self.joints_age_s(now_s)) or self._master.problem(now_s)

    def send(self, kind: str, values: tuple) -> None:
        """Send one order of the keeper. Only one thread may: the SDK fills one shared message."""
        if kind == "exit":
            self._limb.exit_control_mode(COMMAND_TIMEOUT_S)
        elif kind:
            send = {
                "velocity": self._limb.set_joint_velocities,
                "torque": self._limb.set_joint_torques,
                "position": self._limb.set_joint_positions,
            }[kind]
            send(dict(zip(JOINT_NAMES, values)))  # noqa: B905 - Python 3.8

    def set_speed_ratio(self, ratio: float) -> None:
        """Set the speed of position mode, in (0, 1] of the joints' limits."""
        self._limb.set_joint_position_speed(ratio)

    def _hear_joints(self, message: Any) -> None:
        """Keep a sample that is new, whole and finite; the SDK itself can not tell an old one."""
        stamp = (message.header.stamp.secs, message.header.stamp.nsecs)
        joints = None if stamp == self._stamp and stamp != (0, 0) else joints_of(message)
        if joints is not None:
            self._stamp, self._joints = stamp, joints

    def _check_limb(self) -> None:
        """See that the SDK's Limb is whole: without the robot's parameters it is a shell, and says nothing."""
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
        deadline_s = time.monotonic() + 2.0
        while self._joints is None:
            if time.monotonic() > deadline_s:
                raise ComingUpError("/robot/joint_states held no whole, finite sample for 2 s", NO_ROBOT)
            time.sleep(0.01)


class Motors:
    """Enable, reset and stop, each on explicit request; each may take five seconds. They return "", or why not.

    RobotEnable's `enable` resets a stopped robot by itself. Here that is forbidden, also when the stop comes in
    between our look at the state and the SDK's own.
    """

    def __init__(self, enabler: Any) -> None:
        self._enabler = enabler
        self._reset = enabler.reset
        self._lock = threading.Lock()
        enabler.reset = self._refuse_reset

    def enable(self) -> str:
        """Switch the motors on, unless the robot is stopped."""
        with self._lock:
            if self._enabler.state().stopped:
                return "the robot is stopped: ask for a reset first"
            return _tried(self._enabler.enable)

    def reset(self) -> str:
        """Clear a stop; the motors stay off."""
        with self._lock:
            return _tried(self._reset)

    def stop(self) -> str:
        """Switch the motors off and apply the brakes: a software e-stop. It does not wait for the others."""
        return _tried(self._enabler.stop)

    @staticmethod
    def _refuse_reset() -> None:
        raise RuntimeError("the robot was stopped meanwhile: ask for a reset first")


def _tried(action: Callable[[], object]) -> str:
    try:
        done = action()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return "an error persists after the reset" if done is False else ""


def _modules() -> tuple[Any, Any]:
    try:
        import rospy
    except ImportError as error:
        raise ComingUpError(f"this Python has no rospy ({error}): run the worker with a ROS 1 Python", NO_ROS) from None
    try:
        import intera_interface
    except (Exception, SystemExit) as error:
        raise ComingUpError(
            f"intera_interface can not be imported ({type(error).__name__}: {error}): "
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


def _built(what: str, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except SystemExit as error:
        raise ComingUpError(f"{what} of intera_interface wanted to end the process ({error})", NO_ROBOT) from None
    except Exception as error:
        raise ComingUpError(
            f"{what} of intera_interface can not be made ({type(error).__name__}: {error}): is the robot up, and can "
            "it reach this machine (ROS_IP)?",
            NO_ROBOT,
        ) from None
