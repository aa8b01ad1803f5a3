"""Mode selection: candidates take turns, excluded ones stay excluded, and the best one is selected."""

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
from tdm_ros.training.mode_selection import (
    DECISION_PROGRESS,
    DESCRIPTIONS,
    MIN_EPISODES,
    MODES,
    ModeSelection,
    PolicyMode,
)
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

NAME = "tasks_for_tests:make_point"
SMALL = TdmConfig(hidden_size=16, batch_size=32, learning_starts=60, initial_gradient_steps=40, gradient_steps=1)


def make_modes() -> ModeSelection:
    return ModeSelection(make_goal_env(NAME)[1], 0)


def compared(
    factors: dict[PolicyMode, float], rounds: int, progress: float = 0.0
) -> tuple[ModeSelection, list[PolicyMode]]:
    """Modes with final distances of the same distribution, times a factor each; and the sequence of their turns."""
    modes, rng, turns = make_modes(), np.random.default_rng(0), list[PolicyMode]()
    while len(turns) < rounds * len(MODES):
        turns.append(modes.next_mode)
        modes.record(modes.next_mode, factors[modes.next_mode] * rng.lognormal(), progress)
    return modes, turns


def test_candidates_take_turns_until_the_decision() -> None:
    modes, turns = make_modes(), list[PolicyMode]()
    while not modes.decided:
        turns.append(modes.next_mode)
        modes.record(
            modes.next_mode,
            {"segments": 0.1, "fine_segments": 0.09, "one_step": 0.01}[modes.next_mode] * (1 + 0.001 * len(turns)),
            0.0,
        )
    assert turns == list(MODES) * (len(turns) // 3) and len(turns) >= 3 * MIN_EPISODES
    assert (modes.candidates, modes.next_mode, modes.selected) == (["one_step"], "one_step", "one_step")
    modes.record("one_step", 9.0, 0.0)
    assert modes.candidates == ["one_step"], "an excluded mode stays excluded"


@pytest.mark.parametrize("near", MODES)
def test_best_mode_by_far_is_selected(near: PolicyMode) -> None:
    modes, _ = compared({mode: 1.0 if mode == near else 20.0 for mode in MODES}, 20)
    assert modes.candidates == [near] and f"{DESCRIPTIONS[near]}: smallest final distance (" in modes.describe()


def test_mode_far_behind_is_excluded_while_the_others_continue() -> None:
    modes, turns = compared({"segments": 1.0, "fine_segments": 1.0, "one_step": 20.0}, 40)
    assert modes.candidates == ["segments", "fine_segments"] and set(turns[-20:]) == {"segments", "fine_segments"}
    assert abs(turns[-20:].count("segments") - 10) <= 1, "the others take turns equally"


def test_equal_modes_remain_until_half_of_the_training() -> None:
    factors: dict[PolicyMode, float] = dict.fromkeys(MODES, 1.0)
    modes, _ = compared(factors, 30)
    assert modes.candidates == list(MODES) and "so far" in modes.describe()
    modes.record(modes.next_mode, 1.0, DECISION_PROGRESS)
    assert modes.candidates == [min(MODES, key=lambda mode: np.median(modes.final_distances[mode][-20:]))]


def test_too_few_episodes_decide_nothing() -> None:
    modes, _ = compared({"segments": 9.0, "fine_segments": 1.0, "one_step": 0.01}, MIN_EPISODES - 1, DECISION_PROGRESS)
    assert (
        modes.candidates == list(MODES)
        and modes.selected == "segments"
        and f"a comparison needs {MIN_EPISODES} episodes of each mode" in modes.describe()
    )


def test_fine_segments_divide_the_last_segment_into_three() -> None:
    agent = TDM(NAME, replace(SMALL, horizon_schedule="fine_segments", total_timesteps=200)).learn(200)
    assert agent.learner.mode_selection is None, "a configured schedule is not compared"
    horizon, learned = agent.task.horizon, agent.learner.agent
    assert learned is not None
    fine, plain_actor = NumpyActor(learned.actor_tensors()), NumpyActor(learned.actor_tensors("segments"))
    for whole in (1, 2, horizon + 1, 50, 53):
        left, plain = ([actor.steps_left(t, whole - 1 - t) for t in range(whole)] for actor in (fine, plain_actor))
        start = whole * (-(-whole // (horizon + 1)) - 1) // -(-whole // (horizon + 1))
        assert left[:start] == plain[:start]
        ends = [t + 1 for t, steps in enumerate(left) if steps == 0]
        last = whole - start
        assert [end for end in ends if end > start] == sorted({start + last * k // 3 for k in (1, 2, 3)} - {start})
        assert all(steps == 0 or after == steps - 1 for steps, after in itertools.pairwise(left))
        assert max(left) <= horizon and left[-1] == 0


def test_selected_mode_acts_before_and_after_saving(tmp_path: Path) -> None:
    agent = TDM(NAME, SMALL).learn(600)
    modes = agent.learner.mode_selection
    assert modes is not None and min(map(len, modes.final_distances.values())) > 2
    observation, _ = agent.env.reset(seed=0)
    for mode, horizon, schedule in (
        ("segments", 15, "segments"),
        ("fine_segments", 15, "fine_segments"),
        ("one_step", 0, "segments"),
    ):
        modes.candidates = [mode]
        folder = tmp_path / mode
        save_checkpoint(folder, agent.learner)
        loaded = load_learner(folder)
        assert loaded.actor_bytes() == agent.learner.actor_bytes() == agent.learner.actor_bytes(mode)
        for actor in (agent.actor(), load_actor(folder)[0], NumpyActor.from_bytes(loaded.actor_bytes())):
            assert (actor.features.horizon, actor.horizon_schedule) == (horizon, schedule)
        assert agent.predict(observation).shape == agent.predict(observation, steps_left=5).shape
    assert agent.actor().steps_left(3, 40) == 0
    assert np.isfinite(agent.reachability(observation, steps=5).distance), (
        "the TDM predicts, whichever mode is selected"
    )


def test_excluded_one_step_model_is_not_updated() -> None:
    agent = TDM(NAME, SMALL).learn(200)
    modes = agent.learner.mode_selection
    assert modes is not None and modes.agent is not None and agent.learner.agent is not None
    assert modes.agent.updates == agent.updates
    for mode, more in (("one_step", 100), ("fine_segments", 0)):
        modes.candidates, before, whole = [mode], modes.agent.updates, agent.updates
        agent.learn(100)
        assert (modes.agent.updates - before, agent.updates - whole) == (more, 100)


@pytest.mark.parametrize(("backbone", "horizon"), [("td3", 15), ("sac", 15), ("td3", 49)])
def test_end_of_an_episode_is_without_noise_until_the_decision(
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
    modes, before_end = agent.learner.mode_selection, len(noisy)
    steps, ending = agent.task.episode_steps, agent.task.horizon + 1
    episodes = -(-(400 - SMALL.learning_starts) // steps)
    assert modes is not None and not modes.decided
    assert 0 < before_end <= episodes * (steps - min(ending, steps // 2))
    modes.candidates = ["segments"]
    agent.learn(100)
    assert len(noisy) - before_end == 100, "after the decision, exploration continues to the end"


def test_run_resumed_from_any_episodes_end_continues_identically(tmp_path: Path) -> None:
    def learned(learner: Learner, on_episode: Callable[[Any], None] = lambda row: None) -> Learner:
        env, test_env = make_goal_env(NAME)[0], make_goal_env(NAME)[0]
        OnlineTrainer(env, test_env, learner, TrainingSchedule(600, 0), on_episode).run()
        return learner

    whole = Learner(make_goal_env(NAME)[1], replace(SMALL, total_timesteps=600), 0)
    saved: list[int] = []

    def save(row: Any) -> None:
        if whole.mode_selection and len(whole.mode_selection.final_distances["one_step"]) == 2 and not saved:
            saved.append(whole.transitions)
            save_checkpoint(tmp_path, whole)

    learned(whole, save)
    resumed = learned(load_learner(tmp_path))
    assert saved and saved[0] < 600 and whole.mode_selection and resumed.mode_selection
    assert resumed.mode_selection.final_distances == whole.mode_selection.final_distances
    assert [resumed.actor_bytes(mode) for mode in MODES] == [whole.actor_bytes(mode) for mode in MODES]


@pytest.mark.parametrize(
    ("settings", "horizon"), [({}, 0), ({"horizon_schedule": "hold"}, None), ({"mode_selection": False}, None)]
)
def test_mode_selection_is_off_where_it_is_not_possible(settings: dict[str, Any], horizon: int | None) -> None:
    assert TDM(NAME, replace(SMALL, **settings), horizon=horizon).learn(100).learner.mode_selection is None
