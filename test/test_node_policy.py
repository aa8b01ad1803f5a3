"""The policy node over real DDS: when it answers, and when it must be silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from ros_bench import Bench, bench, resting_state  # noqa: E402
from tdm_ros.msg import ArmState, Command, Episode, PolicyWeights, Subgoal  # noqa: E402

from tdm_ros.control.timeline import Announcement, Mode, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import doubles, floats, to_episode  # noqa: E402
from tdm_ros.replay import Step  # noqa: E402
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH, observe  # noqa: E402
from tdm_ros.tdm.actor import NumpyActor  # noqa: E402

TASK = SAWYER_REACH["velocity"]
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
        told = Announcement(State.RUNNING, self.mode, 1, length=10**6, goal=GOAL)
        self._episodes.publish(to_episode(told, TASK, self._stamp()))

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


@pytest.fixture(scope="module")
def actor_bytes() -> bytes:
    from tdm_ros.tdm.config import TdmConfig
    from tdm_ros.training.learner import Learner

    rng = np.random.default_rng(0)
    learner = Learner(TASK, TdmConfig(hidden_size=16, batch_size=8, learning_starts=20), 0)
    for number in range(30):
        seen = rng.normal(size=(2, 17)).astype(np.float32)
        step = Step(seen[0], np.zeros(7, np.float32), seen[1], seen[0][-3:], seen[1][-3:], GOAL, False)
        learner.add(step, number % 10 == 9)
    learner.update(1)
    return learner.actor_bytes()


def test_policy_without_weights_explores_at_random_and_echoes_the_cycle(stage: Stage) -> None:
    command = stage.commands[-1]
    assert command.source == ArmState.SOURCE_RANDOM and command.weights_version == 0 and command.episode == 1
    assert abs(stage.cycle - command.cycle) <= 1
    assert list(command.joint_names) == list(JOINT_NAMES) and np.isfinite(command.values).all()


def test_policy_evaluation_without_weights_is_silent_and_says_why(stage: Stage) -> None:
    stage.mode = Mode.EVALUATE
    stage.bench.spin(0.4)
    assert stage.silent()
    stage.bench.until(lambda: "no command: no weights to evaluate" in stage.bench.refused("policy"))


def test_policy_new_weights_are_used_without_noise_in_an_evaluation(stage: Stage, actor_bytes: bytes) -> None:
    stage.mode = Mode.EVALUATE
    stage.aim()
    stage.weights(actor_bytes, version=7)
    stage.bench.until(lambda: stage.commands[-1].weights_version == 7)
    stage.bench.spin(0.5)
    assert stage.commands[-1].source == ArmState.SOURCE_POLICY
    actor, hand = NumpyActor.from_bytes(actor_bytes), np.array([0.45, 0, 0], np.float32)
    seen = observe(NEUTRAL_RAD, np.zeros(7), hand)
    possible = np.array([actor.select_horizon(seen, hand, GOAL, most)[0] for most in range(TASK.horizon + 1)])
    apart = np.abs(possible * TASK.action.scale - np.array(stage.commands[-1].values)).max(axis=1)
    assert apart.min() < 1e-6, "not an action that the weights would choose"


def test_policy_foreign_subgoal_is_refused_and_it_is_silent(stage: Stage, actor_bytes: bytes) -> None:
    stage.weights(actor_bytes, version=1)
    stage.aim(task="another task")
    stage.aim(size=4)
    stage.bench.until(lambda: {"subgoal: another task", "subgoal: wrong size"} & set(stage.bench.refused("policy")))
    assert stage.silent()


def test_policy_held_by_the_planner_is_silent_and_says_why(stage: Stage, actor_bytes: bytes) -> None:
    stage.weights(actor_bytes, version=1)
    stage.aim()
    stage.bench.until(lambda: stage.commands[-1].weights_version == 1)
    stage.aim(status=Subgoal.UNREACHABLE, size=0)
    assert stage.silent()
    stage.bench.until(lambda: "no command: the planner holds: UNREACHABLE" in stage.bench.refused("policy"))
    stage.aim()
    stage.bench.until(lambda: bool(stage.commands))


def test_policy_subgoal_on_the_way_is_overdue_it_is_silent_and_the_last_one_is_not(
    stage: Stage, actor_bytes: bytes
) -> None:
    stage.weights(actor_bytes, version=1)
    stage.aim(status=Subgoal.PLANNED, last=False, start_cycle=stage.cycle, steps_left=2)
    stage.bench.until(lambda: stage.commands[-1].weights_version == 1)
    stage.bench.until(
        lambda: "no command: the subgoal is overdue and no other was received" in stage.bench.refused("policy"), 5
    )
    assert stage.silent(0.5)
    stage.aim(status=Subgoal.PLANNED, last=True, start_cycle=max(stage.cycle - 100, 0), steps_left=2)
    stage.bench.until(lambda: bool(stage.commands), 5)


def test_policy_weights_of_another_task_are_refused_and_the_old_ones_stay(stage: Stage, actor_bytes: bytes) -> None:
    stage.weights(actor_bytes, 9, task="another task")
    stage.bench.until(lambda: "policy_weights" in stage.bench.refused("policy"))
    assert not stage.silent(0.3) and stage.commands[-1].weights_version == 0


@pytest.mark.parametrize("kind", ["garbage", "not finite"])
def test_policy_weights_that_are_spoilt_silence_it_until_better_ones_come(
    stage: Stage, actor_bytes: bytes, kind: str
) -> None:
    from safetensors.numpy import load, save

    spoilt = save({k: np.full_like(v, np.nan) for k, v in load(actor_bytes).items()})
    stage.weights(b"garbage" if kind == "garbage" else spoilt, 9)
    stage.bench.until(lambda: "policy_weights" in stage.bench.refused("policy"))
    assert stage.silent(0.3)
    assert any("the newest weights cannot be used" in text for text in stage.bench.refused("policy"))
    stage.weights(actor_bytes, 10)
    stage.aim()
    stage.bench.until(lambda: stage.commands and stage.commands[-1].weights_version == 10)


@pytest.mark.parametrize("kind", ["nan", "sizes", "names", "old"])
def test_policy_bad_state_is_refused_and_not_answered(stage: Stage, kind: str) -> None:
    def change(state: ArmState) -> ArmState:
        if kind == "nan":
            state.position = doubles([np.nan] * 7)
        elif kind == "sizes":
            state.velocity = doubles([0.0] * 3)
        elif kind == "names":
            state.joint_names = ["left_j0"] * 7
        else:
            state.header.stamp.sec -= 10
        return state

    stage.change = change
    assert stage.silent()
    stage.bench.until(lambda: sum(stage.bench.refused("policy").values()) >= 10)
    stage.change = lambda state: state
    stage.bench.until(lambda: len(stage.commands) > 3)
