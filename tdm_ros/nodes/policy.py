"""`policy`: answers each state of the arm with a command for that cycle, from the newest weights."""

from __future__ import annotations

from functools import partial

import numpy as np

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement
from tdm_ros.control.validation import check_vector
from tdm_ros.msg import ArmState, Command, Episode, PolicyWeights, Subgoal
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import SUBGOAL_STATUS, age_s, announcements, doubles, is_current, states
from tdm_ros.nodes.node_runner import ManagedNode, run
from tdm_ros.nodes.parameters import PolicyParameters
from tdm_ros.nodes.subscriptions import LARGEST_WEIGHTS, listen
from tdm_ros.robots.arm import actuations
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.decision import Decision, Exploration, PolicyController, PolicySubgoal

SUBGOAL_MAX_AGE_S = 10.0  # maximum age of a subgoal [s]; an episode lasts 2.5 or 5 s


class PolicyNode(ManagedNode):
    """Publishes commands while it is active; without them the arm holds."""

    PARAMETERS = PolicyParameters

    def configure(self) -> None:
        self.given: PolicyParameters = self._declared.values
        self.robot, self.live, self.task = self.given.described()
        by_velocity = actuations(self.robot)[self.given.actuation].mode == "velocity"
        self._mode = Command.VELOCITY if by_velocity else Command.TORQUE
        self._names = list(self.robot.joint_names)
        rng = np.random.default_rng([4, self.given.seed])
        exploration = Exploration(self.task.action.size, rng)
        self._controller = PolicyController(self.live, exploration, self.given.smoothing)
        self._answers = 0
        self._received: set[str] = set()
        self._commands = self.create_lifecycle_publisher(Command, "command", qos.COMMAND)
        listen(self, Episode, "episode", announcements(self, self._on_episode), qos.EPISODE)
        listen(self, Subgoal, "subgoal", self._on_subgoal, qos.EPISODE, on_two=self._on_two_planners)
        reject = self._controller.reject_weights
        listen(self, PolicyWeights, "policy_weights", self._on_weights, qos.LATCHED, LARGEST_WEIGHTS, reject)
        listen(self, ArmState, "arm_state", states(self, self._on_state), qos.STATE)

    def _on_state(self, sample: ArmSample, message: ArmState) -> None:
        if not is_current(self, message, self.given.max_state_age_s):
            return
        self._received.add("arm_state")
        if not self.active:
            return
        decision, problem = self._controller.decide(sample)
        if problem:
            self.rejections.reject(f"no command: {problem}")
        if decision is not None:
            self._commands.publish(self._answer(message, sample, decision))
            self._answers += 1

    def _answer(self, message: ArmState, sample: ArmSample, decision: Decision) -> Command:
        return Command(
            run=sample.run,
            header=message.header,
            cycle=sample.cycle,
            episode=decision.episode,
            mode=self._mode,
            joint_names=self._names,
            values=doubles(self.live.command(decision.action, sample)),
            source=int(decision.source),
            weights_version=decision.weights_version,
        )

    def _on_episode(self, announced: Announcement, message: Episode) -> None:
        self._received.add("episode")
        self._controller.set_episode(announced)

    def _on_subgoal(self, message: Subgoal) -> None:
        subgoal = to_subgoal(message)
        problem = "" if subgoal.hold else check_vector(subgoal.goal, self.task.goal.size)
        if not abs(age_s(self, message.header.stamp)) <= SUBGOAL_MAX_AGE_S:
            problem = "stamp too old or in the future"
        if problem:
            self.rejections.reject(f"subgoal: {problem}", f"episode {message.episode}")
            return
        self._controller.set_subgoal(subgoal)

    def _on_weights(self, message: PolicyWeights) -> None:
        try:
            problem = self._controller.set_actor(NumpyActor.from_bytes(bytes(message.data)), int(message.version))
        except ValueError as error:
            problem = str(error)
            self._controller.reject_weights(problem)
        if problem:
            self.rejections.reject("policy_weights", f"version {message.version}: {problem}")

    def on_callback_error(self, why: str) -> None:
        """Discard subgoals that may have been stored in part; the arm holds for lack of commands."""
        self._controller.clear_subgoals()

    def _on_two_planners(self, why: str) -> None:
        """Pursue no subgoal of two planners."""
        self._controller.clear_subgoals()

    def values(self) -> dict[str, object]:
        received_all = {"arm_state", "episode"} <= self._received
        ready = self.active and received_all and self._commands.get_subscription_count() > 0
        return {"ready": ready, "answers": self._answers, "weights_version": self._controller.version}


def to_subgoal(message: Subgoal) -> PolicySubgoal:
    """Convert a subgoal; a status other than PLANNED and DIRECT requests a hold."""
    pursued = message.status in (Subgoal.PLANNED, Subgoal.DIRECT)
    return PolicySubgoal(
        int(message.episode),
        int(message.start_cycle),
        int(message.steps_left),
        np.array(message.goal, np.float32),
        planned=message.status == Subgoal.PLANNED,
        last=bool(message.last),
        hold="" if pursued else SUBGOAL_STATUS.get(int(message.status), "unknown status"),
    )


main = partial(run, PolicyNode)
