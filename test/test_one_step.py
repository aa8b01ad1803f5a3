"""A one-step model beside the TDM: turns are fair, what is settled is settled, and who acts is who ended nearer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdm_ros.sim.goal_env import make_goal_env
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.exploration import Exploration
from tdm_ros.training.checkpoint import load_actor, load_learner, save_checkpoint
from tdm_ros.training.learner import Learner
from tdm_ros.training.library import TDM
from tdm_ros.training.one_step import LEAST, OneStep
from tdm_ros.training.online import OnlineTrainer, Schedule

NAME = "tasks_for_tests:make_point"
SMALL = TdmConfig(hidden=16, batch_size=32, random_steps=60, catch_up_updates=40, updates_per_step=1, one_step=True)


def judged(ends: tuple[list[float], list[float]]) -> OneStep:
    beside = OneStep(make_goal_env(NAME)[1], 0)
    for pair in zip(*ends, strict=True):
        for turn, distance in enumerate(pair):
            if beside.winner in (None, turn):
                beside.judge(turn, distance)
    return beside


def test_turns_alternate_until_it_is_settled_and_are_the_winners_from_then_on() -> None:
    beside = OneStep(make_goal_env(NAME)[1], 0)
    turns = []
    while beside.winner is None:
        turns.append(beside.turn)
        beside.judge(beside.turn, (0.1, 0.01)[beside.turn] * (1 + 0.01 * len(turns)))
    assert turns == [0, 1] * (len(turns) // 2) and len(turns) >= 2 * LEAST
    assert (beside.winner, beside.turn, beside.acts) == (1, 1, True)
    beside.judge(1, 9.0)
    assert beside.winner == 1, "what is settled stays"


@pytest.mark.parametrize(("factor", "winner"), [(10.0, 0), (0.1, 1)])
def test_far_apart_is_settled(factor: float, winner: int) -> None:
    ends = np.random.default_rng(0).lognormal(size=20)
    assert judged((list(ends), list(factor * ends))).winner == winner


def test_alike_is_not_settled_and_too_few_episodes_say_nothing() -> None:
    rng = np.random.default_rng(1)
    alike = judged((list(rng.lognormal(size=60)), list(rng.lognormal(size=60))))
    assert alike.winner is None and "so far" in alike.sentence()
    few = judged(([1.0] * (LEAST - 1), [0.01] * (LEAST - 1)))
    assert few.winner is None and not few.acts and "are too few to tell" in few.sentence()


def test_one_step_model_answers_for_one_step_and_the_tdm_for_all(tmp_path: Path) -> None:
    agent = TDM(NAME, SMALL).learn(600)
    beside = agent.learner.one_step
    assert beside is not None and min(map(len, beside.ends)) > 3
    own, all_steps = (NumpyActor.from_bytes(agent.learner.actor_bytes(turn)) for turn in (1, 0))
    assert (own.features.horizon, all_steps.features.horizon) == (0, agent.task.horizon)
    assert own.steps_left(3, 40) == 0
    observation, _ = agent.env.reset(seed=0)
    for winner, expected in ((0, all_steps), (1, own)):
        beside.winner = winner
        assert agent.actor().features.horizon == expected.features.horizon
        assert agent.predict(observation).shape == agent.predict(observation, steps_left=5).shape
        save_checkpoint(tmp_path / str(winner), agent.learner)
        assert load_actor(tmp_path / str(winner))[0].features.horizon == expected.features.horizon
        assert load_learner(tmp_path / str(winner)).actor_bytes() == agent.learner.actor_bytes()
    assert np.isfinite(agent.reachability(observation, steps=5).distance), "the TDM is asked, whoever acts"


def test_one_step_model_that_has_lost_learns_no_more_and_the_tdm_always_does() -> None:
    agent = TDM(NAME, SMALL).learn(200)
    beside = agent.learner.one_step
    assert beside is not None and beside.agent is not None and agent.learner.agent is not None
    assert beside.agent.updates == agent.updates
    for winner, more in ((1, 100), (0, 0)):
        beside.winner, before, whole = winner, beside.agent.updates, agent.updates
        agent.learn(100)
        assert (beside.agent.updates - before, agent.updates - whole) == (more, 100)


@pytest.mark.parametrize("backbone", ["td3", "sac"])
def test_end_of_an_episode_is_without_noise_until_it_is_settled(backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = []
    act, disturb = NumpyActor.act, Exploration.noisy

    def acted(self: NumpyActor, *given: Any) -> np.ndarray:
        noisy.extend([1] if self.stochastic and self.rng is not None else [])
        return act(self, *given)

    def disturbed(self: Exploration, *given: Any) -> np.ndarray:
        noisy.append(1)
        return disturb(self, *given)

    monkeypatch.setattr(NumpyActor, "act", acted)
    monkeypatch.setattr(Exploration, "noisy", disturbed)
    agent = TDM(NAME, replace(SMALL, backbone=backbone)).learn(400)
    beside, with_it = agent.learner.one_step, len(noisy)
    steps, horizon = agent.task.episode_steps, agent.task.horizon
    episodes = -(-(400 - SMALL.random_steps) // steps)
    assert beside is not None and beside.winner is None
    assert 0 < with_it <= episodes * (steps - horizon - 1)
    beside.winner = 0
    agent.learn(100)
    assert len(noisy) - with_it == 100, "once it is settled, exploration goes on to the end"


def test_run_goes_on_from_a_checkpoint_of_any_episodes_end_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    def learned(learner: Learner, on_episode: Callable[[Any], None] = lambda row: None) -> Learner:
        env, test_env = make_goal_env(NAME)[0], make_goal_env(NAME)[0]
        OnlineTrainer(env, test_env, learner, Schedule(600, 0), on_episode).run()
        return learner

    whole = Learner(make_goal_env(NAME)[1], replace(SMALL, total_steps=600), 0)
    saved: list[int] = []

    def save(row: Any) -> None:
        if whole.one_step and len(whole.one_step.ends[0]) == 3 and not saved:
            saved.append(whole.transitions)
            save_checkpoint(tmp_path, whole)

    learned(whole, save)
    resumed = learned(load_learner(tmp_path))
    assert saved and saved[0] < 600 and whole.one_step and resumed.one_step
    assert resumed.one_step.ends == whole.one_step.ends
    assert [resumed.actor_bytes(turn) for turn in (0, 1)] == [whole.actor_bytes(turn) for turn in (0, 1)]


def test_one_step_beside_a_horizon_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one_step needs a horizon of 1 step or more, got 0: leave it out"):
        TDM(NAME, SMALL, horizon=0).learn(100)
