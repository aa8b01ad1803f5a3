"""Training without ROS: resumable, seeded, evaluated on goals of its own, with files that a person can read."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tdm_ros.cli import main
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.tasks.seeds import generator, reset_seed
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.evaluation import Evaluation, evaluate
from tdm_ros.training.learner import Learner
from tdm_ros.training.metrics import EpisodeRow, MetricsFile, draw_curve, summarise
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

TASK = "tasks_for_tests:make_point"
SMALL = TdmConfig(
    hidden_size=16, batch_size=32, learning_starts=60, initial_gradient_steps=40, gradient_steps=1, total_timesteps=200
)


def trained(learner: Learner, steps: int) -> Learner:
    env, test_env = make_goal_env(TASK)[0], make_goal_env(TASK)[0]
    OnlineTrainer(env, test_env, learner, TrainingSchedule(steps, 100, 3)).run()
    return learner


def fresh(seed: int = 0, config: TdmConfig = SMALL, compiled: bool = False) -> Learner:
    return Learner(make_goal_env(TASK)[1], config, seed, compiled)


PAPER = replace(
    TdmConfig.preset("paper"),
    hidden_size=16,
    batch_size=32,
    learning_starts=60,
    gradient_steps=2,
    target_update_interval=37,
)
VARIANTS = {
    "default": SMALL,
    "preset paper": PAPER,
    "sac": replace(SMALL, backbone="sac"),
    "no one-step model": replace(SMALL, one_step_model=False),
    "noisy target": replace(SMALL, target_policy_noise=0.2, policy_delay=3),
}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_training_resumed_from_a_checkpoint_equals_an_uninterrupted_one(tmp_path, config):
    whole = trained(fresh(config=config), 200)
    half = trained(fresh(config=config), 100)
    save_checkpoint(tmp_path, half)
    resumed = trained(load_learner(tmp_path, half.task), 200)
    assert resumed.transitions == whole.transitions and resumed.updates == whole.updates
    assert resumed.actor_bytes() == whole.actor_bytes()


def test_compiled_training_resumes_to_the_same_bytes_and_is_the_eager_one_but_for_rounding(tmp_path):
    config = replace(
        SMALL, initial_gradient_steps=1
    )  # compared after one update: rounding grows with every further one
    first, eager = trained(fresh(config=config, compiled=True), 60), trained(fresh(config=config), 60)
    assert first.updates == eager.updates == 1
    for name, tensor in first.agent.actor_tensors().items():
        np.testing.assert_allclose(tensor, eager.agent.actor_tensors()[name], rtol=1e-3, atol=1e-5, err_msg=name)
    save_checkpoint(tmp_path, first)
    resumed = trained(load_learner(tmp_path, first.task, compiled=True), 90)
    whole = trained(fresh(config=config, compiled=True), 90)
    assert resumed.actor_bytes() == whole.actor_bytes()


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1"])
def test_device_that_is_not_there_is_rejected_in_a_sentence(tmp_path, capsys, device):
    assert main(["train", "--task", TASK, "--out", str(tmp_path / "run"), "--device", device]) == 2
    assert f'device must be "cpu", "cuda" or "cuda:N", got "{device}"' in capsys.readouterr().err


def test_checkpoint_is_tensors_and_json_only(tmp_path):
    save_checkpoint(tmp_path, trained(fresh(), 80))
    files = sorted(path.suffix for path in tmp_path.iterdir())
    assert files == [".json", ".json", ".safetensors"]
    assert load_file(next(tmp_path.glob("*.safetensors")))["replay.action"].shape == (80, 1)


def test_seed_streams_of_training_and_evaluation_are_disjoint():
    drawn = {
        purpose: {generator(purpose, seed, episode).random() for seed in range(20) for episode in range(50)}
        for purpose in ("train", "validate", "evaluate")
    }
    assert all(len(values) == 1000 for values in drawn.values())
    assert not drawn["train"] & drawn["evaluate"] and not drawn["validate"] & drawn["evaluate"]
    assert reset_seed("train", 0, 0) != reset_seed("evaluate", 0, 0)


def test_evaluate_a_perfect_policy_reports_what_it_did():
    env, task = make_goal_env(TASK)

    def straight(now):
        return np.clip((now.goal - now.achieved) / 0.1, -1, 1)

    result = evaluate(straight, env, task, 5, seed=3)
    assert max(result.final_distance) < 1e-6
    assert all(1 <= steps <= 20 for steps in result.steps_to_success)
    assert result == evaluate(straight, env, task, 5, seed=3)


def test_evaluate_passes_time_and_remaining_steps_to_the_policy():
    env, task = make_goal_env(TASK, horizon=4)
    seen = []
    evaluate(lambda now: seen.append((now.time, now.steps_left)) or np.zeros(1, np.float32), env, task, 1, seed=0)
    assert seen == [(time, 19 - time) for time in range(20)]


def test_evaluation_json_has_the_documented_keys():
    data = Evaluation(3, "m", (0.005, 0.03), (7, None)).to_json()
    assert list(data) == ["episodes", "seed", "unit", "final_distance", "success", "steps_to_success"]
    assert data["success"] == {"0.01": 0.5, "0.02": 0.5, "0.05": 1.0}
    assert data["steps_to_success"] == {"median": 7.0}
    assert summarise([])["success"] is None


def test_evaluation_json_of_speeds_has_no_metres():
    data = Evaluation(3, "m/s", (0.005, 0.03), (7, None), success_task=0.5).to_json()
    assert data["unit"] == "m/s"
    assert data["final_distance"]["median"] == pytest.approx(0.0175)
    assert "success" not in data
    assert data["success_task"] == 0.5


def test_draw_curve_of_a_run_makes_a_picture_and_needs_an_episode(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no metrics\.csv"):
        draw_curve(tmp_path)
    file = MetricsFile(tmp_path)
    with pytest.raises(ValueError, match="no finished episode"):
        draw_curve(tmp_path)
    for mode in ("train", "validate", "evaluate"):
        file.append(EpisodeRow(90.0, 1800, 1, mode, 0.01, 10, "time_limit", ""))
    assert draw_curve(tmp_path).read_bytes().startswith(b"\x89PNG")


def run_cli(*arguments: str, cwd: Path, **keywords) -> subprocess.Popen:
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, str(Path(here).parent)])}
    command = [sys.executable, "-m", "tdm_ros", *arguments]
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **keywords)


def test_train_command_interrupted_continues_where_it_stopped(tmp_path):
    settings = ["--hidden-size=16", "--batch-size=16"]
    train = ["train", "--task", TASK, "--out", "run", "--validate-every", "0", *settings]
    first = run_cli(*train, "--steps", "100000", cwd=tmp_path, stderr=subprocess.PIPE)
    metrics = tmp_path / "run" / "metrics.csv"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (metrics.exists() and len(metrics.read_text().splitlines()) > 6):
        time.sleep(0.05)  # a heading and six episodes: more than the 100 steps below
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=30)
    assert first.returncode == 130 and "the same command continues from there" in errors
    kept = load_learner(tmp_path / "run" / "checkpoint").transitions
    assert kept > 100
    second = run_cli(*train, "--steps", "100", cwd=tmp_path, stderr=subprocess.PIPE)
    errors = second.communicate(timeout=60)[1]
    assert "other settings: --total-timesteps (kept 100000, given 100): give" in errors and second.returncode == 2


def test_evaluate_command_prints_one_json_object_on_stdout(tmp_path):
    train = run_cli("train", "--task", TASK, "--out", "run", "--steps", "400", cwd=tmp_path, stderr=subprocess.PIPE)
    assert train.communicate(timeout=100) and train.returncode == 0
    assert (tmp_path / "run" / "curve.png").exists() and list((tmp_path / "run" / "tensorboard").iterdir())
    command = ["evaluate", "run", "--episodes", "4", "--seed", "5", "--json"]
    outputs = []
    for _ in range(2):
        process = run_cli(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        outputs.append(process.communicate(timeout=60)[0])
        assert process.returncode == 0
    assert outputs[0] == outputs[1] and outputs[0].count("\n") == 1
    assert json.loads(outputs[0])["episodes"] == 4
