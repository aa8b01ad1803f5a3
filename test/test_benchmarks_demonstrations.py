"""The benchmark of demonstrations: its arm is the task's own, its person succeeds, its count is fair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tasks_for_tests import POINT, point_step

from benchmarks import demonstrations as benchmark
from benchmarks.demonstrations_report import markdown, needed
from benchmarks.teleoperated import Operator, TeleoperatedPush, demonstrations, push
from tdm_ros.envs.sawyer_push_env import SawyerPushEnv
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.evaluation import PolicyInput
from tdm_ros.training.learner import Learner


def test_without_a_person_the_teleoperated_task_is_the_task_bit_for_bit() -> None:
    plain, with_arm = SawyerPushEnv(), TeleoperatedPush()
    rng = np.random.default_rng(0)
    plain.reset(seed=1), with_arm.reset(seed=1)
    for _ in range(64):
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        (seen, *_, info), (also, *_, as_executed) = plain.step(action), with_arm.step(action)
        for name in seen:
            np.testing.assert_array_equal(seen[name], also[name])
        np.testing.assert_array_equal(info["executed_action"], as_executed["executed_action"])
        assert not with_arm.by_operator


def test_demonstrations_succeed_are_all_the_persons_and_keep_the_hand_level() -> None:
    env, lengths, ends, count = TeleoperatedPush(), [], [], 0
    for step, last in demonstrations(env, seed=7, count=4):
        count += 1
        assert env.by_operator and np.abs(step.action).max() <= 1
        assert abs(step.next_observation[16] - 0.09) < 0.01
        if last:
            lengths.append(count)
            ends.append(float(env.task.distance(step.next_achieved, env.evaluation_goal)))
            count = 0
    assert len(lengths) == 4 and max(ends) < 0.02 and max(lengths) <= 64


def test_demonstrated_action_is_what_moved_the_hand() -> None:
    steps = [step for step, _ in demonstrations(TeleoperatedPush(), seed=3, count=1)][3:30]
    moved = np.array([step.next_achieved[:2] - step.achieved[:2] for step in steps])
    asked = np.array([step.action for step in steps]) * 0.3 * 0.05
    assert np.abs(moved - asked).max() < 0.004, "the servos follow within a cycle"


def test_operator_lets_a_good_policy_alone_and_helps_one_that_stands() -> None:
    env = TeleoperatedPush()
    for good in (True, False):
        operator = Operator(env)
        seen, _ = env.reset(seed=reset_seed("train", 5, 0))

        operator.begin()
        operator.steps = 1000  # its share of the steps does not bind here
        for _ in range(40):
            operator.watch(PolicyInput(seen["observation"], seen["achieved_goal"], seen["desired_goal"], 0, 0))
            hand, puck = np.split(seen["achieved_goal"].astype(float), 2)
            action = push(hand, puck, env.evaluation_goal[2:]) / 0.3 if good else np.zeros(2)
            seen, *_ = env.step(np.clip(action, -1, 1).astype(np.float32))
        assert (operator.helped == 0) == good


def test_evaluation_stops_where_the_mean_can_not_be_within_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(policy, env, task, episodes, seed, purpose, each):  # type: ignore[no-untyped-def]
        for number in range(episodes):
            each(0.2 if number < 20 else 0.0)

    monkeypatch.setattr(benchmark, "evaluate", evaluate)
    finals = benchmark.judged(None, None, None)  # type: ignore[arg-type]
    assert len(finals) == 13 and sum(finals) > benchmark.GOALS * benchmark.TARGET_M


def test_table_counts_own_steps_and_all_steps_and_never_hides_who_did_not_get_there() -> None:
    def result(condition: str, reached: int | None, demonstrated: int = 0) -> dict[str, object]:
        return {"condition": condition, "reached": reached, "demonstrated": demonstrated, "helped": 0}

    results = [result("none", 1000), result("none", None), result("none", 1200)]
    results += [result("ten_demonstrations", 300, 370) for _ in range(3)]
    assert needed(results, "none", False) == [1000, np.inf, 1200]
    assert needed(results, "ten_demonstrations", True) == [670] * 3
    table = markdown(results)
    assert "**1200** (1000, inf, 1200)" in table and "| 25% | 670 | 56% |" in table


def test_checkpoint_keeps_which_steps_were_a_persons(tmp_path: Path) -> None:
    config = TdmConfig(hidden_size=16, batch_size=8, learning_starts=20, initial_gradient_steps=4)
    learner = Learner(POINT, config, 0)
    for number in range(40):
        learner.add(point_step(number), last=number % 10 == 9, human=10 <= number < 20)
    learner.store.discard(np.arange(12, 14))
    learner.update(4)
    save_checkpoint(tmp_path, learner)
    again = load_learner(tmp_path)
    assert again.store.human().tolist() == learner.store.human().tolist() == [10, 11, *range(14, 20)]
    learner.update(3)
    again.update(3)
    assert learner.actor_bytes() == again.actor_bytes(), "and it goes on the very same way"
