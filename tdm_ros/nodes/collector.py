"""`collector`: pairs consecutive states into transitions, appends each to the log, then publishes it."""

from __future__ import annotations

from pathlib import Path

from rclpy.node import Node
from rclpy.serialization import serialize_message

from tdm_ros.control.refusals import Refusals
from tdm_ros.control.timeline import Announcement, Source
from tdm_ros.data.bag import describe_log, forget_description
from tdm_ros.msg import ArmState, Episode, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import StateReader, nanoseconds, to_announcement, to_transition
from tdm_ros.nodes.declare import Declared
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.node_runner import run
from tdm_ros.nodes.parameters import CollectorParameters
from tdm_ros.nodes.schemas import definition
from tdm_ros.replay.log import (
    EPISODE_TOPIC,
    LOG_FOLDER,
    TRANSITION_TOPIC,
    LogChannel,
    LoggedTransition,
    McapWriter,
    next_segment,
    recover_all,
)
from tdm_ros.replay.pairing import Pairing
from tdm_ros.tasks import SAWYER_REACH

REMEMBERED = 8
"""Episodes whose goals are kept; two overlap at most."""


class CollectorNode(Node):
    """First to disk, then to the others: what was published is never lost."""

    def __init__(self) -> None:
        super().__init__("collector")
        given = Declared(self, CollectorParameters).values
        self.task = SAWYER_REACH[given.actuation]
        self.refusals = Refusals(self.get_logger().warning)
        self._reader = StateReader(self.task)
        self._episodes: dict[int, Announcement] = {}
        self._any_state = False
        self._told_key: tuple[object, ...] = ()
        self._pairing = Pairing(self._episodes.get)
        self._log = self._open_log(Path(given.run_dir) / LOG_FOLDER)
        self._logged = self._published = self._human = 0
        self._transitions = self.create_publisher(Transition, "transition", qos.TRANSITION)
        self.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)
        self.create_subscription(ArmState, "arm_state", self._on_state, qos.STATE_HISTORY)
        self._diagnostics = Diagnostics(self, self.refusals, self._values)

    def _open_log(self, folder: Path) -> McapWriter:
        for path in recover_all(folder):
            self.get_logger().info(f"{path.name} was not finished; recovered")
        forget_description(folder)
        channels = [
            LogChannel(TRANSITION_TOPIC, "tdm_ros/msg/Transition", definition("tdm_ros/msg/Transition"), qos.OFFERED),
            LogChannel(EPISODE_TOPIC, "tdm_ros/msg/Episode", definition("tdm_ros/msg/Episode"), qos.OFFERED),
        ]
        return McapWriter(next_segment(folder), channels)

    def _on_episode(self, message: Episode) -> None:
        told, problem = to_announcement(self, message, self.task)
        if told is None:
            self.refusals.refuse(f"episode: {problem}", f"task {message.task or 'none'}")
            return
        key = (*told.key(), told.discarded[-1:])
        if key == self._told_key:
            return
        self._told_key = key
        if told.episode:
            self._episodes[told.episode] = told
            for old in list(self._episodes)[:-REMEMBERED]:
                del self._episodes[old]
        self._log.write(EPISODE_TOPIC, serialize_message(message), nanoseconds(message.header.stamp))

    def _on_state(self, message: ArmState) -> None:
        sample, problem = self._reader.read(message)
        if sample is None:
            self.refusals.refuse(f"arm_state: {problem}")
            return
        self._any_state = True
        orphans = self._pairing.orphans
        self._record(self._pairing.add(sample))
        if self._pairing.orphans > orphans:
            self.refusals.refuse("transition of an episode that was never announced", f"episode {sample.episode}")

    def _record(self, transition: LoggedTransition | None) -> None:
        if transition is None:
            return
        message = to_transition(transition, self.task)
        self._log.write(TRANSITION_TOPIC, serialize_message(message), transition.stamp_ns)
        self._logged += 1
        self._human += transition.source == Source.HUMAN
        self._transitions.publish(message)
        self._published += 1

    def _values(self) -> dict[str, object]:
        heard_all = self._any_state and bool(self._told_key)
        ready = heard_all and self._transitions.get_subscription_count() > 0
        return {
            "ready": ready,
            "published": self._published,
            "logged": self._logged,
            "human": self._human,
            "lost_cycles": self._pairing.gaps,
            "segment": self._log.path.name,
        }

    def close(self) -> None:
        """Write the transition that still waits for its successor, finish the file, and describe it for rosbag2."""
        try:
            self._record(self._pairing.flush())
        finally:
            self._log.close()
            describe_log(self._log.path.parent)


def main() -> int:
    """Run the node until a signal."""
    return run(CollectorNode)
