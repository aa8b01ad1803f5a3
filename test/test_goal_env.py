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
from tdm_ros.tasks import Channels

DOCS = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text()


class Broken(PointEnv):
    """A point whose sensor fails in the third step."""

    key, steps = "observation", 0

    def step(self, action: Any) -> Any:
        """Move, and break."""
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


@pytest.mark.parametrize("name", TASKS)
def test_make_goal_env_every_task_of_ours_by_name(name: str) -> None:
    env, task = make_goal_env(name)
    seen, _ = env.reset(seed=0)
    assert seen["desired_goal"].shape == seen["achieved_goal"].shape == (task.goal.size,)
    assert env.step(np.zeros(task.action.size, np.float32))[0]["observation"].shape == (task.observation.size,)
    assert env.get_wrapper_attr("_max_episode_steps") == task.episode_steps
    assert make_goal_env(name, horizon=3)[1].horizon == 3


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


def test_factory_with_an_angle_and_no_wrap_flag_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def factory() -> PointEnv:
        env = Described()
        env.task = replace(POINT, goal=replace(POINT.goal, unit="rad"))
        return env

    monkeypatch.setattr("tasks_for_tests.make_angle", factory, raising=False)
    with pytest.raises(ValueError, match=r"has an angle .* no wrap flag: give Channels.wrap"):
        make_goal_env("tasks_for_tests:make_angle")


def test_documented_task_of_ones_own_is_adopted_as_it_stands() -> None:
    code = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code[0], scope)
    env, task = wrap_env(scope["PendulumAngle"](), "pendulum_task:PendulumAngle", horizon=5)
    assert (task.name, task.horizon) == ("pendulum", 5)
    seen, _ = env.reset(seed=3)
    cos, sin, _ = seen["observation"]
    assert seen["achieved_goal"] == pytest.approx(np.arctan2(sin, cos))
    assert env.reset(seed=3)[0]["desired_goal"] == seen["desired_goal"] != env.reset(seed=4)[0]["desired_goal"]
    ends = [env.step(np.ones(1, np.float32))[3] for _ in range(60)]
    assert ends == [False] * 59 + [True]
    assert task.distance([3.0], [-3.0]) == pytest.approx(2 * np.pi - 6)


@pytest.mark.parametrize("name", TASKS)
def test_documented_table_agrees_with_the_task(name: str) -> None:
    row = re.search(rf"^\| `{name}` \|(.*)$", DOCS, re.MULTILINE)
    assert row, f"docs/tasks.md has no row for {name}"
    sizes, _, _, horizon, steps, *_ = (cell.strip() for cell in row[1].split("|"))
    task = make_goal_env(name)[1]
    assert sizes == f"{task.observation.size}, {task.goal.size}, {task.action.size}"
    assert (int(horizon), int(steps)) == (task.horizon, task.episode_steps)
