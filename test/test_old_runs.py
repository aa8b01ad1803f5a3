"""Run folders of earlier versions load and act as they did; the old names are not accepted elsewhere."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tdm_ros import TDM, TdmConfig
from tdm_ros.cli import main
from tdm_ros.envs.wrappers import KEYS, Noise
from tdm_ros.tdm.config import REMOVED_SETTINGS, RENAMED_SETTINGS, renamed_index
from tdm_ros.training.checkpoint import SCHEMA, load_actor
from tdm_ros.training.environment import as_states

RUNS = Path(__file__).parent / "old_runs"
SCHEMA_4, SCHEMA_5 = RUNS / "schema_4", RUNS / "schema_5"
"""Written by the last versions with these schemas: 150 steps of a point, mode "fine" or "one_step" selected, and what
they returned."""
EXPECTED = json.loads((SCHEMA_4 / "expected.json").read_text())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SCHEMA_4, tmp_path / "run"))


def actions(agent: TDM, expected: dict = EXPECTED) -> np.ndarray:
    """Actions with the horizon that the policy selects, which is how these versions predicted."""
    actor = agent.actor()
    states, _ = as_states(agent.task, {key: [one[key] for one in expected["observations"]] for key in KEYS}, None, 0)
    return np.array([actor.select_horizon(*state[:3], agent.task.horizon)[0] for state in zip(*states, strict=True)])


def test_run_of_schema_4_has_its_settings_under_the_new_names(run: Path) -> None:
    agent = TDM.load(run)
    old = json.loads((run / "checkpoint" / "checkpoint.json").read_text())["config"]
    new = agent.learner.config.to_json()
    assert {name for name in old if name not in new} == {*RENAMED_SETTINGS, "race"}
    del old["race"]
    assert {RENAMED_SETTINGS.get(name, name): value for name, value in old.items()} | {
        "horizon_schedule": "fine_segments",
        "one_step_model": False,
    } == new
    assert agent.noise == Noise(0.1, 0.0)


def test_run_of_schema_4_acts_and_continues_as_before(run: Path) -> None:
    agent = TDM.load(run)
    assert EXPECTED["acts"] == "fine"
    np.testing.assert_allclose(actions(agent), EXPECTED["actions"], atol=1e-6)
    actor, _ = load_actor(run / "checkpoint")
    assert [actor.steps_left(time, 19 - time) for time in range(20)] == EXPECTED["steps_left"]
    moved = actions(agent.learn(20)) - EXPECTED["actions"]
    assert agent.updates > EXPECTED["updates"] and 0 < np.abs(moved).max() < 0.2
    assert main(["evaluate", str(run), "--episodes", "2"]) == 0


def test_run_of_schema_4_is_saved_with_the_present_schema(run: Path) -> None:
    again = TDM.load(TDM.load(run).save(run))
    index = json.loads((run / "checkpoint" / "checkpoint.json").read_text())
    assert index["schema"] == SCHEMA and not set(RENAMED_SETTINGS) & set(index["config"])
    np.testing.assert_allclose(actions(again), EXPECTED["actions"], atol=1e-6)


def test_run_of_schema_5_with_a_one_step_model_acts_and_continues_as_before(tmp_path: Path) -> None:
    expected = json.loads((SCHEMA_5 / "expected.json").read_text())
    agent = TDM.load(shutil.copytree(SCHEMA_5, tmp_path / "run"))
    assert agent.task.horizon == 0 and agent.updates == expected["updates"]
    np.testing.assert_allclose(actions(agent, expected), expected["actions"], atol=1e-6)
    agent.learn(20).save(tmp_path / "run")
    again = TDM.load(tmp_path / "run")
    assert again.updates == agent.updates > expected["updates"]
    np.testing.assert_allclose(actions(again, expected), actions(agent, expected), atol=1e-6)


@pytest.mark.parametrize("name", REMOVED_SETTINGS)
def test_setting_that_was_removed_is_rejected_with_what_replaces_it(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} was removed: {REMOVED_SETTINGS[name]}"):
        TdmConfig(**{name: True})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RENAMED_SETTINGS)
def test_old_name_is_rejected_as_a_keyword_and_in_new_files(name: str, run: Path) -> None:
    new = RENAMED_SETTINGS[name]
    assert new in {field.name for field in fields(TdmConfig)}
    with pytest.raises(TypeError, match=f"{name} is now called {new}"):
        TdmConfig(**{name: 1})  # type: ignore[arg-type]
    index = renamed_index(json.loads((run / "checkpoint" / "checkpoint.json").read_text()))
    index["config"][name] = index["config"].pop(new)
    with pytest.raises(ValueError, match=f"{name} is now called {new}"):
        TdmConfig.from_json(index["config"])
