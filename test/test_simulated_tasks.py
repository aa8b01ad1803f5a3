"""All simulated tasks: their contract, their numbers, and that their goals can be reached."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tdm_ros.envs import TASKS
from tdm_ros.envs.mujoco_env import MujocoGoalEnv
from tdm_ros.tasks.seeds import reset_seed

SHAPES = {
    # observation, goal, action, steps
    "sawyer_reach_velocity": (17, 3, 7, 50),
    "sawyer_reach_torque": (17, 3, 7, 50),
    "sawyer_reach_torque_low_damping": (17, 3, 7, 50),
    "sawyer_around": (17, 4, 7, 50),
    "reacher": (17, 3, 7, 100),
    "pusher": (10, 4, 3, 100),
    "sawyer_push": (19, 4, 2, 64),
    "sawyer_push_around": (19, 4, 2, 64),
    "maze": (4, 2, 2, 96),
    "cheetah": (17, 1, 6, 99),
    "ant_position": (30, 2, 8, 50),
    "ant_position_velocity": (33, 4, 8, 99),
}


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


def test_env_has_the_sizes_and_the_length_of_its_task(env: gym.Env) -> None:
    task = env.unwrapped.task
    sizes = task.observation.size, task.goal.size, task.action.size, task.episode_steps
    assert sizes == SHAPES[task.name]
    assert env.spec.max_episode_steps == task.episode_steps
    assert task.rate_hz == 20.0


def test_step_takes_fifty_milliseconds(env: gym.Env) -> None:
    made = env.unwrapped
    made.reset(seed=0)
    made.step(np.zeros(made.task.action.size, np.float32))
    assert made.data.time == pytest.approx(0.05)


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


def test_reset_same_seed_same_start_and_goal(env: gym.Env) -> None:
    first, second, other = (env.reset(seed=reset_seed("evaluate", 0, k))[0] for k in (3, 3, 4))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])
    assert (first["desired_goal"] != other["desired_goal"]).any()


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
    assert (drawn.std(axis=0) > 0.05 * (np.array(goal.high) - goal.low)).all()


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


def test_contact_sheet_shows_every_task_and_its_goal(tmp_path: Path) -> None:
    """In a process of its own, since MuJoCo chooses its OpenGL library when it is imported."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from benchmarks.contact_sheet import SHOWN, draw, picture\n"
        "for shown in SHOWN:\n"
        "    red, green, blue = np.moveaxis(picture(*shown).astype(int), -1, 0)\n"
        "    ball = (green > 1.8 * red) & (green > 1.5 * blue) & (green > 50)\n"
        "    assert ball.sum() > 20, (shown, ball.sum())\n"
        f"draw(Path({str(tmp_path / 'sheet.png')!r}))\n"
    )
    for gl in ("egl", "osmesa"):
        env = {key: value for key, value in os.environ.items() if key != "DISPLAY"} | {"MUJOCO_GL": gl}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=Path(__file__).parents[1],
            env=env,
            capture_output=True,
            text=True,
        )
        if "OpenGL library" not in done.stderr:
            break
    else:
        pytest.skip(f"no OpenGL library: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert 10_000 < (tmp_path / "sheet.png").stat().st_size < 200_000
