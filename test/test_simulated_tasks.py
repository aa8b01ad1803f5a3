"""All simulated tasks: their contract, their numbers, and that their goals can be reached."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tdm_ros.envs import TASKS
from tdm_ros.envs.mujoco_env import MujocoGoalEnv
from tdm_ros.envs.reach_env import ReachEnv
from tdm_ros.robots.kinematics import jacobian
from tdm_ros.robots.sawyer import DAMPING_N_M_S_RAD, FRICTION_N_M, NEUTRAL_RAD


@pytest.fixture(params=TASKS)
def env(request: pytest.FixtureRequest):
    made = gym.make(TASKS[request.param])
    yield made
    made.close()


def bare(name: str) -> MujocoGoalEnv:
    made = gym.make(TASKS[name]).unwrapped
    assert isinstance(made, MujocoGoalEnv)
    return made


def test_env_gymnasium_checker_has_no_complaint(env: gym.Env) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*infinity|.*infinite")
        check_env(env.unwrapped, skip_render_check=True)


def test_step_takes_one_cycle(env: gym.Env) -> None:
    made = env.unwrapped
    made.reset(seed=0)
    begin_s = made.data.time
    made.step(np.zeros(made.task.action.size, np.float32))
    assert made.data.time - begin_s == pytest.approx(1 / made.task.rate_hz)


def test_step_reward_is_minus_the_score_and_recomputable(env: gym.Env) -> None:
    env.reset(seed=0)
    for _ in range(5):
        observation, reward, _, _, info = env.step(env.action_space.sample())
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        assert reward == pytest.approx(-env.unwrapped.task.distance(achieved, desired))
        assert info["distance"] == pytest.approx(env.unwrapped.task.distance(achieved, env.unwrapped.evaluation_goal))
        assert env.unwrapped.compute_reward(achieved, desired, info) == reward
        batch = env.unwrapped.compute_reward(np.stack([achieved, desired]), np.stack([desired, desired]), {})
        assert batch.tolist() == [reward, 0.0]


def test_reset_same_seed_same_episode_whatever_came_before(env: gym.Env) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (10, env.action_space.shape[0])).astype(np.float32)
    ends = []
    for warm_up in (0, 7):
        env.reset(seed=11)
        for action in actions[:warm_up]:
            env.step(action)
        env.reset(seed=5)
        ends.append([env.step(action)[0] for action in actions][-1])
    np.testing.assert_array_equal(ends[0]["observation"], ends[1]["observation"])


def test_reset_goals_lie_in_the_tasks_box(env: gym.Env) -> None:
    goal = env.unwrapped.task.goal
    drawn = np.array([(env.reset(seed=seed), env.unwrapped.evaluation_goal)[1] for seed in range(100)])
    assert (drawn >= np.float32(goal.low)).all() and (drawn <= np.float32(goal.high)).all()
    assert (drawn.std(axis=0) >= 0.05 * (np.array(goal.high) - goal.low)).all()


def test_reset_option_replaces_the_goal(env: gym.Env) -> None:
    goal = np.array(env.unwrapped.task.goal.high, np.float32)
    env.reset(options={"goal": goal})
    judged = [dim for _, dims in env.unwrapped.task.score for dim in dims] or slice(None)
    np.testing.assert_array_equal(env.unwrapped.evaluation_goal[judged], goal[judged])
    with pytest.raises(ValueError, match=r"options of reset are goal.*, got gaol"):
        env.reset(options={"gaol": goal})
    with pytest.raises(ValueError, match="goal must have shape"):
        env.reset(options={"goal": goal[:0]})


def test_step_senseless_action_rejected(env: gym.Env) -> None:
    made = env.unwrapped
    made.reset(seed=0)
    with pytest.raises(ValueError, match="action must be finite"):
        made.step(np.full(made.task.action.size, np.nan))
    with pytest.raises(ValueError, match="action must have shape"):
        made.step(np.zeros(1))


def test_observation_not_shared_with_the_next(env: gym.Env) -> None:
    before, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in before.items()}
    env.step(np.ones(env.action_space.shape, np.float32))
    for key, value in before.items():
        np.testing.assert_array_equal(value, kept[key])


def test_env_unknown_render_mode_rejected(env: gym.Env) -> None:
    with pytest.raises(ValueError, match=r"render_mode must be rgb_array.* or None, got 'ansi'"):
        type(env.unwrapped)(render_mode="ansi")


def test_reacher_every_goal_is_reached_by_a_posture_controller() -> None:
    made = bare("reacher")
    for seed in range(10):
        made.reset(seed=seed)
        posture = made._posture.qpos.copy()
        for _ in range(100):
            torque = 8.0 * (posture - made.data.qpos) - made.data.qvel
            info = made.step(np.clip(torque / 2.0, -1, 1))[4]
        assert info["distance"] < 0.02


def test_cheetah_goal_is_the_speed_along_x() -> None:
    made = bare("cheetah")
    made.reset(seed=0)
    before = float(made.data.qpos[0])
    seen = [made.step(np.array([1, -1, 0, 0.5, 0, -1], np.float32))[0] for _ in range(5)]
    speeds = [s["achieved_goal"][0] for s in seen]
    assert speeds == [s["observation"][8] for s in seen]
    assert float(made.data.qpos[0]) - before == pytest.approx(0.05 * np.mean(speeds), abs=0.08)
    assert np.ptp(speeds) > 0.1


def test_ant_is_as_weak_as_the_authors() -> None:
    for name in ("ant_position", "ant_position_velocity"):
        assert (bare(name).model.actuator_gear[:, 0] == 30).all()


@pytest.mark.parametrize(("height_m", "over"), [(0.15, True), (1.2, True), (0.75, False)])
def test_ant_position_terminates_when_fallen_or_flown(height_m: float, over: bool) -> None:
    made = bare("ant_position")
    made.reset(seed=0)
    made.data.qpos[2] = height_m
    assert made._ended(1.0) == (over, False)


def test_ant_position_thrown_up_ends_the_attempt() -> None:
    made = bare("ant_position")
    made.reset(seed=0)
    made.data.qvel[2] = 8.0
    assert made.step(np.zeros(8, np.float32))[2] is True


def test_ant_velocity_is_a_displacement_per_step_and_zero_at_the_start() -> None:
    made = bare("ant_position_velocity")
    before, _ = made.reset(seed=0)
    assert (before["achieved_goal"][2:] == 0).all()
    for _ in range(3):
        after = made.step(np.ones(8, np.float32))[0]
        moved = after["achieved_goal"][:2] - before["achieved_goal"][:2]
        np.testing.assert_allclose(after["achieved_goal"][2:], moved, atol=1e-6)
        before = after
    assert (made.reset(seed=1)[0]["achieved_goal"][2:] == 0).all()


def test_ant_position_velocity_is_judged_like_the_authors_and_cut_short_when_met() -> None:
    made = bare("ant_position_velocity")
    score = made.task.distance([0, 0, 0, 0], [0.3, 0.4, 0.02, 0.03])
    assert score == pytest.approx(0.1 * np.sqrt(0.3**2 + 0.4**2 + 0.02**2) + 0.9 * 0.03)
    seen, _ = made.reset(seed=0)
    made.reset(seed=0, options={"goal": seen["achieved_goal"] + [0, 0, 0, 0.05]})
    assert made.step(np.zeros(8, np.float32))[2:4] == (False, False)
    made.reset(seed=0)
    goal = made.step(np.zeros(8, np.float32))[0]["achieved_goal"]
    made.reset(seed=0, options={"goal": goal})
    *_, terminated, truncated, info = made.step(np.zeros(8, np.float32))
    assert (terminated, truncated, info["is_success"]) == (False, True, True)


# Sawyer reaching: starts, options, goals in reach


REACHING = pytest.mark.parametrize("env", [name for name in TASKS if name.startswith("sawyer_reach")], indirect=True)


@REACHING
def test_step_never_terminates_and_is_cut_after_fifty(env: gym.Env) -> None:
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(50)]
    assert ends == [(False, False)] * 49 + [(False, True)]


@REACHING
def test_reset_start_near_neutral(env: gym.Env) -> None:
    for _ in range(20):
        observation, _ = env.reset()
        assert np.abs(observation["observation"][:7] - NEUTRAL_RAD).max() <= 0.1 + 1e-6


@REACHING
def test_reset_options_replace_goal_and_start(env: gym.Env) -> None:
    chosen = {"goal": [0.5, 0.1, 0.3], "q_rad": NEUTRAL_RAD}
    observation, info = env.reset(options=chosen)
    np.testing.assert_array_equal(observation["desired_goal"], np.float32(chosen["goal"]))
    np.testing.assert_array_equal(observation["observation"][:7], np.float32(NEUTRAL_RAD))
    assert info["distance"] > 0


@pytest.mark.parametrize("options", [{"gaol": [0.5, 0, 0.3]}, {"goal": [0.5]}, {"q_rad": [np.nan] * 7}])
def test_reset_senseless_option_rejected(options: dict) -> None:
    with pytest.raises(ValueError, match=r"goal|q_rad"):
        ReachEnv().reset(options=options)


def test_env_unknown_actuation_rejected_with_choices() -> None:
    with pytest.raises(ValueError, match=r"torque_low_damping.*got 'pneumatic'"):
        ReachEnv("pneumatic")


GAINS = {
    "torque": np.array([30, 30, 15, 10, 4, 3, 2.0]),
    "torque_low_damping": np.array([10, 10, 5, 5, 1, 1, 0.5]),
}


def jacobian_controller(made: ReachEnv, observation: dict) -> np.ndarray:
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


@REACHING
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
