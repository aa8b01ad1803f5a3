"""`--preset paper` is the published algorithm, but for the numbered differences of docs/algorithm.md."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tasks_for_tests import POINT, point_step

from tdm_ros.replay import TrajectoryStore, sample_batches
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import PRESETS, TdmConfig
from tdm_ros.tdm.decision import Exploration
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.update import UpdateBatch
from tdm_ros.training.learner import Learner

PAPER = TdmConfig.preset("paper")


def an_agent(config: TdmConfig = PAPER) -> TdmAgent:
    observations = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    return TdmAgent(POINT, config, Features.fit(POINT, observations, 0.15, None, config.relative_goal), 0)


def a_store() -> TrajectoryStore:
    store = TrajectoryStore(POINT)
    for number in range(40):
        step = point_step(number)
        store.add(step._replace(desired=np.array([500.0], np.float32)), last=number % 20 == 19)
    return store


def test_published_settings_are_those_of_the_release():
    assert (PAPER.hidden_size, PAPER.batch_size, PAPER.gradient_steps, PAPER.learning_starts) == (300, 128, 25, 1000)
    assert PAPER.learning_rate == 1e-3 and PAPER.learning_rate * PAPER.actor_learning_rate_factor == pytest.approx(1e-4)
    assert (PAPER.critic, PAPER.vector_distance, PAPER.backbone, PAPER.huber_loss, PAPER.layer_norm) == (
        "structured",
        True,
        "ddpg",
        True,
        False,
    )
    assert PAPER.progress(10**9) == 0.0  # neither learning rate nor noise fades


def test_goals_are_a_quarter_the_rollouts_and_else_of_the_future_to_the_end():
    batch = sample_batches(a_store(), PAPER.goals, (20, 500), np.random.default_rng(0))
    pursued = batch.goal[..., 0] == 500
    assert 0.22 < pursued.mean() < 0.28
    ahead = (batch.goal - batch.achieved)[~pursued]
    assert ahead.min() == 1 and ahead.max() > 2 * (POINT.horizon + 1)
    same = (batch.achieved < 20) == (batch.goal <= 20)  # point 20 is the last of the first trajectory
    assert same[~pursued].all()


def test_noise_is_an_ornstein_uhlenbeck_process():
    explore, quiet = Exploration(1, np.random.default_rng(0), PAPER.action_noise), np.zeros(1, np.float32)
    noise = np.array([explore.noisy(quiet, PAPER.action_noise_std)[0] for _ in range(20_000)])
    assert noise.std() == pytest.approx(0.1 / np.sqrt(0.2 - 0.01), rel=0.1)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_horizon_counts_down_repeatedly():
    actor = NumpyActor(an_agent().actor_tensors())
    assert [actor.steps_left(time, 99) for time in range(8)] == [5, 4, 3, 2, 1, 0, 5, 4]


def test_difference_1_targets_are_soft_and_hard_copies_can_be_had():
    def targets_after(target_update_interval: int) -> list[bool]:
        config = replace(
            PAPER, hidden_size=16, learning_starts=10, gradient_steps=2, target_update_interval=target_update_interval
        )
        learner, equal = Learner(POINT, config, 0), []
        for number in range(30):
            learner.add(point_step(number), last=number == 29)
            learner.update(learner.updates_due())
            state = learner.agent.state() if learner.updates else None
            equal.append(state is not None and bool(torch.equal(state["critic"], state["target_critic"])))
        return equal

    assert PAPER.target_update_interval == 0 and PAPER.polyak == 0.001
    agent = an_agent()
    before = agent.state()["target_critic"].clone()
    agent.update(sample_batches(a_store(), PAPER.goals, (1, 128), np.random.default_rng(0)))
    after = agent.state()
    assert torch.allclose(after["target_critic"], before + 0.001 * (after["critic"] - before), atol=1e-8)
    assert not any(targets_after(target_update_interval=10)[11:])  # the learned ones move on after a copy


def test_difference_2_the_scale_bends_the_loss_and_leaves_the_prediction_a_point():
    """A critic that knows the next state has no loss, whatever the scale."""
    agent = an_agent()
    batch = sample_batches(a_store(), PAPER.goals, (1, 128), np.random.default_rng(0))
    x = UpdateBatch(*(part[0] for part in agent._inputs(batch._replace(steps_left=np.zeros_like(batch.steps_left)))))
    predicted = torch.from_numpy(agent.features.place(batch.next_achieved[0]))[None]
    miss = agent._update._distance(predicted, x.target, x.reachable)
    target = agent._update._target(agent._state, x, None)
    assert torch.allclose(miss[0], target, atol=1e-4)


def test_difference_3_random_steps_are_kept_and_normalise():
    learner = Learner(POINT, replace(PAPER, hidden_size=16, learning_starts=20, gradient_steps=1), 0)
    for number in range(22):
        learner.add(point_step(number), last=False)
        learner.update(learner.updates_due())
    assert len(learner.store) == 22
    assert learner.agent.features.mean[0] == pytest.approx(np.arange(20).mean(), abs=1.1)


def test_difference_4_goals_and_horizon_enter_in_their_scale():
    x = an_agent()._inputs(sample_batches(a_store(), PAPER.goals, (1, 128), np.random.default_rng(0)))
    assert x.inputs.shape[-1] == 2 + 1 + 1  # observation, the goal itself, the horizon
    assert x.inputs[..., -1].abs().max() <= 1


def test_every_setting_of_the_preset_differs_from_the_default():
    """A preset that repeats a default says nothing."""
    default = TdmConfig()
    same = [name for name, value in PRESETS["paper"].items() if getattr(default, name) == value]
    assert same == []


def test_documented_differences_are_numbered_and_each_has_its_place():
    text = (Path(__file__).parent.parent / "docs" / "algorithm.md").read_text()
    numbers = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert numbers == [str(n) for n in [*range(1, 14), *range(1, 8)]]
