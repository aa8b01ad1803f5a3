"""The policy node over real DDS: when it answers, and when it must be silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from actor_for_tests import TASK, WEIGHTS  # noqa: E402
from ros_bench import Bench, bench, resting_state  # noqa: E402
from safetensors.numpy import load, save  # noqa: E402
from tdm_ros.msg import ArmState, Command, Episode, PolicyWeights, Subgoal  # noqa: E402

from tdm_ros.control.timeline import Announcement, Mode, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import doubles, floats, to_episode  # noqa: E402
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD  # noqa: E402
from tdm_ros.tasks import observe  # noqa: E402
from tdm_ros.tdm.actor import NumpyActor  # noqa: E402

GOAL = np.array([0.5, 0.0, 0.3], np.float32)


class Stage:
    """Plays arm, supervisor, planner and trainer."""

    def __init__(self, made: Bench) -> None:
        self.bench = made
        node = made.node
        self.commands: list[Command] = []
        node.create_subscription(Command, "command", self.commands.append, 10)
        self._states = node.create_publisher(ArmState, "arm_state", qos.STATE)
        self._episodes = node.create_publisher(Episode, "episode", qos.LATCHED)
        self._subgoals = node.create_publisher(Subgoal, "subgoal", qos.LATCHED)
        self._weights = node.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)
        self.mode = Mode.TRAIN
        self.change = lambda state: state
        self.cycle = 0
        node.create_timer(0.05, self._tick)
        node.create_timer(0.2, self._announce)

    def _stamp(self):  # type: ignore[no-untyped-def]
        return self.bench.node.get_clock().now().to_msg()

    def _announce(self) -> None:
        announced = Announcement(State.RUNNING, self.mode, 1, length=10**6, goal=GOAL)
        self._episodes.publish(to_episode(announced, TASK, self._stamp()))

    def _tick(self) -> None:
        self.cycle += 1
        state = resting_state(cycle=self.cycle)
        state.header.stamp = self._stamp()
        state.hand.position.x = 0.45
        self._states.publish(self.change(state))

    def aim(self, task: str = TASK.fingerprint, size: int = 3, **fields: Any) -> None:
        fields = {"status": Subgoal.DIRECT, "last": True, "steps_left": 10} | fields
        message = Subgoal(episode=1, plan=1, goal=floats(np.resize(GOAL, size)), task=task, **fields)
        message.header.stamp = self._stamp()
        self._subgoals.publish(message)

    def weights(self, data: bytes, version: int, task: str = TASK.fingerprint) -> None:
        self._weights.publish(PolicyWeights(version=version, task=task, data=data))

    def silent(self, seconds: float = 1.0) -> bool:
        self.bench.spin(0.2)
        self.commands.clear()
        self.bench.spin(seconds)
        return not self.commands


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with bench(tmp_path) as made:
        made.start("policy")
        player = Stage(made)
        made.until(lambda: len(player.commands) > 3)
        yield player


def rejected(stage: Stage, words: str) -> None:
    """Wait until an input was rejected for this reason, or no command was sent for it."""
    stage.bench.until(lambda: any(words in why for why in stage.bench.rejected("policy")))


def test_policy_without_weights_explores_at_random_and_echoes_the_cycle(stage: Stage) -> None:
    command = stage.commands[-1]
    assert command.source == ArmState.SOURCE_RANDOM and command.weights_version == 0 and command.episode == 1
    assert abs(stage.cycle - command.cycle) <= 1
    assert list(command.joint_names) == list(JOINT_NAMES) and np.isfinite(command.values).all()
    stage.weights(WEIGHTS, 9, task="another task")
    rejected(stage, "policy_weights: another task")
    assert not stage.silent(0.3) and stage.commands[-1].weights_version == 0


def test_policy_in_an_evaluation_is_silent_without_weights_and_uses_new_ones_without_noise(stage: Stage) -> None:
    stage.mode = Mode.EVALUATE
    stage.bench.spin(0.4)
    assert stage.silent()
    rejected(stage, "no command: no weights to evaluate")
    stage.aim()
    stage.weights(WEIGHTS, version=7)
    stage.bench.until(lambda: stage.commands and stage.commands[-1].weights_version == 7)
    stage.bench.spin(0.5)
    assert stage.commands[-1].source == ArmState.SOURCE_POLICY
    actor, hand = NumpyActor.from_bytes(WEIGHTS), np.array([0.45, 0, 0], np.float32)
    seen = observe(NEUTRAL_RAD, np.zeros(7), hand)
    possible = np.array([actor.select_horizon(seen, hand, GOAL, most)[0] for most in range(TASK.horizon + 1)])
    apart = np.abs(possible * TASK.action.scale - np.array(stage.commands[-1].values)).max(axis=1)
    assert apart.min() < 1e-6, "not an action that the weights would choose"


def test_policy_is_silent_for_foreign_subgoals_a_hold_and_an_overdue_one_that_is_not_the_last(stage: Stage) -> None:
    stage.weights(WEIGHTS, version=1)
    stage.aim(task="another task")
    rejected(stage, "subgoal: another task")
    stage.aim(size=4)
    rejected(stage, "subgoal: wrong size")
    assert stage.silent()
    stage.aim()
    stage.bench.until(lambda: stage.commands and stage.commands[-1].weights_version == 1)
    stage.aim(status=Subgoal.UNREACHABLE, size=0)
    assert stage.silent()
    rejected(stage, "no command: the planner holds: UNREACHABLE")
    stage.aim(status=Subgoal.PLANNED, last=False, start_cycle=stage.cycle, steps_left=2)
    stage.bench.until(lambda: bool(stage.commands))
    rejected(stage, "no command: the subgoal is overdue and no other was received")
    assert stage.silent(0.5)
    stage.aim(status=Subgoal.PLANNED, last=True, start_cycle=max(stage.cycle - 100, 0), steps_left=2)
    stage.bench.until(lambda: bool(stage.commands), 5)


def test_policy_weights_that_are_spoilt_silence_it_until_better_ones_come(stage: Stage) -> None:
    not_finite = save({k: np.full_like(v, np.nan) for k, v in load(WEIGHTS).items()})
    for number, spoilt in enumerate((b"garbage", not_finite), start=1):
        stage.weights(spoilt, 10 * number)
        stage.bench.until(lambda n=number: stage.bench.rejected("policy").get("policy_weights", 0) >= n)
        assert stage.silent(0.3)
        rejected(stage, "the newest weights cannot be used")
        stage.weights(WEIGHTS, 10 * number + 1)
        stage.aim()
        stage.bench.until(lambda n=number: stage.commands and stage.commands[-1].weights_version == 10 * n + 1)


BAD: dict[str, Callable[[ArmState], object]] = {
    "nan": lambda state: setattr(state, "position", doubles([np.nan] * 7)),
    "sizes": lambda state: setattr(state, "velocity", doubles([0.0] * 3)),
    "names": lambda state: setattr(state, "joint_names", ["left_j0"] * 7),
    "old": lambda state: setattr(state.header.stamp, "sec", state.header.stamp.sec - 10),
}


def test_policy_bad_states_are_rejected_and_not_answered(stage: Stage) -> None:
    for kind, damage in BAD.items():
        before = sum(stage.bench.rejected("policy").values())
        stage.change = lambda state, damage=damage: (damage(state), state)[1]
        assert stage.silent(), kind
        stage.bench.until(lambda before=before: sum(stage.bench.rejected("policy").values()) >= before + 10)
        stage.change = lambda state: state
        stage.bench.until(lambda: len(stage.commands) > 3)
