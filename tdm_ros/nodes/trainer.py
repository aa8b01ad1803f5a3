"""`trainer`: rebuilds its replay from the log, learns beside the moving arm, publishes versioned weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from tdm_ros.control.refusals import Refusals
from tdm_ros.control.timeline import Mode
from tdm_ros.msg import Episode, PolicyWeights, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import age_s, to_announcement
from tdm_ros.nodes.declare import Declared
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.node_runner import run, spin_idle
from tdm_ros.nodes.parameters import TrainerParameters
from tdm_ros.replay.log import LOG_FOLDER, from_message, read_discarded, read_transitions
from tdm_ros.tasks import SAWYER_REACH

if TYPE_CHECKING:
    from tdm_ros.training.live_learning import LiveLearning

CHECKPOINT_FOLDER = "checkpoint"
VERSION_FILE = "weights_version"
LAST_MAIL_S = 0.5
"""The collector is one cycle late: wait this long for the last transitions before the last updates."""


class TrainerNode(Node):
    """Learns between two looks at its mail."""

    def __init__(self) -> None:
        super().__init__("trainer")
        self.given = Declared(self, TrainerParameters).values
        self.task = SAWYER_REACH[self.given.actuation]
        self.refusals = Refusals(self.get_logger().warning)
        self._run_dir = Path(self.given.run_dir)
        self._received = 0
        self._learning_over_s: float | None = None
        self._final = False
        self._weights = self.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)
        # Subscribed before the log is read: what comes meanwhile waits in the queue.
        self.create_subscription(Transition, "transition", self._on_transition, qos.TRANSITION)
        self.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)
        self._live = self._make_learning()
        self._version = self._read_version()
        self._published_s = self._saved_s = time.monotonic()
        self._published_updates = self._live.learner.updates
        self._diagnostics = Diagnostics(self, self.refusals, self._values)

    def _make_learning(self) -> LiveLearning:
        # Importing torch takes seconds: the node is known to the others before.
        from tdm_ros.tdm.config import TdmConfig
        from tdm_ros.training.checkpoint import load_learner
        from tdm_ros.training.learner import Learner
        from tdm_ros.training.live_learning import LiveLearning

        folder = self._run_dir / CHECKPOINT_FOLDER
        try:
            learner = load_learner(folder, self.task)
            self.get_logger().info(f"goes on from {folder}: {learner.updates} updates")
        except FileNotFoundError:
            steps = round(self.given.duration_min * 60 * self.task.rate_hz)
            config = TdmConfig(total_steps=steps, human_share=self.given.human_share)
            learner = Learner(self.task, config, self.given.seed)
        live = LiveLearning(learner)
        live.discard(read_discarded(self._run_dir / LOG_FOLDER, self.task.fingerprint))
        if known := live.rebuild(read_transitions(self._run_dir / LOG_FOLDER, self.task.fingerprint)):
            self.get_logger().info(f"{known} transitions from the log")
        return live

    def _read_version(self) -> int:
        path = self._run_dir / VERSION_FILE
        return int(path.read_text()) if path.exists() else 0

    def step(self, executor: SingleThreadedExecutor) -> None:
        """Read the mail, learn for a while, publish and save when it is time."""
        before = -1
        while before != self._received:
            before = self._received
            executor.spin_once(timeout_sec=0.0)
        learned = self._live.learn(self.given.drain_every_ms * 1e-3) if self._may_learn() else 0
        self._publish_and_save(time.monotonic())
        if not learned:
            spin_idle(executor)

    def _may_learn(self) -> bool:
        over_s = self._learning_over_s
        return not self._final and (over_s is None or time.monotonic() - over_s < self.given.finish_s)

    def _publish_and_save(self, now_s: float) -> None:
        learner = self._live.learner
        if learner.agent is None or self._final:
            return
        over_s = self._learning_over_s
        finished = (
            over_s is not None
            and now_s - over_s > LAST_MAIL_S
            and (learner.updates_due() == 0 or not self._may_learn())
        )
        fresh = learner.updates > self._published_updates
        if finished or (fresh and now_s - self._published_s >= self.given.publish_every_s):
            self._publish(finished, now_s)
        if finished or now_s - self._saved_s >= self.given.checkpoint_every_s:
            self._save(now_s)
        self._final = finished

    def _publish(self, final: bool, now_s: float) -> None:
        learner = self._live.learner
        self._version += 1
        self._run_dir.mkdir(parents=True, exist_ok=True)
        (self._run_dir / VERSION_FILE).write_text(str(self._version))
        message = PolicyWeights(
            version=self._version,
            updates=int(learner.updates),
            transitions=int(learner.transitions),
            final=final,
            task=self.task.fingerprint,
            data=learner.actor_bytes(),
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._weights.publish(message)
        self._published_s, self._published_updates = now_s, learner.updates

    def _save(self, now_s: float) -> None:
        from tdm_ros.training.checkpoint import save_checkpoint

        save_checkpoint(self._run_dir / CHECKPOINT_FOLDER, self._live.learner, with_replay=False)
        self._saved_s = now_s

    def _on_transition(self, message: Transition) -> None:
        self._received += 1
        if message.task != self.task.fingerprint:
            self.refusals.refuse("transition: another task", message.task or "none")
            return
        if age_s(self, message.header.stamp) < -1.0:
            self.refusals.refuse("transition: stamp in the future")
            return
        if self._final:
            return
        try:
            self._live.add(from_message(message))
        except ValueError as error:
            self.refusals.refuse("transition: wrong size or not finite", str(error))

    def _on_episode(self, message: Episode) -> None:
        told, problem = to_announcement(self, message, self.task)
        if told is None:
            self.refusals.refuse(f"episode: {problem}", f"task {message.task or 'none'}")
            return
        if dropped := self._live.discard(told.discarded):
            self.get_logger().info(f"{dropped} transitions discarded by a person")
        if told.mode == Mode.TRAIN:
            self._learning_over_s, self._final = None, False
        elif self._learning_over_s is None:
            self._learning_over_s = time.monotonic()

    def _values(self) -> dict[str, object]:
        learner = self._live.learner
        return {
            "updates": learner.updates,
            "updates_due": learner.updates_due(),
            "transitions": learner.transitions,
            "human": len(learner.store.human()),
            "discarded": self._live.discarded,
            "repeated": self._live.repeated,
            "weights_version": self._version,
            "final": self._final,
        }

    def close(self) -> None:
        """Save what was learned since the last checkpoint."""
        if self._live.learner.agent is not None and not self._final:
            self._save(time.monotonic())


def main() -> int:
    """Run the node until a signal."""
    return run(TrainerNode)
