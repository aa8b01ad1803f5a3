"""Errors of the console program for wrong input: one sentence, status 2, no traceback."""

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from tasks_for_tests import PointEnv, make_point

from tdm_ros import TDM, TdmConfig
from tdm_ros.cli import main
from tdm_ros.training.generations import sealed

NAME = "tasks_for_tests:make_point"
SMALL = TdmConfig(
    hidden_size=8, batch_size=8, learning_starts=20, initial_gradient_steps=1, gradient_steps=1, total_timesteps=60
)


class Broken(PointEnv):
    """Returns NaN in the seventh step."""

    def step(self, action):
        seen, *rest = super().step(action)
        self.count = getattr(self, "count", 0) + 1
        return {**seen, "achieved_goal": seen["achieved_goal"] * (np.nan if self.count == 7 else 1)}, *rest


def make_broken() -> gym.Env:
    return gym.wrappers.TimeLimit(Broken(), 20)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return TDM(NAME, SMALL).learn(60).save(tmp_path / "run")


def test_task_module_is_found_in_the_current_directory(tmp_path, capsys, monkeypatch):
    (tmp_path / "task_of_mine.py").write_text("make = None\n")
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--task", "task_of_mine:absent", "--out", "run"]) == 2
    assert "module 'task_of_mine' has no attribute 'absent'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "sawyer_rech"], "task must be one of .*got 'sawyer_rech' (did you mean sawyer_reach"),
        (["--task", "gym:CartPole-v1"], "must have a dict observation.*: a TDM needs a goal-conditioned environment"),
        (["--task", "FetchReach-v4"], "got 'FetchReach-v4' (did you mean gym:FetchReach-v4?)"),
        (["--task", NAME, "--device", "cuda:99"], 'device "cuda:99" cannot be used: PyTorch'),
        (["--task", "gym:NoSuch-v7"], "cannot be made"),
        (["--task", "no_such_module:factory"], "cannot be made"),
        (
            ["--task", "test_cli_errors:make_broken"],
            "got [nan] in achieved_goal at [0], step 7 of the episode",
        ),
        (["--task", NAME, "--preset", "papre"], "preset must be one of default, paper, got 'papre'"),
        (["--task", NAME, "--polyak", "2"], "TdmConfig.polyak must be in (0, 1], got 2.0"),
        (["--task", NAME, "--steps", "0"], "total_timesteps must be >= 1, got 0"),
        (["--task", NAME, "--save-every", "0"], "save_every must be >= 1 step, got 0"),
        (["--task", NAME, "--env-action-noise", "-1"], "Noise.action must be >= 0"),
    ],
)
def test_train_command_with_wrong_input_gives_the_reason(arguments, message, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path / "run"), *arguments]) == 2
    errors = capsys.readouterr().err
    assert "tdm_ros train: " in errors
    for part in message.split(".*"):
        assert part in errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--task", "sawyer_reach"], "was trained for task tasks_for_tests:make_point with observations of 2 numbers"),
        (["--seed", "1"], "with other settings: --seed (kept 0, given 1): give the kept ones to continue it, or"),
        (["--horizon", "3"], "--horizon (kept 15, given 3): give"),
        (["--env-observation-noise", "0.1"], "--env-observation-noise (kept 0.0, given 0.1): give"),
        (
            ["--steps", "90", "--no-layer-norm"],
            "other settings: --layer-norm (kept True, given False), --total-timesteps (kept 60, given 90): give",
        ),
    ],
)
def test_train_command_into_the_folder_of_another_run_is_rejected(change, message, run, capsys):
    settings = [
        "--hidden-size=8",
        "--batch-size=8",
        "--learning-starts=20",
        "--initial-gradient-steps=1",
        "--gradient-steps=1",
    ]
    same = ["train", "--task", NAME, "--out", str(run), "--steps", "60", *settings]
    assert main(same) == 0, "a run that has ended is left as it is"
    capsys.readouterr()
    assert main([*same, *change]) == 2
    errors = capsys.readouterr().err
    assert message in errors and len(errors) < 400, "what is the same is not printed"


@pytest.mark.parametrize("verb", ["evaluate", "calibrate"])
def test_checkpoint_of_another_schema_is_rejected_by_every_verb(verb, run, capsys):
    index = run / "checkpoint" / "checkpoint.json"
    index.write_text(json.dumps(sealed(json.loads(index.read_text()) | {"schema": 99})))
    assert main([verb, str(run)]) == 2
    assert "has schema 99, this version reads" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["evaluate", "calibrate", "report"])
def test_folder_without_a_run_is_rejected_by_every_verb(verb, tmp_path, capsys):
    assert main([verb, str(tmp_path)]) == 2
    assert f"in {tmp_path}; give" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["evaluate", "calibrate"])
def test_folder_that_does_not_exist_is_rejected_with_its_name(verb, tmp_path, capsys):
    assert main([verb, str(tmp_path / "absent")]) == 2
    assert f"the folder {tmp_path / 'absent'} does not exist; give a directory" in capsys.readouterr().err


def test_calibrate_command_before_anything_was_learned_names_the_remedy(tmp_path, capsys):
    TDM(NAME, SMALL).learn(10).save(tmp_path)
    assert main(["calibrate", str(tmp_path)]) == 2
    assert "no update was made after 10 steps: call learn() with more than 20 steps" in capsys.readouterr().err


def test_evaluate_command_of_an_agent_of_an_environment_object_names_the_remedy(tmp_path, capsys):
    TDM(make_point(), SMALL).learn(60).save(tmp_path)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "was trained in an environment object" in capsys.readouterr().err
