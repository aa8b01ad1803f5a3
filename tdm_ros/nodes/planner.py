"""`planner`: computes subgoals around keep-outs, and plans again while they are pursued."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from visualization_msgs.msg import MarkerArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.validation import Rejections
from tdm_ros.data.log import LOG_FOLDER, TransitionLog, from_message
from tdm_ros.msg import ArmState, Episode, KeepOut, PolicyWeights, Subgoal, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import BASE_FRAME, StateReader, age_s, boxes_of, floats, to_announcement
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.markers import markers
from tdm_ros.nodes.node_runner import run, spin_idle
from tdm_ros.nodes.parameters import Declared, PlannerParameters
from tdm_ros.nodes.reach_action import ReachAction
from tdm_ros.nodes.subscriptions import LARGEST_WEIGHTS, listen
from tdm_ros.planning import KeepOut as Regions
from tdm_ros.planning import Objective, PlannerSettings, SubgoalPlanner
from tdm_ros.planning.live import REMEMBERED, LivePlanner, PlannerBuilder, SubgoalUpdate
from tdm_ros.tasks import SAWYER_REACH, SCENES
from tdm_ros.tasks.scenes import boxes_of_numbers
from tdm_ros.tdm.actor import NumpyActor

MAIL_S = 0.05
"""Longest time for which messages are taken in before the next plan: a flood of them must not keep it off [s]."""


class PlannerNode(Node):
    """Handles its mail, then plans from the newest state; nobody waits for it."""

    def __init__(self) -> None:
        super().__init__("planner")
        self._declared = Declared(self, PlannerParameters)
        given = self._declared.values
        self.task = SAWYER_REACH[given.actuation]
        self.rejections = Rejections(self.get_logger().warning)
        self._reader = StateReader(self.task)
        self._received = 0
        self._state: ArmState | None = None
        self._hand_m = np.zeros(3)
        self._heard: set[str] = set()
        self._plans = given.planner != "direct"
        rng = np.random.default_rng([5, given.seed])
        self._experience = PlannerBuilder(self.task, self._make_planner, rng, given.learn_every_s)
        planner = self._make_planner() if self._plans else None
        self._live = LivePlanner(self.task, planner, given.budget_s, given.replan_steps)
        self._subgoals = self.create_publisher(Subgoal, "subgoal", qos.LATCHED)
        self._markers = self.create_publisher(MarkerArray, "plan_markers", qos.LATCHED)
        self._action = ReachAction(self, self._live, given.action_budget_s, self._say, self.rejections)
        self._told_boxes = np.zeros((0, 2, 3))
        self._boxes = self._told_boxes
        self._own_boxes = given.keep_out.boxes_m
        self._set_boxes(self._told_boxes)
        self._subscribe()
        if self._plans:
            self._remember(Path(given.run_dir) / LOG_FOLDER)
        self._diagnostics = Diagnostics(self, self.rejections, self._values)

    def _make_planner(self) -> SubgoalPlanner:
        given = self._declared.values
        objective = Objective.for_task(self.task, margin=given.keep_out.margin_m)
        return SubgoalPlanner(self.task, PlannerSettings(given.planner, objective, seed=given.seed))

    def _subscribe(self) -> None:
        listen(self, Episode, "episode", self._on_episode, qos.EPISODE)
        listen(self, ArmState, "arm_state", self._on_state, qos.STATE)
        listen(self, KeepOut, "keep_out", self._on_keep_out, qos.LATCHED)
        if self._plans:
            listen(self, PolicyWeights, "policy_weights", self._on_weights, qos.LATCHED, LARGEST_WEIGHTS)
            listen(self, Transition, "transition", self._on_transition, qos.TRANSITION)

    def _remember(self, log: Path) -> None:
        """See again what was seen before a restart."""
        for logged in deque(TransitionLog(log, self.task.fingerprint).read(newest=REMEMBERED), maxlen=REMEMBERED):
            self._experience.add(logged.step, logged.last)
        if len(self._experience):
            self.get_logger().info(f"{len(self._experience)} transitions from the log")

    def step(self, executor: SingleThreadedExecutor) -> None:
        """Read the mail, plan from the newest state; take what was learned meanwhile."""
        spin_idle(executor)
        before, end_s = -1, time.monotonic() + MAIL_S
        while before != self._received and time.monotonic() < end_s:
            before = self._received
            executor.spin_once(timeout_sec=0.0)
        self.plan()

    def plan(self) -> None:
        """Plan from the newest state, if one came, and take what was learned meanwhile."""
        state, self._state = self._state, None
        sample = None if state is None else self._read(state)
        if sample is not None:
            self._hand_m = sample.hand_m
            self._refresh_boxes()
            orders = self._live.update(sample)
            for order in orders:
                self._say(order)
            self._action.look(sample, orders)
        if (learned := self._experience.poll(time.monotonic())) is not None:
            self._live.set_planner(learned)

    def on_callback_error(self, why: str) -> None:
        """Let the episode hold: what was planned may be of the wrong state."""
        order = self._live.cancel(self._live.running.episode, why)
        if order is not None:
            self._say(order)

    def _say(self, order: SubgoalUpdate) -> None:
        message = Subgoal(
            episode=order.episode,
            plan=order.number,
            status=getattr(Subgoal, order.status),
            last=order.last,
            start_cycle=order.start_cycle,
            steps_left=order.steps_left,
            goal=floats(order.goal),
            task=self.task.fingerprint,
            reason=order.reason,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = BASE_FRAME
        self._subgoals.publish(message)
        if not len(order.goal):
            self.get_logger().info(f"episode {order.episode} holds: {order.status}, {order.reason}")
        self._draw(order)

    def _draw(self, order: SubgoalUpdate | None) -> None:
        knots = np.zeros((0, 3)) if order is None else order.plan.knots[max(order.knot, 0) :]
        miss = [] if order is None else order.plan.predicted_miss[max(order.knot, 0) :].tolist()
        acceptable_m = self._live.planner.objective.acceptable if self._live.planner is not None else 1.0
        stamp = self.get_clock().now().to_msg()
        self._markers.publish(markers(self._hand_m, knots, miss, acceptable_m, self._boxes, stamp))

    def _set_boxes(self, told: NDArray[np.float64]) -> None:
        """Keep out of the scene's regions, the parameter's boxes and those of the topic."""
        scene = SCENES[self._declared.values.scene].boxes_m
        self._boxes = np.concatenate([scene, boxes_of_numbers(self._own_boxes), told])
        self._told_boxes = told
        if self._live.planner is not None:
            self._live.planner.keep_out = Regions(self._boxes, (0, 1, 2))
        self._draw(None)

    def _refresh_boxes(self) -> None:
        own = self._declared.values.keep_out.boxes_m
        if own != self._own_boxes:
            self._own_boxes = own
            self._set_boxes(self._told_boxes)

    def _on_keep_out(self, message: KeepOut) -> None:
        self._received += 1
        boxes, problem = boxes_of(message)
        if boxes is None:
            self.rejections.reject(f"keep_out: {problem}")
            return
        self._set_boxes(boxes)

    def _on_episode(self, message: Episode) -> None:
        self._received += 1
        told, problem = to_announcement(self, message, self.task)
        if told is None:
            self.rejections.reject(f"episode: {problem}", f"task {message.task or 'none'}")
            return
        self._heard.add("episode")
        self._live.announce(told)

    def _on_state(self, message: ArmState) -> None:
        self._received += 1
        self._state = message  # only the newest counts: what came while a plan was made is old

    def _read(self, message: ArmState) -> ArmSample | None:
        sample, problem = self._reader.read(message)
        old_s = age_s(self, message.header.stamp)
        if sample is None:
            self.rejections.reject(f"arm_state: {problem}")
        elif not abs(old_s) <= self._declared.values.max_state_age_s:
            self.rejections.reject("arm_state: stamp too old or in the future", f"age {old_s * 1e3:.0f} ms")
        else:
            self._heard.add("arm_state")
            return sample
        return None

    def _on_weights(self, message: PolicyWeights) -> None:
        self._received += 1
        problem = "another task" if message.task != self.task.fingerprint else ""
        if not problem:
            try:
                actor = NumpyActor.from_bytes(bytes(message.data))
                problem = self._experience.set_weights(actor, int(message.version), bool(message.final))
            except ValueError as error:
                problem = str(error)
        if problem:
            self.rejections.reject("policy_weights", f"version {message.version}: {problem}")

    def _on_transition(self, message: Transition) -> None:
        self._received += 1
        if message.task != self.task.fingerprint:
            self.rejections.reject("transition: another task", message.task or "none")
            return
        try:
            logged = from_message(message)
            self._experience.add(logged.step, logged.last)
        except ValueError as error:
            self.rejections.reject("transition: wrong size, not finite or not physical", str(error))

    def _values(self) -> dict[str, object]:
        heard_all = {"arm_state", "episode"} <= self._heard
        ready = heard_all and self._subgoals.get_subscription_count() > 0
        seen = {"weights_version": self._experience.version, "seen": len(self._experience), "boxes": len(self._boxes)}
        return {"ready": ready, **self._live.statistics.values(), **seen}


def main() -> int:
    """Run the node until a signal."""
    return run(PlannerNode)
