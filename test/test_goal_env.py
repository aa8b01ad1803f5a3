"""Environments by name, by id and as objects, and one sentence for each error."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from tasks_for_tests import POINT, PointEnv, make_point

from tdm_ros.envs import TASKS
from tdm_ros.envs.goal_env import make_goal_env, wrap_env
from tdm_ros.envs.wrappers import Noise
from tdm_ros.tasks import Channels

FOLDER = Path(__file__).parent.parent / "docs"
DOCS = (FOLDER / "tasks.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", (FOLDER / "add_your_task.md").read_text(), re.DOTALL)


class Broken(PointEnv):
    """A point whose sensor fails in the third step."""

    key, steps = "observation", 0

    def step(self, action: Any) -> Any:
        seen, *rest = super().step(action)
        self.steps += 1
        if self.steps == 3:
            seen[self.key][-1] = np.nan
        return seen, *rest


class Described(PointEnv):
    """A point that brings its own description, and no time limit."""

    task = POINT


def spaces(**changes: gym.Space) -> PointEnv:
    env = PointEnv()
    env.observation_space = gym.spaces.Dict({**env.observation_space.spaces, **changes})  # type: ignore[attr-defined]
    return env


def test_make_goal_env_misspelt_name_suggests_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"got 'cheeta' \(did you mean cheetah\?\)"):
        make_goal_env("cheeta")


def test_make_goal_env_id_of_gymnasium_robotics_needs_no_module() -> None:
    env, task = make_goal_env("gym:FetchReach-v4")
    assert (task.observation.size, task.goal.size, task.action.size) == (10, 3, 4)
    assert (task.episode_steps, task.rate_hz, task.success) == (50, 25.0, 0.05)
    env.reset(seed=0)
    assert env.step(np.zeros(4, np.float32))[4]["is_success"] in (0.0, 1.0)


def test_make_goal_env_unknown_id_without_gymnasium_robotics_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    load: Callable[..., ModuleType] = importlib.import_module

    def without_robotics(name: str, *args: Any) -> ModuleType:
        if name == "gymnasium_robotics":
            raise ImportError(name)
        return load(name, *args)

    monkeypatch.setattr(importlib, "import_module", without_robotics)
    with pytest.raises(ValueError, match=r"NoSuch.*gym:MODULE:NoSuch-v4; .*pip install gymnasium-robotics"):
        make_goal_env("gym:NoSuch-v4")


@pytest.mark.parametrize("key", ["observation", "achieved_goal"])
def test_step_nan_from_an_environment_is_rejected_with_key_and_step(key: str) -> None:
    inner = Broken()
    inner.key = key
    env, _ = wrap_env(gym.wrappers.TimeLimit(inner, 20), "mine")
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    env.step(np.zeros(1, np.float32))
    with pytest.raises(ValueError, match=rf"mine must return finite numbers, got \[nan\] in {key} .* step 3 of"):
        env.step(np.zeros(1, np.float32))


@pytest.mark.filterwarnings("ignore:overflow")
def test_step_large_finite_numbers_pass() -> None:
    inner = Broken()
    env, _ = wrap_env(gym.wrappers.TimeLimit(inner, 20), "mine", task=POINT)
    inner._at = np.array([1e308])
    inner._see = lambda: {  # type: ignore[method-assign]
        "observation": np.array([1.7e308, 1.7e308]),
        "achieved_goal": np.ones(1),
        "desired_goal": np.ones(1),
    }
    seen, _ = env.reset(seed=0)
    assert seen["observation"][0] == 1.7e308


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (spaces(desired_goal=gym.spaces.Box(-1, 1, (2,))), "of one size, got 1 and 2: the score is the distance"),
        (spaces(observation=gym.spaces.Box(-1, 1, (2, 2))), "must have flat vectors"),
        (PointEnv(), "must end its episodes"),
        (gym.make("CartPole-v1"), "must have a dict observation"),
    ],
)
def test_wrap_env_unusable_environment_says_why(env: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"mine.*{message}"):
        wrap_env(env, "mine")


@pytest.mark.parametrize("field", ["observation", "goal", "action"])
def test_adopt_description_of_another_size_names_both(field: str) -> None:
    three = Channels(("a", "b", "c"), "m", (-1.0,) * 3, (1.0,) * 3, (1.0,) * 3)
    task = replace(POINT, **{field: three})
    with pytest.raises(ValueError, match=rf"dimensions of {field}, but its TaskSpec 'point' describes 3 \(a, b, c\)"):
        wrap_env(make_point(), "mine", task=task)


def test_adopt_own_description_gives_the_time_limit() -> None:
    env, task = wrap_env(Described(), "mine")
    assert task == POINT
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[3] for _ in range(20)]
    assert ends == [False] * 19 + [True]


def test_make_goal_env_given_a_description_takes_it() -> None:
    assert make_goal_env("tasks_for_tests:make_point", task=POINT)[1] == POINT
    assert make_goal_env("tasks_for_tests:make_point", horizon=2, task=POINT)[1] == replace(POINT, horizon=2)


def test_adopt_described_success_is_the_environments_own_or_a_tenth_of_the_scale() -> None:
    task = wrap_env(make_point(), "mine")[1]
    assert task.success == pytest.approx(0.1 * task.goal.scale[0])


def test_documented_task_of_ones_own_is_adopted_as_it_stands() -> None:
    scope: dict[str, Any] = {}
    exec(EXAMPLES[0], scope)
    env, task = wrap_env(scope["PendulumAngle"](), "pendulum_task:PendulumAngle", horizon=5)
    assert (task.name, task.horizon) == ("pendulum", 5)
    seen, _ = env.reset(seed=3)
    cos, sin, _ = seen["observation"]
    assert seen["achieved_goal"] == pytest.approx(np.arctan2(sin, cos))
    assert env.reset(seed=3)[0]["desired_goal"] == seen["desired_goal"] != env.reset(seed=4)[0]["desired_goal"]
    ends = [env.step(np.ones(1, np.float32))[3] for _ in range(60)]
    assert ends == [False] * 59 + [True]
    assert task.distance([3.0], [-3.0]) == pytest.approx(2 * np.pi - 6)


def test_documented_task_with_an_arm_has_its_goal_and_moves_the_arm() -> None:
    scope: dict[str, Any] = {}
    exec(EXAMPLES[1], scope)
    env, task = wrap_env(scope["HandHeight"]("panda"), "hand_height:panda")
    assert (task.name, task.goal.names, task.goal.unit) == ("hand_height", ("height",), "m")
    seen, _ = env.reset(seed=3)
    assert seen["achieved_goal"] == seen["observation"][-1:]
    assert env.reset(seed=3)[0]["desired_goal"] == seen["desired_goal"] != env.reset(seed=4)[0]["desired_goal"]
    moved = env.step(np.ones(7, np.float32))[0]
    assert moved["achieved_goal"] != seen["achieved_goal"] and moved["achieved_goal"] == moved["observation"][-1:]


@pytest.mark.parametrize("name", TASKS)
def test_documented_table_agrees_with_the_task(name: str) -> None:
    row = re.search(rf"^\| `{name}` \|(.*)$", DOCS, re.MULTILINE)
    assert row, f"docs/tasks.md has no row for {name}"
    sizes, _, _, horizon, steps, *_ = (cell.strip() for cell in row[1].split("|"))
    env, task = make_goal_env(name)
    assert (
        env.spec is not None
        and env.spec.max_episode_steps == task.episode_steps
        and task.rate_hz == env.metadata["render_fps"]
    )
    assert sizes == f"{task.observation.size}, {task.goal.size}, {task.action.size}"
    assert (int(horizon), int(steps)) == (task.horizon, task.episode_steps)


# Noise: as much as asked, the same for the same seed, and never in what an attempt is judged by


def point(noise: Noise) -> tuple[gym.Env, PointEnv]:
    inner = PointEnv()
    return wrap_env(gym.wrappers.TimeLimit(inner, 20), "point", task=POINT, noise=noise)[0], inner


def readings(env: gym.Env, episodes: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of the achieved goal and of the observation's first number, and true places."""
    goal, first, true = [], [], []
    for seed in range(episodes):
        seen, _ = env.reset(seed=seed)
        for _ in range(20):
            goal.append(seen["achieved_goal"][0] - env.unwrapped._at[0])
            first.append(seen["observation"][0] - env.unwrapped._at[0])
            true.append(env.unwrapped._at[0])
            seen = env.step(np.zeros(1, np.float32))[0]
    return np.array(goal), np.array(first), np.array(true)


def test_noise_of_observation_has_the_size_asked_for_and_is_one_reading_where_goal_and_observation_are_one() -> None:
    env, _ = point(Noise(observation=0.05))
    goal, first, _ = readings(env)
    assert goal.std() == pytest.approx(0.05 * POINT.goal.scale[0], rel=0.1)
    assert abs(goal.mean()) < 0.005
    np.testing.assert_array_equal(goal, first)


def test_noise_of_observation_is_in_parts_of_each_numbers_own_spread() -> None:
    env, task = make_goal_env("cheetah", noise=Noise(observation=0.1))
    made, errors, values = env.unwrapped, [], []
    for seed in range(3):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for _ in range(99):
            seen = env.step(rng.uniform(-1, 1, 6).astype(np.float32))[0]
            errors.append(seen["observation"] - made._observation())
            values.append(made._observation())
    parts = np.delete(np.std(errors, axis=0) / np.std(values, axis=0), 8)
    assert (parts > 0.05).all() and (parts < 0.2).all()
    assert np.std(errors, axis=0)[8] == pytest.approx(0.1 * task.goal.scale[0], rel=0.2)


def test_noise_leaves_goal_reward_and_true_state_alone() -> None:
    env, inner = point(Noise(observation=0.3))
    seen, _ = env.reset(seed=1)
    assert seen["desired_goal"] == inner._goal
    seen, reward, *_ = env.step(np.ones(1, np.float32))
    assert reward == -abs(inner._at - inner._goal)[0]
    np.testing.assert_array_equal(env.get_wrapper_attr("true_achieved"), inner._at.astype(np.float32))
    assert seen["achieved_goal"] != inner._at


def test_noise_of_action_moves_the_world_by_as_much() -> None:
    env, inner = point(Noise(action=0.2))
    moved = []
    for seed in range(100):
        env.reset(seed=seed)
        inner._at[:] = 0.0
        env.step(np.zeros(1, np.float32))
        moved.append(inner._at[0] / 0.1)
    assert np.std(moved) == pytest.approx(0.2, rel=0.25)


def test_noise_of_action_never_leaves_the_range() -> None:
    env, inner = point(Noise(action=5.0))
    for seed in range(20):
        env.reset(seed=seed)
        inner._at[:] = 0.0
        env.step(np.zeros(1, np.float32))
        assert abs(inner._at[0]) <= 0.1 + 1e-6


def test_noise_of_action_is_not_told_to_the_learner() -> None:
    env, _ = make_goal_env("sawyer_reach", noise=Noise(action=0.1))
    env.reset(seed=0)
    action = np.full(7, 0.2, np.float32)
    infos = [env.step(action)[4] for _ in range(5)]
    free = [info["executed_action"] for info in infos if not info["limited"]]
    assert free
    for executed in free:
        np.testing.assert_allclose(executed, action, atol=1e-6)


def test_noise_same_seed_same_episode() -> None:
    for noise in (Noise(action=0.3), Noise(observation=0.3)):
        env, _ = point(noise)
        runs = []
        for seed in (4, 4, 5):
            env.reset(seed=seed)
            runs.append([env.step(np.zeros(1, np.float32))[0]["achieved_goal"][0] for _ in range(5)])
        assert runs[0] == runs[1] != runs[2]


def test_noise_none_changes_nothing() -> None:
    assert not Noise() and Noise(action=0.1)
    with pytest.raises(AttributeError):
        point(Noise())[0].get_wrapper_attr("true_achieved")


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_noise_senseless_rejected(value: float) -> None:
    with pytest.raises(ValueError, match=r"Noise\.observation must be >= 0"):
        Noise(observation=value)
