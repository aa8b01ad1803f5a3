"""Conversion between messages and plain data. Invalid input gives a reason."""

from __future__ import annotations

import array
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ament_index_python.packages import get_package_share_directory
from builtin_interfaces.msg import Time
from numpy.typing import ArrayLike
from rclpy.node import Node
from sensor_msgs.msg import JointState

from tdm_ros.control.arm_io import ArmSample, JointOrder
from tdm_ros.control.goals import KEPT
from tdm_ros.control.timeline import Announcement, Mode, Source, State, check_announcement
from tdm_ros.control.validation import LARGEST, check_vector, printable
from tdm_ros.data.log import discarded_of
from tdm_ros.msg import ArmState, Episode, KeepOut, Subgoal, Transition
from tdm_ros.tasks import TaskSpec
from tdm_ros.types import CycleRange, LoggedTransition, check_identity

SEPARATOR = "\n" + "=" * 80 + "\n"
_FIELD = re.compile(r"^\s*(?:([A-Za-z]\w*)/(?:msg/)?)?([A-Z]\w*)(?:\[[^\]]*\])?\s+\w")
"""A field whose type is a message: its package, if that is another one, and its name."""


def _text(package: str, name: str) -> str:
    return (Path(get_package_share_directory(package)) / "msg" / f"{name}.msg").read_text(encoding="utf-8")


def definition(type_name: str) -> str:
    """Return the text of ``package/msg/Name`` and of all types that it uses; they must be installed."""
    package, _, name = type_name.split("/")
    parts = [_text(package, name)]
    known = [(package, name)]
    for (within, _), text in zip(known, parts, strict=False):  # both grow during the loop
        for line in text.splitlines():
            if match := _FIELD.match(line):
                used = match.group(1) or within, match.group(2)
                if used not in known:
                    known.append(used)
                    parts.append(_text(*used))
    blocks = [parts[0]]
    blocks += [f"MSG: {p}/{n}\n{text}" for (p, n), text in zip(known[1:], parts[1:], strict=True)]
    return SEPARATOR.join(blocks)


SOURCES = frozenset(int(source) for source in Source)
GOAL_MAX_AGE_S = 5.0
EPISODE_MAX_AGE_S = 2.0  # the supervisor publishes four times per second: an older announcement is not current


def floats(values: ArrayLike) -> array.array[float]:
    """Return values for a float32[] field: message setters need exactly this type and check it only in tests."""
    return array.array("f", np.asarray(values, np.float32).tobytes())


def doubles(values: ArrayLike) -> array.array[float]:
    """Return values for a float64[] field."""
    return array.array("d", np.asarray(values, np.float64).tobytes())


def nanoseconds(stamp: Time) -> int:
    """Return a stamp as one number [ns]; 0 for one before 1970, which no log can store."""
    return max(int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec), 0)


def to_stamp(ns: int) -> Time:
    """Return a number [ns] as a stamp."""
    return Time(sec=int(ns // 1_000_000_000), nanosec=int(ns % 1_000_000_000))


def states(node: Any, call: Callable[[ArmSample, ArmState], object]) -> Callable[[ArmState], None]:
    """Return a callback that passes on each valid state, with the joints in the order of the task, and its message."""
    joints = JointOrder(node.robot.joint_names)
    return _valid(node, "arm_state", lambda message: _to_sample(joints, message), call)


def _valid(node: Any, topic: str, convert: Callable[[Any], tuple[Any, str]], call: Callable[..., object]) -> Any:
    def receive(message: Any) -> None:
        converted, problem = convert(message)
        if converted is None:
            node.rejections.reject(f"{topic}: {problem}")
        else:
            call(converted, message)

    return receive


def _to_sample(joints: JointOrder, message: ArmState) -> tuple[ArmSample | None, str]:
    """Return the sample and "", or None and the reason why the state cannot be used."""
    hand = message.hand.position
    point = np.array([hand.x, hand.y, hand.z])
    action = np.array(message.executed_action, np.float32)
    q, qd = np.array(message.position), np.array(message.velocity)
    order, problem = joints.of_state(message.joint_names, q, qd, point, action)
    if order is None:
        return None, problem
    if problem := check_identity(message.run, int(message.cycle)):
        return None, problem
    if message.source not in SOURCES:
        return None, "unknown source"
    object_m = np.array(message.object, np.float64)
    if object_m.size and (problem := check_vector(object_m, 2, LARGEST)):
        return None, f"object: {problem}"
    sample = ArmSample(
        cycle=int(message.cycle),
        stamp_ns=nanoseconds(message.header.stamp),
        episode=int(message.episode),
        q_rad=q[order],
        qd_rad_s=qd[order],
        hand_m=point,
        action=action[order],
        source=int(message.source),
        limited=bool(message.limited),
        hold_reason=printable(message.hold_reason),
        fault=printable(message.fault),
        run=message.run,
        arm=printable(message.arm),
        object_m=object_m,
    )
    return sample, ""


def is_current(node: Any, message: Any, max_age_s: float) -> bool:
    """Whether a state is at most so old [s], and not of the future; otherwise it is rejected."""
    old_s = age_s(node, message.header.stamp)
    if not abs(old_s) <= max_age_s:
        node.rejections.reject("arm_state: stamp too old or in the future", f"age {old_s * 1e3:.0f} ms")
        return False
    return True


def age_s(node: Node, stamp: Time) -> float:
    """Return the age of a stamp on the node's ROS clock [s]; negative in the future."""
    return float(node.get_clock().now().nanoseconds - nanoseconds(stamp)) * 1e-9


def announcements(node: Any, call: Callable[[Announcement, Episode], object]) -> Callable[[Episode], None]:
    """Return a callback that passes on each valid announcement of the supervisor, and its message."""
    return _valid(node, "episode", lambda message: to_announcement(node, message, node.task), call)


def joints_of(state: ArmState) -> JointState:
    """Return the joints of a state as tools of ROS have them."""
    names = {"name": state.joint_names, "position": state.position, "velocity": state.velocity, "effort": state.effort}
    return JointState(header=state.header, **names)


def to_announcement(node: Node, message: Episode, task: TaskSpec) -> tuple[Announcement | None, str]:
    """Return the announcement of the supervisor and "", or None and the reason why it cannot be used."""
    if len(message.discarded_run) > KEPT:
        return None, "too many discarded ranges"
    if not abs(age_s(node, message.header.stamp)) <= EPISODE_MAX_AGE_S:
        return None, "stamp too old or in the future"
    try:
        state, mode = State(message.state), Mode(message.mode)
    except ValueError:
        return None, "unknown state or mode"
    announced = Announcement(
        state,
        mode,
        int(message.episode),
        int(message.start_cycle),
        int(message.length),
        np.array(message.goal, np.float32),
        float(message.exploration),
        float(message.progress),
        printable(message.reason),
        tuple(one for one in discarded_of(message) if isinstance(one, CycleRange)),
        message.goal_id,
    )
    problem = check_announcement(announced, task)
    return (None, problem) if problem else (announced, "")


def to_episode(announced: Announcement, task: TaskSpec, stamp: Time) -> Episode:
    message = Episode(
        state=int(announced.state),
        mode=int(announced.mode),
        episode=int(announced.episode),
        start_cycle=int(announced.start_cycle),
        length=int(announced.length),
        goal=floats(announced.goal),
        goal_id=announced.goal_id,
        exploration=float(announced.exploration),
        progress=float(announced.progress),
        task=task.fingerprint,
        reason=announced.reason,
        discarded_run=[cycles.run for cycles in announced.discarded],
        discarded_from_cycle=[cycles.begin for cycles in announced.discarded],
        discarded_to_cycle=[cycles.end for cycles in announced.discarded],
    )
    message.header.stamp = stamp
    message.header.frame_id = task.frame
    return message


def to_transition(logged: LoggedTransition, task: TaskSpec) -> Transition:
    step = logged.step
    message = Transition(
        cycle=int(logged.cycle),
        episode=int(logged.episode),
        step=int(logged.number),
        observation=floats(step.observation),
        action=floats(step.action),
        next_observation=floats(step.next_observation),
        achieved_goal=floats(step.achieved),
        next_achieved_goal=floats(step.next_achieved),
        desired_goal=floats(step.desired),
        source=int(logged.source),
        limited=bool(logged.limited),
        terminated=bool(step.terminated),
        truncated=bool(logged.last and not step.terminated),
        task=task.fingerprint,
        run=logged.run,
        arm=logged.arm,
    )
    message.header.stamp = to_stamp(logged.stamp_ns)
    message.header.frame_id = task.frame
    return message


_STATUS = "PLANNED DIRECT UNREACHABLE GOAL_IN_KEEP_OUT NO_EXPERIENCE BAD_GOAL BAD_STATE OUT_OF_TIME CANCELED"
SUBGOAL_STATUS = {int(getattr(Subgoal, name)): name for name in _STATUS.split()}
"""Name of each value of `Subgoal.status`."""


BOXES = 100  # largest number of boxes in a `KeepOut`


def boxes_of(message: KeepOut, frame: str) -> tuple[Any, str]:
    """Return the boxes of a message, (K, 2, 3) [m], and "", or None and the reason why they cannot be used."""
    if message.header.frame_id not in ("", frame):
        return None, f"boxes must be in frame {frame}"
    if len(message.low) != len(message.high):
        return None, "another number of upper corners than of lower ones"
    if len(message.low) > BOXES:
        return None, f"more than {BOXES} boxes"
    corners = [[[p.x, p.y, p.z] for p in pair] for pair in zip(message.low, message.high, strict=True)]
    boxes = np.array(corners, np.float64).reshape(-1, 2, 3)
    if not ((np.abs(boxes) <= LARGEST).all() and (boxes[:, 0] < boxes[:, 1]).all()):
        return None, f"a box must go from its lower to its upper corner, all finite and within {LARGEST:g} m"
    return boxes, ""


def twist_of(message: Any, frame: str) -> tuple[Any, str]:
    """Return the velocity of a `TwistStamped`, (6,) [m/s, rad/s], and "", or None and why it cannot be used."""
    if message.header.frame_id not in ("", frame):
        return None, f"frame must be {frame}"
    linear, angular = message.twist.linear, message.twist.angular
    return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]), ""


def goal_of(node: Node, message: Any) -> tuple[Any, str]:
    """Return the point of a `PoseStamped`, (3,) [m] in its frame, and "", or None and why not. Stamp zero means now."""
    stamp = nanoseconds(message.header.stamp)
    if stamp and not abs(age_s(node, message.header.stamp)) <= GOAL_MAX_AGE_S:
        return None, "stamp too old or in the future"
    point = message.pose.position
    return np.array([point.x, point.y, point.z]), ""
