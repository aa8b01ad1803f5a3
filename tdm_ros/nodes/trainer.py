"""`trainer`: rebuilds the replay buffer from the logs, learns while the arms move, publishes versioned weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from visualization_msgs.msg import MarkerArray

from tdm_ros.control.timeline import COMMANDED, Announcement, Mode
from tdm_ros.data.log import LOG_FOLDER, TransitionLog, from_message
from tdm_ros.files import FolderLock, write_durably
from tdm_ros.msg import Episode, PolicyWeights, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import announcements
from tdm_ros.nodes.markers import CELLS, in_frame, reach_markers
from tdm_ros.nodes.node_runner import GuardedExecutor, ManagedNode, every, run, spin_idle
from tdm_ros.nodes.parameters import UNLIMITED, TrainerParameters
from tdm_ros.nodes.subscriptions import COLLECTOR, FOREIGN, listen
from tdm_ros.types import LoggedTransition

if TYPE_CHECKING:
    from tdm_ros.live.learner import OnlineLearner

CHECKPOINT_FOLDER = "checkpoint"
VERSION_FILE = "weights_version"
LARGEST_VERSION = 2**31
COMPILERS = ("g++", "clang++")
DISCOVERY_S = 0.25  # time between two searches for new arms [s]
MAP_EVERY_S = 1.0
REJECTED_S = 5.0  # time between two readings of the logs while a stranger publishes transitions [s]
ABSENT_S = 3.0
"""Time without a message of its supervisor, which sends four per second, after which an arm counts as absent [s]."""
RECEIVE_S = 0.2
"""Longest time of receiving messages before the next updates: a flood of messages must not prevent these [s]."""
LAST_TRANSITIONS_S = 0.5
"""Wait for the last transitions before the last updates: the collector is one cycle late [s]."""


class TrainerNode(ManagedNode):
    """Receives transitions and learns in turn.

    The name of an arm is its namespace below that of the trainer, and its log is in the folder of that name; the arm in
    the same namespace has the empty name.
    """

    PARAMETERS = TrainerParameters

    def configure(self) -> None:
        """Subscribe, load the checkpoint or make a new learner, and read the logs."""
        self.given: TrainerParameters = self._declared.values
        if self.given.arms > 1 and not self.given.fleet:
            raise ValueError(
                f"trainer.arms is {self.given.arms} without fleet: set fleet: true to learn from all of them"
            )
        self.robot, self.live, self.task = self.given.described()
        self._run_dir = Path(self.given.run_dir)
        self._lock = FolderLock(self._run_dir / CHECKPOINT_FOLDER, "trainer")
        self.resources.callback(self._lock.release)
        self._modes: dict[str, tuple[Mode, float]] = {}
        """Mode in the last message of each arm's supervisor, and its time [s]."""
        self._learning_over_s: float | None = None
        self._final = False
        self._weights = self.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)
        # Subscribed before the logs are read: messages that arrive meanwhile wait in the queue.
        self._arms: set[str] = set()
        self._join("")
        if self.given.fleet:
            self._discover_while_importing()
        self._live = self._make_learning()
        self._version = self._read_version()
        self._published_s = self._saved_s = time.monotonic()
        self._published_updates = self._live.learner.updates
        self._newest: LoggedTransition | None = None
        self._map = self.create_publisher(MarkerArray, "reachability_markers", qos.LATCHED)
        every(self, MAP_EVERY_S, self._draw)
        self._unsaved = ""
        self._foreign = 0
        every(self, REJECTED_S, self._read_rejected)
        self.resources.callback(self.deactivate)
        if self.given.fleet:
            every(self, DISCOVERY_S, self._discover_arms)

    def _discover_arms(self) -> None:
        """Subscribe to new arms: publishers of transitions one namespace below that of the trainer."""
        own = self.get_namespace().rstrip("/") + "/"
        for topic, _ in self.get_topic_names_and_types():
            arm, _, name = topic.removeprefix(own).partition("/")
            if topic.startswith(own) and name == "transition":
                self._join(arm)

    def _join(self, arm: str) -> None:
        if arm in self._arms:
            return
        self._arms.add(arm)
        space = f"{arm}/" if arm else ""
        # What a stranger publishes is not learned from; what is rejected meanwhile is read from the log.
        take, only = partial(self._on_transition, arm), f"{space}{COLLECTOR}"
        listen(self, Transition, f"{space}transition", take, qos.TRANSITION, only=only)
        listen(self, Episode, f"{space}episode", announcements(self, partial(self._on_episode, arm)), qos.EPISODE)
        if arm:
            self.get_logger().info(f"{arm} joined")

    def _log_of(self, arm: str) -> TransitionLog:
        return TransitionLog(self._run_dir / arm / LOG_FOLDER, self.task.fingerprint)

    def _discover_while_importing(self) -> None:
        """Import torch, which takes seconds, and discover arms meanwhile: none of their transitions is missed."""
        importing = Thread(target=import_module, args=["tdm_ros.live.learner"], daemon=True)
        importing.start()
        while importing.is_alive():
            self._discover_arms()
            importing.join(DISCOVERY_S)

    def _make_learning(self) -> OnlineLearner:
        # Importing torch takes seconds: others discover the node before.
        from tdm_ros.live.learner import OnlineLearner
        from tdm_ros.tdm.config import TdmConfig
        from tdm_ros.training.checkpoint import DamagedCheckpointError, load_learner, set_aside
        from tdm_ros.training.learner import Learner

        folder, compiled = self._run_dir / CHECKPOINT_FOLDER, self.given.compiled
        if compiled and not any(map(shutil.which, COMPILERS)):
            self.get_logger().warning(f"no C++ compiler ({', '.join(COMPILERS)}) was found: updates are not compiled")
            compiled = False
        try:
            learner = load_learner(folder, self.task, compiled)
            self.get_logger().info(f"goes on from {folder}: {learner.updates} updates")
            if len(learner.store):
                raise ValueError(
                    f"{folder} is of a run without ROS, which keeps its experience there, expected that of a live run: "
                    "give another run_dir, or it would be saved over"
                )
        except (FileNotFoundError, DamagedCheckpointError) as error:
            if isinstance(error, DamagedCheckpointError):
                self.get_logger().error(f"{error}: kept in {set_aside(folder)}, learning begins anew from the log")
            duration_min = self.given.duration_min if self.given.duration_min != UNLIMITED else 0.0
            steps = round(duration_min * 60 * self.task.rate_hz) * self.given.arms
            config = TdmConfig(total_timesteps=steps, operator_fraction=self.given.operator_fraction)
            learner = Learner(self.task, config, self.given.seed, compiled)
        live = OnlineLearner(learner)
        folders = self._run_dir.glob(f"*/{LOG_FOLDER}") if self.given.fleet else ()
        logs = {arm: self._log_of(arm) for arm in ["", *sorted(folder.parent.name for folder in folders)]}
        self._reject(live.rebuild_from(logs))
        if unreadable := sum(log.unreadable for log in logs.values()):
            self.get_logger().warning(f"log: {unreadable} messages cannot be decoded and are left out")
        if repeated := sum(log.repeated for log in logs.values()):
            self.get_logger().warning(f"log: {repeated} transitions are there twice and are learned from once")
        if known := learner.transitions:
            self.get_logger().info(f"{known} transitions from the log")
        return live

    def _read_version(self) -> int:
        """Return the last published version; 0 if the file is missing or damaged: versions are not compared."""
        path = self._run_dir / VERSION_FILE
        if not path.exists():
            return 0
        text = path.read_bytes()[:20]
        if not (text.strip().isdigit() and (version := int(text)) <= LARGEST_VERSION):
            self.get_logger().warning(f"{path} is damaged: {text!r}, expected a number; versions begin with 1 again")
            return 0
        return version

    def step(self, executor: GuardedExecutor) -> None:
        """Receive messages, learn for a while, publish and save when due."""
        silent, end_s = 0, time.monotonic() + RECEIVE_S
        # After one turn without a message others may still wait: each turn takes one per topic.
        while silent < 2 and time.monotonic() < end_s:
            silent = 0 if executor.spin_once(timeout_sec=0.0) else silent + 1
        learned = self._live.learn(self.given.drain_every_ms * 1e-3) if self._may_learn() else 0
        if self.active:
            self._publish_and_save(time.monotonic())
        if not learned:
            spin_idle(executor)

    def _may_learn(self) -> bool:
        over_s = self._learning_over_s
        return self.active and not self._final and (over_s is None or time.monotonic() - over_s < self.given.finish_s)

    def _publish_and_save(self, now_s: float) -> None:
        learner = self._live.learner
        if self._final and self._unsaved and now_s - self._saved_s >= self.given.checkpoint_every_s:
            self._save(now_s)
        if learner.agent is None or self._final:
            return
        over = self._learning_over_s is not None and now_s - self._learning_over_s > LAST_TRANSITIONS_S
        if over:
            self._live.settle()
        finished = over and (learner.updates_due() == 0 or not self._may_learn())
        fresh = learner.updates > self._published_updates
        if finished or (fresh and now_s - self._published_s >= self.given.publish_every_s):
            self._publish(finished, now_s)
        if finished or now_s - self._saved_s >= self.given.checkpoint_every_s:
            self._save(now_s)
        self._final = finished

    def _publish(self, final: bool, now_s: float) -> None:
        learner = self._live.learner
        self._version += 1
        self._try_to_write(VERSION_FILE, lambda: write_durably(self._run_dir / VERSION_FILE, str(self._version)))
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

        folder = self._run_dir / CHECKPOINT_FOLDER
        self._try_to_write(CHECKPOINT_FOLDER, lambda: save_checkpoint(folder, self._live.learner, with_replay=False))
        self._saved_s = now_s

    def _try_to_write(self, name: str, write: Callable[[], None]) -> None:
        """Write to the run folder; if that fails, report it and continue: there may be space the next time."""
        try:
            self._run_dir.mkdir(parents=True, exist_ok=True)
            write()
        except (OSError, FloatingPointError) as error:
            remedy = (
                f"make room in {self._run_dir}" if isinstance(error, OSError) else "end the run: what is saved is good"
            )
            sentence = f"{name} is not saved: {error}; learning goes on, {remedy}"
            if sentence != self._unsaved:
                self.get_logger().error(sentence)
            self._unsaved = sentence
            return
        if self._unsaved.startswith(f"{name} "):
            self._unsaved = ""
            self.get_logger().info(f"{name} is saved again")

    def _on_transition(self, arm: str, message: Transition) -> None:
        if self._final:
            return
        try:
            transition = from_message(message)
            if not self._live.follows(transition, arm):
                self._catch_up(arm)
            self._live.add(transition, arm)
            if transition.source in COMMANDED:  # others have no goal
                self._newest = transition
        except ValueError as error:
            self.rejections.reject("transition: wrong size, not finite or not physical", str(error))

    def _reject(self, problems: list[str]) -> None:
        for problem in problems:
            self.rejections.reject("log: a transition cannot be learned from and is left out", problem)

    def _catch_up(self, arm: str) -> None:
        """Read missed transitions of an arm from its log, if that is on this machine: it may have moved before."""
        live = self._live
        missed = self._log_of(arm).read_after(lambda one: not one.run or live.has(one, arm))
        try:
            self._reject(live.rebuild((one for one in missed if one.run and not live.has(one, arm)), arm))
        except ValueError as error:
            self.rejections.reject("log: what was missed cannot be read", str(error))

    def _read_rejected(self) -> None:
        """Read from the logs what was rejected since the last call because a stranger publishes, too."""
        foreign = sum(count for why, count in self.rejections.counts.items() if why.endswith(FOREIGN))
        if foreign > self._foreign and not self._final:
            for arm in sorted(self._arms):
                self._catch_up(arm)
        self._foreign = foreign

    def _on_episode(self, arm: str, announced: Announcement, message: Episode) -> None:
        if dropped := self._live.discard(announced.discarded, arm):
            self.get_logger().info(f"{dropped} transitions discarded by the operator")
        if announced.demonstration:  # the time of learning begins after the demonstrations
            self._live.learner.schedule_start = self._live.learner.steps
        now_s = time.monotonic()
        self._modes[arm] = announced.mode, now_s
        if Mode.TRAIN in self._present(now_s).values():
            self._learning_over_s, self._final = None, False
        elif self._learning_over_s is None:
            self._learning_over_s = now_s

    def _present(self, now_s: float) -> dict[str, Mode]:
        """Return the modes of the present arms."""
        return {arm: mode for arm, (mode, received_s) in self._modes.items() if now_s - received_s < ABSENT_S}

    def _draw(self) -> None:
        """Publish the reachability map from the newest state, at the height of its goal, if it is subscribed to."""
        agent, newest = self._live.learner.agent, self._newest
        if not self.active or agent is None or newest is None or not self._map.get_subscription_count():
            return
        from tdm_ros.training.reachability import reachability_map

        step = newest.step
        height_m, steps = float(step.desired[2]), self.given.map_steps
        begin = step.next_observation, step.next_achieved
        try:  # a failure must not end the training
            found = reachability_map(agent, self.task, *begin, height_m, steps, CELLS)
        except ValueError as error:
            self.rejections.reject("reachability map", str(error))
            return
        squares = reach_markers(*found, self.get_clock().now().to_msg())
        self._map.publish(in_frame(squares, self.frame(self.task.frame)))

    def problem(self) -> str:
        """Return what could not be saved; "" if everything was."""
        return self._unsaved if self.configured else ""

    def values(self) -> dict[str, object]:
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
            "arms": len(self._present(time.monotonic())),
            "alarm": self.problem(),
            **{f"transitions of {arm}": count for arm, count in self._live.taken.items() if arm},
        }

    def deactivate(self) -> None:
        """Stop to learn, and save; transitions are still stored, to be learned from when the node is active again."""
        if self._live.learner.agent is not None and (self._unsaved or not self._final):
            self._save(time.monotonic())


main = partial(run, TrainerNode)
