"""A one-step model beside the TDM: turns are fair, what is settled is settled, and who acts is who ended nearer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tdm_ros.sim.goal_env import make_goal_env
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import load_actor, load_learner, save_checkpoint
from tdm_ros.training.library import TDM
from tdm_ros.training.one_step import LEAST, OneStep

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
    assert few.winner is None and not few.acts and few.sentence().startswith("the TDM acts")


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


def test_end_of_an_episode_is_without_noise_so_that_it_tells_the_two_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = []
    monkeypatch.setattr(
        "tdm_ros.tdm.exploration.Exploration.noisy", lambda self, action, std: noisy.append(1) or action
    )
    agent = TDM(NAME, SMALL).learn(400)
    with_it = len(noisy)
    steps, horizon = agent.task.episode_steps, agent.task.horizon
    assert agent.learner.one_step is not None and agent.learner.one_step.winner is None
    episodes = -(-(400 - SMALL.random_steps) // steps)
    assert 0 < with_it <= episodes * (steps - horizon - 1)
    agent.learner.one_step.winner = 0
    agent.learn(100)
    assert len(noisy) - with_it == 100, "once it is settled, exploration goes on to the end"
