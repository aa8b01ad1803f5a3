"""Ways to act, raced in training: turns are fair, who is out stays out, and who acts is who ended nearest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.decision import Exploration
from tdm_ros.training.checkpoint import load_actor, load_learner, save_checkpoint
from tdm_ros.training.learner import Learner
from tdm_ros.training.library import TDM
from tdm_ros.training.mode_selection import CLOSES, LEAST, NAMES, WAYS, Race, Way
from tdm_ros.training.online import OnlineTrainer, Schedule

NAME = "tasks_for_tests:make_point"
SMALL = TdmConfig(hidden=16, batch_size=32, random_steps=60, catch_up_updates=40, updates_per_step=1)


def make_race() -> Race:
    return Race(make_goal_env(NAME)[1], 0)


def judged(factors: dict[Way, float], rounds: int, progress: float = 0.0) -> tuple[Race, list[Way]]:
    """A race whose ways end at these times the same kind of distances, and whose turns there were."""
    race, rng, turns = make_race(), np.random.default_rng(0), list[Way]()
    while len(turns) < rounds * len(WAYS):
        turns.append(race.turn)
        race.judge(race.turn, factors[race.turn] * rng.lognormal(), progress)
    return race, turns


def test_turns_go_round_until_the_race_is_over_and_are_the_winners_from_then_on() -> None:
    race, turns = make_race(), list[Way]()
    while not race.over:
        turns.append(race.turn)
        race.judge(race.turn, {"align": 0.1, "fine": 0.09, "one_step": 0.01}[race.turn] * (1 + 0.001 * len(turns)), 0.0)
    assert turns == list(WAYS) * (len(turns) // 3) and len(turns) >= 3 * LEAST
    assert (race.left, race.turn, race.acts) == (["one_step"], "one_step", "one_step")
    race.judge("one_step", 9.0, 0.0)
    assert race.left == ["one_step"], "who is out stays out"


@pytest.mark.parametrize("near", WAYS)
def test_far_apart_is_found_out(near: Way) -> None:
    race, _ = judged({way: 1.0 if way == near else 20.0 for way in WAYS}, 20)
    assert race.left == [near] and f"{NAMES[near]} acts: nearest, and the race is over" in race.sentence()


def test_a_way_that_is_far_behind_is_out_while_the_others_go_on() -> None:
    race, turns = judged({"align": 1.0, "fine": 1.0, "one_step": 20.0}, 40)
    assert race.left == ["align", "fine"] and set(turns[-20:]) == {"align", "fine"}
    assert abs(turns[-20:].count("align") - 10) <= 1, "the turns of the others stay fair"


def test_alike_stays_open_until_half_of_the_schedule_is_over() -> None:
    factors: dict[Way, float] = dict.fromkeys(WAYS, 1.0)
    race, _ = judged(factors, 30)
    assert race.left == list(WAYS) and "so far" in race.sentence()
    race.judge(race.turn, 1.0, CLOSES)
    assert race.left == [min(WAYS, key=lambda way: np.median(race.ends[way][-20:]))]


def test_too_few_episodes_say_nothing() -> None:
    race, _ = judged({"align": 9.0, "fine": 1.0, "one_step": 0.01}, LEAST - 1, CLOSES)
    assert race.left == list(WAYS) and race.acts == "align" and f"it takes {LEAST} episodes of each" in race.sentence()


def test_fine_end_goes_the_last_part_in_three_and_the_others_as_they_are() -> None:
    agent = TDM(NAME, replace(SMALL, running="fine", total_steps=200)).learn(200)
    assert agent.learner.race is None, "a way that is named is not raced"
    horizon, learned = agent.task.horizon, agent.learner.agent
    assert learned is not None
    fine, align = NumpyActor(learned.actor_tensors()), NumpyActor(learned.actor_tensors("align"))
    for whole in (1, 2, horizon + 1, 50, 53):
        left, plain = ([actor.steps_left(t, whole - 1 - t) for t in range(whole)] for actor in (fine, align))
        start = whole * (-(-whole // (horizon + 1)) - 1) // -(-whole // (horizon + 1))
        assert left[:start] == plain[:start]
        ends = [t + 1 for t, steps in enumerate(left) if steps == 0]
        last = whole - start
        assert [end for end in ends if end > start] == sorted({start + last * k // 3 for k in (1, 2, 3)} - {start})
        assert all(steps == 0 or after == steps - 1 for steps, after in itertools.pairwise(left))
        assert max(left) <= horizon and left[-1] == 0


def test_each_way_answers_for_itself_and_the_tdm_for_all(tmp_path: Path) -> None:
    agent = TDM(NAME, SMALL).learn(600)
    race = agent.learner.race
    assert race is not None and min(map(len, race.ends.values())) > 2
    observation, _ = agent.env.reset(seed=0)
    for way, horizon, running in (
        ("align", 15, "align"),
        ("fine", 15, "fine"),
        ("one_step", 0, "align"),
    ):
        race.left = [way]
        folder = tmp_path / way
        save_checkpoint(folder, agent.learner)
        loaded = load_learner(folder)
        assert loaded.actor_bytes() == agent.learner.actor_bytes() == agent.learner.actor_bytes(way)
        for actor in (agent.actor(), load_actor(folder)[0], NumpyActor.from_bytes(loaded.actor_bytes())):
            assert (actor.features.horizon, actor.running) == (horizon, running)
        assert agent.predict(observation).shape == agent.predict(observation, steps_left=5).shape
    assert agent.actor().steps_left(3, 40) == 0
    assert np.isfinite(agent.reachability(observation, steps=5).distance), "the TDM is queried, whichever acts"


def test_one_step_model_that_is_out_learns_no_more_and_the_tdm_always_does() -> None:
    agent = TDM(NAME, SMALL).learn(200)
    race = agent.learner.race
    assert race is not None and race.agent is not None and agent.learner.agent is not None
    assert race.agent.updates == agent.updates
    for way, more in (("one_step", 100), ("fine", 0)):
        race.left, before, whole = [way], race.agent.updates, agent.updates
        agent.learn(100)
        assert (race.agent.updates - before, agent.updates - whole) == (more, 100)


@pytest.mark.parametrize(("backbone", "horizon"), [("td3", 15), ("sac", 15), ("td3", 49)])
def test_end_of_an_episode_at_most_half_is_without_noise_until_the_race_is_over(
    backbone: Any, horizon: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    agent = TDM(NAME, replace(SMALL, backbone=backbone), horizon=horizon).learn(400)
    race, with_it = agent.learner.race, len(noisy)
    steps, ending = agent.task.episode_steps, agent.task.horizon + 1
    episodes = -(-(400 - SMALL.random_steps) // steps)
    assert race is not None and not race.over
    assert 0 < with_it <= episodes * (steps - min(ending, steps // 2))
    race.left = ["align"]
    agent.learn(100)
    assert len(noisy) - with_it == 100, "once it is over, exploration goes on to the end"


def test_run_goes_on_from_a_checkpoint_of_any_episodes_end_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    def learned(learner: Learner, on_episode: Callable[[Any], None] = lambda row: None) -> Learner:
        env, test_env = make_goal_env(NAME)[0], make_goal_env(NAME)[0]
        OnlineTrainer(env, test_env, learner, Schedule(600, 0), on_episode).run()
        return learner

    whole = Learner(make_goal_env(NAME)[1], replace(SMALL, total_steps=600), 0)
    saved: list[int] = []

    def save(row: Any) -> None:
        if whole.race and len(whole.race.ends["one_step"]) == 2 and not saved:
            saved.append(whole.transitions)
            save_checkpoint(tmp_path, whole)

    learned(whole, save)
    resumed = learned(load_learner(tmp_path))
    assert saved and saved[0] < 600 and whole.race and resumed.race
    assert resumed.race.ends == whole.race.ends
    assert [resumed.actor_bytes(way) for way in WAYS] == [whole.actor_bytes(way) for way in WAYS]


@pytest.mark.parametrize(("settings", "horizon"), [({}, 0), ({"running": "hold"}, None), ({"race": False}, None)])
def test_there_is_no_race_where_there_is_no_choice(settings: dict[str, Any], horizon: int | None) -> None:
    assert TDM(NAME, replace(SMALL, **settings), horizon=horizon).learn(100).learner.race is None
