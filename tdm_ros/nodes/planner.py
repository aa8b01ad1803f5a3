"""`planner`: computes subgoals around keep-outs, and plans again while they are pursued."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from visualization_msgs.msg import MarkerArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement
from tdm_ros.data.log import LOG_FOLDER, TransitionLog, from_message
from tdm_ros.msg import ArmState, Episode, KeepOut, PolicyWeights, Subgoal, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import announcements, boxes_of, floats, is_current, states
from tdm_ros.nodes.markers import in_frame, markers
from tdm_ros.nodes.node_runner import GuardedExecutor, ManagedNode, run, spin_idle
from tdm_ros.nodes.parameters import PlannerParameters
from tdm_ros.nodes.subscriptions import COLLECTOR, LARGEST_WEIGHTS, listen
from tdm_ros.planning import KeepOut as Regions
from tdm_ros.planning import Objective, PlannerSettings, SubgoalPlanner
from tdm_ros.planning.live import REMEMBERED, LivePlanner, PlannerBuilder, SubgoalUpdate
from tdm_ros.tasks import SCENES
from tdm_ros.tasks.scenes import boxes_of_numbers
from tdm_ros.tdm.actor import NumpyActor

QUEUE_S = 0.05
"""Maximum time for queued messages before the next plan, so that a flood of them does not delay it [s]."""


class PlannerNode(ManagedNode):
    """Handles queued messages, then plans from the newest state."""

    PARAMETERS = PlannerParameters

    def configure(self) -> None:
        given: PlannerParameters = self._declared.values
        self.robot, self.live, self.task = given.described()
        if given.task != "reach" and given.planner != "direct":
            raise ValueError(f"planner must be direct for task {given.task}, got {given.planner}: choose direct")
        self._state: tuple[ArmSample, ArmState] | None = None
        self._hand_m = np.zeros(3)
        self._inputs: set[str] = set()
        self._plans = given.planner != "direct"
        rng = np.random.default_rng([5, given.seed])
        self._experience = PlannerBuilder(self.task, self._make_planner, rng, given.learn_every_s)
        planner = self._make_planner() if self._plans else None
        self._live = LivePlanner(self.live, planner, given.budget_s, given.replan_steps)
        self._subgoals = self.create_publisher(Subgoal, "subgoal", qos.LATCHED)
        self._markers = self.create_publisher(MarkerArray, "plan_markers", qos.LATCHED)
        self._topic_boxes = np.zeros((0, 2, 3))
        self._boxes = self._topic_boxes
        self._parameter_boxes = given.keep_out.boxes_m
        self._set_boxes(self._topic_boxes)
        listen(self, Episode, "episode", announcements(self, self._on_episode), qos.EPISODE)
        listen(self, ArmState, "arm_state", states(self, self._on_state), qos.STATE)
        listen(self, KeepOut, "keep_out", self._on_keep_out, qos.LATCHED)
        if self._plans:
            listen(self, PolicyWeights, "policy_weights", self._on_weights, qos.LATCHED, LARGEST_WEIGHTS)
            listen(self, Transition, "transition", self._on_transition, qos.TRANSITION, only=COLLECTOR)
            log = TransitionLog(Path(given.run_dir) / LOG_FOLDER, self.task.fingerprint)
            for logged in deque(log.read(newest=REMEMBERED), maxlen=REMEMBERED):  # what was seen before a restart
                self._experience.add(logged.step, logged.last)
            if len(self._experience):
                self.get_logger().info(f"{len(self._experience)} transitions from the log")

    def _make_planner(self) -> SubgoalPlanner:
        given = self._declared.values
        objective = Objective.for_task(self.task, margin=given.keep_out.margin_m)
        return SubgoalPlanner(self.task, PlannerSettings(given.planner, objective, seed=given.seed))

    def step(self, executor: GuardedExecutor) -> None:
        """Handle queued messages, plan from the newest state, and use what was learned meanwhile."""
        spin_idle(executor)
        end_s = time.monotonic() + QUEUE_S
        while executor.spin_once(timeout_sec=0.0) and time.monotonic() < end_s:
            pass
        self.plan()

    def plan(self) -> None:
        """Plan from the newest state, if there is one, and use what was learned meanwhile."""
        state, self._state = self._state, None
        if not self.active:
            return
        if state is not None and is_current(self, state[1], self._declared.values.max_state_age_s):
            sample = state[0]
            self._inputs.add("arm_state")
            self._hand_m = sample.hand_m
            own = self._declared.values.keep_out.boxes_m
            if own != self._parameter_boxes:
                self._parameter_boxes = own
                self._set_boxes(self._topic_boxes)
            for update in self._live.update(sample):
                self._publish(update)
        if (learned := self._experience.poll(time.monotonic())) is not None:
            self._live.set_planner(learned)

    def deactivate(self) -> None:
        """Let the episode hold, and plan no further."""
        self.on_callback_error("the node planner is inactive")

    def on_callback_error(self, why: str) -> None:
        """Hold for the rest of the episode, and in the announced one: a plan may be based on a wrong state."""
        for update in self._live.cancel(why):
            self._publish(update)

    def _publish(self, update: SubgoalUpdate) -> None:
        message = Subgoal(
            episode=update.episode,
            plan=update.number,
            status=getattr(Subgoal, update.status),
            last=update.last,
            start_cycle=update.start_cycle,
            steps_left=update.steps_left,
            goal=floats(update.goal),
            segment=update.knot + 1,
            segments=len(update.plan.knots),
            predicted_distance=update.predicted,
            segments_ended=update.ended,
            reached_distance=update.reached,
            task=self.task.fingerprint,
            reason=update.reason,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self.task.frame
        self._subgoals.publish(message)
        if not len(update.goal):
            self.get_logger().info(f"episode {update.episode} holds: {update.status}, {update.reason}")
        self._draw(update)

    def _draw(self, update: SubgoalUpdate | None) -> None:
        left = () if update is None else update.plan.knots[max(update.knot, 0) :]
        knots = np.reshape([self.live.point_of(knot) for knot in left], (-1, 3))
        miss = [] if update is None else update.plan.predicted_miss[max(update.knot, 0) :].tolist()
        acceptable_m = self._live.planner.objective.acceptable if self._live.planner is not None else 1.0
        stamp = self.get_clock().now().to_msg()
        drawn = markers(self._hand_m, knots, miss, acceptable_m, self._boxes, stamp)
        self._markers.publish(in_frame(drawn, self.frame(self.task.frame)))

    def _set_boxes(self, topic_boxes: NDArray[np.float64]) -> None:
        """Keep out of the boxes of the scene, of the parameter and of the topic."""
        scene = SCENES[self._declared.values.scene].boxes_m
        self._boxes = np.concatenate([scene, boxes_of_numbers(self._parameter_boxes), topic_boxes])
        self._topic_boxes = topic_boxes
        if self._live.planner is not None:
            self._live.planner.keep_out = Regions(self._boxes, (0, 1, 2))
        self._draw(None)

    def _on_keep_out(self, message: KeepOut) -> None:
        boxes, problem = boxes_of(message, self.task.frame)
        if boxes is None:
            self.rejections.reject(f"keep_out: {problem}")
            return
        self._set_boxes(boxes)

    def _on_episode(self, announced: Announcement, message: Episode) -> None:
        self._inputs.add("episode")
        self._live.announce(announced)

    def _on_state(self, sample: ArmSample, message: ArmState) -> None:
        self._state = sample, message  # only the newest counts: states that arrived during a plan are old

    def _on_weights(self, message: PolicyWeights) -> None:
        try:
            actor = NumpyActor.from_bytes(bytes(message.data))
            problem = self._experience.set_weights(actor, int(message.version), bool(message.final))
        except ValueError as error:
            problem = str(error)
        if problem:
            self.rejections.reject("policy_weights", f"version {message.version}: {problem}")

    def _on_transition(self, message: Transition) -> None:
        try:
            logged = from_message(message)
            self._experience.add(logged.step, logged.last)
        except ValueError as error:
            self.rejections.reject("transition: wrong size, not finite or not physical", str(error))

    def values(self) -> dict[str, object]:
        ready_inputs = {"arm_state", "episode"} <= self._inputs
        ready = self.active and ready_inputs and self._subgoals.get_subscription_count() > 0
        seen = {"weights_version": self._experience.version, "seen": len(self._experience), "boxes": len(self._boxes)}
        return {"ready": ready, **self._live.statistics.values(), **seen}


main = partial(run, PlannerNode)
