"""Sawyer reaching: starts, options, goals in reach; `test_simulated_tasks.py` has what all tasks share."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

import tdm_ros.envs  # noqa: F401 - registers the environments
from tdm_ros.envs.sawyer_reach_env import SawyerReachEnv
from tdm_ros.robots.kinematics import jacobian
from tdm_ros.robots.sawyer import DAMPING_N_M_S_RAD, FRICTION_N_M, NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH

IDS = {
    "velocity": "tdm_ros/SawyerReach-v0",
    "torque": "tdm_ros/SawyerReachTorque-v0",
    "torque_low_damping": "tdm_ros/SawyerReachTorqueLowDamping-v0",
}


@pytest.fixture(params=IDS)
def env(request: pytest.FixtureRequest):
    made = gym.make(IDS[request.param])
    yield made
    made.close()


def test_env_carries_its_task(env: gym.Env) -> None:
    task = env.unwrapped.task
    assert task is SAWYER_REACH[env.unwrapped.actuation.name]
    assert env.observation_space["observation"].shape == (task.observation.size,) == (17,)
    assert env.spec.max_episode_steps == task.episode_steps == 50


def test_step_never_terminates_and_is_cut_after_fifty(env: gym.Env) -> None:
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(50)]
    assert ends == [(False, False)] * 49 + [(False, True)]


def test_reset_start_near_neutral_and_goal_in_box(env: gym.Env) -> None:
    goal = env.unwrapped.task.goal
    for _ in range(20):
        observation, _ = env.reset()
        assert np.abs(observation["observation"][:7] - NEUTRAL_RAD).max() <= 0.1 + 1e-6
        assert (observation["desired_goal"] >= np.float32(goal.low)).all()
        assert (observation["desired_goal"] <= np.float32(goal.high)).all()


def test_reset_options_replace_goal_and_start(env: gym.Env) -> None:
    chosen = {"goal": [0.5, 0.1, 0.3], "q_rad": NEUTRAL_RAD}
    observation, info = env.reset(options=chosen)
    np.testing.assert_array_equal(observation["desired_goal"], np.float32(chosen["goal"]))
    np.testing.assert_array_equal(observation["observation"][:7], np.float32(NEUTRAL_RAD))
    assert info["distance"] > 0


@pytest.mark.parametrize("options", [{"gaol": [0.5, 0, 0.3]}, {"goal": [0.5]}, {"q_rad": [np.nan] * 7}])
def test_reset_senseless_option_rejected(options: dict) -> None:
    with pytest.raises(ValueError, match=r"goal|q_rad"):
        SawyerReachEnv().reset(options=options)


def test_env_unknown_actuation_rejected_with_choices() -> None:
    with pytest.raises(ValueError, match=r"torque_low_damping.*got 'pneumatic'"):
        SawyerReachEnv("pneumatic")


GAINS = {
    "torque": np.array([30, 30, 15, 10, 4, 3, 2.0]),
    "torque_low_damping": np.array([10, 10, 5, 5, 1, 1, 0.5]),
}


def jacobian_controller(made: SawyerReachEnv, observation: dict) -> np.ndarray:
    """Straight to the goal by damped least squares; under torque, with friction fed forward."""
    q_rad, qd_rad_s = np.split(observation["observation"][:14].astype(float), 2)
    linear = jacobian(q_rad)[:3]
    gap_m = (observation["desired_goal"] - observation["achieved_goal"]).astype(float)
    kind = made.actuation
    gain_hz, damping = (6.0, 1e-3) if kind.mode == "velocity" else (4.0, 1e-2)
    wanted = linear.T @ np.linalg.solve(linear @ linear.T + damping * np.eye(3), gain_hz * gap_m)
    if kind.mode == "torque":
        losses = DAMPING_N_M_S_RAD * kind.damping_factor * wanted
        losses += FRICTION_N_M * kind.friction_factor * np.tanh(50 * wanted)
        return np.clip((GAINS[kind.name] * (wanted - qd_rad_s) + losses) / kind.scale, -1, 1)
    action = wanted / kind.scale
    return action / max(1.0, np.abs(action).max())


def test_every_goal_is_within_reach_of_a_jacobian_controller(env: gym.Env) -> None:
    made, within_1cm = env.unwrapped, []
    corners = [[x, y, z] for x in (0.35, 0.8) for y in (-0.35, 0.35) for z in (0.05, 0.6)]
    for seed, goal in enumerate([*corners, *([None] * 12)]):
        observation, _ = env.reset(seed=seed, options=None if goal is None else {"goal": goal})
        for _ in range(50):
            action = jacobian_controller(made, observation).astype(np.float32)
            observation, _, _, _, info = env.step(action)
        within_1cm.append(info["distance"] < 0.01)
    assert np.mean(within_1cm[len(corners) :]) >= 0.9
    assert np.mean(within_1cm) >= 0.8


def test_import_needs_no_gl_library() -> None:
    """Without a display or a choice of GL, as on a bare server; pictures alone load the renderer."""
    code = (
        "import sys, tdm_ros.envs, gymnasium as gym;"
        "env = gym.make('tdm_ros/SawyerReach-v0'); env.reset(seed=0); env.step(env.action_space.sample());"
        "sys.exit('tdm_ros.envs.render' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": "/usr/bin", "PYTHONPATH": "."})
