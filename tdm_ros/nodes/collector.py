"""`collector`: combines consecutive states into transitions, writes each to the log, then publishes it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.data.bag import remove_metadata, write_log_metadata
from tdm_ros.data.log import EPISODE_TOPIC, LOG_FOLDER, TRANSITION_TOPIC, TransitionLog
from tdm_ros.data.log_writer import LogWriter
from tdm_ros.data.pairing import TransitionBuilder
from tdm_ros.data.recording import Channel
from tdm_ros.files import FolderInUseError
from tdm_ros.msg import ArmState, Episode, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import announcements, definition, joints_of, nanoseconds, states, to_transition
from tdm_ros.nodes.markers import in_frame, shape
from tdm_ros.nodes.node_runner import ManagedNode, run
from tdm_ros.nodes.parameters import CollectorParameters
from tdm_ros.nodes.subscriptions import listen
from tdm_ros.types import LoggedTransition

JOINTS_TOPIC, FRAMES_TOPIC, GOAL_TOPIC = "/joint_states", "/tf", "/goal_markers"
HAND_FRAME = "hand"
"""Not the name of the link: that frame has its parent in /tf already, and a frame has one parent."""
GOAL_M = 0.03
GREEN = (0.1, 0.8, 0.2, 0.9)
CHANNELS = (
    (TRANSITION_TOPIC, "tdm_ros/msg/Transition", qos.TRANSITION),
    (EPISODE_TOPIC, "tdm_ros/msg/Episode", qos.LATCHED),
    # For playback in RViz or Foxglove:
    (JOINTS_TOPIC, "sensor_msgs/msg/JointState", qos.JOINT_STATES),
    (FRAMES_TOPIC, "tf2_msgs/msg/TFMessage", qos.JOINT_STATES),
    (GOAL_TOPIC, "visualization_msgs/msg/MarkerArray", qos.LATCHED),
)
"""Topic, type and profile of each channel of the log."""


def frames_of(stamp: Time, hand: Pose, base: str) -> bytes:
    """Return a serialised `TFMessage`: the hand in the frame of the base."""
    frame = TransformStamped(child_frame_id=HAND_FRAME)
    frame.header.stamp, frame.header.frame_id = stamp, base
    at, offset = hand.position, frame.transform.translation
    offset.x, offset.y, offset.z = at.x, at.y, at.z
    frame.transform.rotation = hand.orientation
    return bytes(serialize_message(TFMessage(transforms=[frame])))


def goal_of(stamp: Time, goal_m: NDArray[np.float32], base: str) -> bytes:
    """Return a serialised `MarkerArray`: a ball at the goal, (3,) [m]."""
    ball = shape(stamp, "goal", 0, Marker.SPHERE, (GOAL_M,) * 3, GREEN, goal_m)
    return bytes(serialize_message(in_frame(MarkerArray(markers=[ball]), base)))


REMEMBERED = 8  # number of episodes whose goals are kept; at most two overlap
ALARM_S = 30.0  # time for which a past error is reported [s]


class CollectorNode(ManagedNode):
    """Writes a transition to disk, then publishes it: what was published is never lost."""

    PARAMETERS = CollectorParameters

    def configure(self) -> None:
        given: CollectorParameters = self._declared.values
        self.robot, self.live, self.task = given.described()
        self._episodes: dict[int, Announcement] = {}
        self._any_state = False
        self._announced_key: tuple[object, ...] = ()
        self._pairing = TransitionBuilder(self._episodes.get, self.live)
        self._not_recorded = 0
        """States of a moving arm that were received while the node was inactive."""
        self._alarmed = "", 0.0
        self._log = self._open_log(Path(given.run_dir) / LOG_FOLDER)
        self.resources.callback(self._close_log)
        self._logged = self._published = self._human = 0
        self._transitions = self.create_publisher(Transition, "transition", qos.TRANSITION)
        listen(self, Episode, "episode", announcements(self, self._on_episode), qos.EPISODE)
        listen(self, ArmState, "arm_state", states(self, self._on_state), qos.STATE_HISTORY)

    def _open_log(self, folder: Path) -> LogWriter:
        channels = [
            Channel.of_ros(topic, kind, definition(kind), qos.offered(profile)) for topic, kind, profile in CHANNELS
        ]
        TransitionLog(folder, self.task.fingerprint).check_task()
        remove_metadata(folder)
        log = LogWriter(folder, channels)
        for sentence in log.recovered:
            self.get_logger().warning(sentence)
        return log

    def _on_episode(self, announced: Announcement, message: Episode) -> None:
        key = (*announced.key(), announced.discarded[-1:])
        if key == self._announced_key:
            return
        self._announced_key = key
        if announced.episode:
            self._episodes[announced.episode] = announced
            for old in list(self._episodes)[:-REMEMBERED]:
                del self._episodes[old]
        stamp_ns = nanoseconds(message.header.stamp)
        if announced.state == State.RUNNING or announced.demonstration:
            ball = goal_of(message.header.stamp, self.live.point_of(announced.goal), self.task.frame)
            self._log.write(GOAL_TOPIC, ball, stamp_ns, flush=False)
        self._write(EPISODE_TOPIC, serialize_message(message), stamp_ns)
        self._log.sync_soon()

    def _on_state(self, sample: ArmSample, message: ArmState) -> None:
        self._any_state = True
        moves = sample.source not in (Source.NONE, Source.SAFETY)
        if not self.active:
            self._not_recorded += moves
            if moves and self._not_recorded == 1:
                self.get_logger().error(self.problem())
                self._diagnostics.publish()
            return
        if moves:
            joints = serialize_message(joints_of(message))
            self._log.write(JOINTS_TOPIC, joints, sample.stamp_ns, flush=False)
            frames = frames_of(message.header.stamp, message.hand, self.task.frame)
            self._log.write(FRAMES_TOPIC, frames, sample.stamp_ns, flush=False)
        orphans = self._pairing.orphans
        self._record(self._pairing.add(sample))
        if self._pairing.orphans > orphans:
            self.rejections.reject(
                "transition of an episode that was never announced, or for other cycles", f"episode {sample.episode}"
            )

    def activate(self) -> None:
        self._not_recorded = 0

    def deactivate(self) -> None:
        """Record the transition that waits for its successor, and sync the log; record no further one."""
        self._record(self._pairing.flush())
        self._log.sync_soon()

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the log; not while messages that are kept in memory cannot be written."""
        if self._log.problem:
            self.get_logger().error(f"the log cannot be closed: {self._log.problem}; make room, then clean up again")
            return TransitionCallbackReturn.FAILURE
        return super().on_cleanup(state)

    def _record(self, transition: LoggedTransition | None) -> None:
        if transition is None:
            return
        message = to_transition(transition, self.task)
        if not self._write(TRANSITION_TOPIC, serialize_message(message), transition.stamp_ns):
            return
        self._logged += 1
        self._human += transition.source == Source.HUMAN
        self._transitions.publish(message)
        self._published += 1

    def _write(self, topic: str, data: bytes, stamp_ns: int) -> bool:
        """Return whether a message is written to the operating system; otherwise the log keeps it for later."""
        problem = self._log.problem
        try:
            self._log.write(topic, data, stamp_ns)
        except FolderInUseError:
            raise
        except OSError:
            if not problem:
                self._alarm(f"NOT RECORDED: {self._log.problem}")
            return False
        while self._log.reports:
            self._alarm(self._log.reports.popleft())
        return True

    def _alarm(self, sentence: str) -> None:
        """Report an error at once, and for `ALARM_S`."""
        self.get_logger().error(sentence)
        self._alarmed = sentence, time.monotonic() + ALARM_S
        self._diagnostics.publish()

    def problem(self) -> str:
        """Return what is not recorded, or an error of the last `ALARM_S`; "" without one."""
        if not self.configured:
            return ""
        if self._not_recorded and not self.active:
            return f"NOT RECORDED: {self.not_active()}; the arm moves"
        if problem := self._log.problem:
            return f"NOT RECORDED: {problem}"
        sentence, until_s = self._alarmed
        return sentence if time.monotonic() < until_s else ""

    def values(self) -> dict[str, object]:
        received_all = self._any_state and bool(self._announced_key)
        ready = (
            self.active and received_all and self._transitions.get_subscription_count() > 0 and not self._log.problem
        )
        return {
            "ready": ready,
            "published": self._published,
            "logged": self._logged,
            "human": self._human,
            "lost_cycles": self._pairing.gaps,
            "segment": self._log.path.name,
            "first_segment": self._log.first,
            "lost": self._log.lost,
            "alarm": self.problem(),
        }

    def _close_log(self) -> None:
        """Write the transition that waits for its successor, finish the file, and describe it for rosbag2."""
        try:
            self._record(self._pairing.flush())
        finally:
            self._log.close()
            write_log_metadata(self._log.path.parent)


main = partial(run, CollectorNode)
