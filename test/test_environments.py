"""Environments as people write them: shared buffers, odd action boxes, no time limit, no seed, other units."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tasks_for_tests import POINT, PointEnv, make_point

from tdm_ros import TDM, TdmConfig
from tdm_ros.envs.goal_env import make_goal_env, wrap_env
from tdm_ros.envs.wrappers import from_box, to_box
from tdm_ros.training.callbacks import Callback
from tdm_ros.training.evaluation import Evaluation

SMALL = TdmConfig(hidden_size=16, batch_size=32, learning_starts=60, initial_gradient_steps=40, gradient_steps=1)


class SharedBuffers(PointEnv):
    """Returns its own arrays at every step, and writes into them and into the action."""

    def _see(self) -> dict[str, NDArray[Any]]:
        if not hasattr(self, "_seen"):
            self._seen = super()._see()
        for key, value in super()._see().items():
            self._seen[key][:] = value
        return self._seen

    def step(self, action: NDArray[np.float32]) -> Any:
        """Move, and spoil the array that came."""
        result = super().step(action)
        action[:] = np.nan
        return result


class Asserting(PointEnv):
    """Accepts nothing outside its action space."""

    def __init__(self, space: gym.spaces.Box) -> None:
        super().__init__()
        self.action_space = space
        self.acted: list[NDArray[Any]] = []

    def step(self, action: NDArray[Any]) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.acted.append(action)
        return super().step(0.1 * np.sign(action[:1].astype(float)))


class Truncating(PointEnv):
    """Ends its episodes after 12 steps, without a wrapper."""

    _step = 0

    def reset(self, **keywords: Any) -> Any:
        self._step = 0
        return super().reset(**keywords)

    def step(self, action: NDArray[np.float32]) -> Any:
        self._step += 1
        seen, reward, _, _, info = super().step(action)
        return seen, reward, False, self._step >= 12, info


class Unseeded(PointEnv):
    """Ignores the seed of its resets."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=None, options=options)


class OwnUnits(PointEnv):
    """Executes half of the action, and says so in its own units, in which 0.1 is the most."""

    executed: Any = None

    def step(self, action: NDArray[np.float32]) -> Any:
        seen, reward, terminated, truncated, _ = super().step(action / 2)
        executed = action / 2 if self.executed is None else self.executed
        return seen, reward, terminated, truncated, {"executed_action": executed}


class NoRenderMode(PointEnv):
    """Takes no argument."""


class PickyRenderMode(PointEnv):
    """Accepts only a render mode that it knows."""

    def __init__(self, render_mode: str = "rgb_array") -> None:
        super().__init__()
        if render_mode not in ("rgb_array", "human"):
            raise ValueError(f"render mode {render_mode} is unknown")


class Connecting(PointEnv):
    """Counts how often it is made."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Connecting.made += 1


gym.register("tdm_ros_test/Connecting-v0", Connecting, max_episode_steps=20)
gym.register("tdm_ros_test/NoRenderMode-v0", NoRenderMode, max_episode_steps=20)
gym.register("tdm_ros_test/PickyRenderMode-v0", PickyRenderMode, max_episode_steps=20)


def limited(env: PointEnv, steps: int = 20) -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(env, steps)


def box(low: Any, high: Any, dtype: Any = np.float32) -> gym.spaces.Box:
    return gym.spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


BOXES = {
    "asymmetric": box([-0.1, -0.47], [0.27, 1.19]),
    "double": box([-1.0, -1.0], [1.0, 1.0], np.float64),
    "integers": box([0, -3], [4, 9], np.int64),
    "unsigned": box([0, 0], [255, 7], np.uint8),
    "locked": box([-1.0, 0.25], [1.0, 0.25]),
    "locked integer": box([5, 0], [5, 2], np.int32),
}


def test_env_that_returns_its_own_buffers_learns_what_a_copying_one_does() -> None:
    shared, copying = (TDM(limited(env), SMALL).learn(120).learner for env in (SharedBuffers(), PointEnv()))
    index = np.arange(120)
    for column in ("observation", "action", "achieved", "next_achieved"):
        np.testing.assert_array_equal(shared.store.column(column, index), copying.store.column(column, index))
    assert shared.actor_bytes() == copying.actor_bytes()


@pytest.mark.parametrize("name", BOXES)
def test_env_with_any_box_is_learned_in_and_never_left(name: str) -> None:
    env = Asserting(BOXES[name])
    agent = TDM(limited(env), SMALL).learn(120)
    for edge in (-1.0, 1.0):
        agent.env.reset(seed=0)
        agent.env.step(np.full(2, edge, np.float32))
    stored = agent.learner.store.column("action", np.arange(120))
    assert np.isfinite(stored).all() and np.abs(stored).max() <= 1
    seen = env.reset(seed=3)[0]
    chosen, _ = agent.predict(seen)
    assert env.action_space.contains(chosen)
    assert agent.predict({key: np.stack([value] * 3) for key, value in seen.items()})[0].shape == (3, 2)
    assert env.action_space.contains(agent.planner().act(seen))


@given(st.data())
def test_to_box_stays_in_every_box_and_from_box_turns_back(data: st.DataObject) -> None:
    number = st.floats(-1e3, 1e3, width=32)
    low, high = (data.draw(st.lists(number, min_size=3, max_size=3)) for _ in range(2))
    space = box(np.minimum(low, high), np.maximum(low, high), data.draw(st.sampled_from([np.float32, np.float64])))
    unit = np.array(data.draw(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)), np.float32)
    acted = to_box(space, unit)
    assert space.contains(acted)
    wide = space.high - space.low > 1e-2 * np.maximum(1, np.abs(space.high) + np.abs(space.low))
    np.testing.assert_allclose(from_box(space, acted)[wide], unit[wide], atol=1e-3)


def test_integer_actions_are_stored_as_they_were_executed() -> None:
    env = Asserting(BOXES["integers"])
    agent = TDM(limited(env), SMALL).learn(40)
    stored = agent.learner.store.column("action", np.arange(40))
    np.testing.assert_allclose(stored, from_box(BOXES["integers"], np.array(env.acted[:40])), atol=1e-6)
    assert len(np.unique(stored[:, 0])) <= 5


def test_executed_action_is_stored_as_a_part_of_the_environments_own_range() -> None:
    agent = TDM(limited(OwnUnits()), SMALL).learn(40)
    store, index = agent.learner.store, np.arange(40)
    moved = store.column("next_achieved", index) - store.column("achieved", index)
    inside = np.abs(store.column("next_achieved", index)) < 1
    np.testing.assert_allclose(0.1 * store.column("action", index)[inside], moved[inside], atol=1e-6)


@pytest.mark.parametrize("executed", [[0.5], [np.nan], [0.1, 0.1]])
def test_executed_action_outside_the_action_space_is_rejected(executed: list[float]) -> None:
    env = OwnUnits()
    env.executed = executed
    made, _ = wrap_env(limited(env), "mine")
    made.reset(seed=0)
    with pytest.raises(
        ValueError, match=r'mine must report info\["executed_action"\] in the units of its action space'
    ):
        made.step(np.zeros(1, np.float32))


def test_env_that_truncates_by_itself_is_learned_in() -> None:
    assert wrap_env(Truncating(), "mine")[1].episode_steps == 12
    agent = TDM(Truncating(), SMALL).learn(120)
    assert [len(list(group)) for group in np.split(np.arange(120), 10)] == [12] * 10
    assert len(np.unique(agent.learner.store.end_of(np.arange(120)))) == 10
    assert len(agent.evaluate(2).final_distance) == 2


@pytest.mark.parametrize("name", ["NoRenderMode", "PickyRenderMode"])
def test_env_is_made_without_a_render_mode_unless_one_is_asked_for(name: str) -> None:
    env, task = make_goal_env(f"gym:tdm_ros_test/{name}-v0")
    assert (task.episode_steps, env.reset(seed=0)[0]["observation"].shape) == (20, (2,))


def test_env_without_a_render_rate_has_the_usual_one() -> None:
    env = PointEnv()
    env.metadata = {"render_modes": [], "render_fps": None}
    assert wrap_env(limited(env), "mine")[1].rate_hz == 20


def test_run_whose_environment_ignores_the_seed_is_loaded(tmp_path: Any) -> None:
    agent = TDM(limited(Unseeded()), SMALL).learn(80)
    agent.save(tmp_path)
    again = TDM.load(tmp_path, limited(Unseeded()))
    assert again.task == agent.task
    assert again.learn(20).steps == 100


def test_run_whose_description_differs_in_the_last_bit_is_loaded(tmp_path: Any) -> None:
    TDM((make_point(), POINT), SMALL).learn(80).save(tmp_path)
    nearly = POINT.to_json()
    nearly["goal"]["scale"] = [float(np.nextafter(1.0, 2.0))]
    other = type(POINT).from_json(nearly)
    assert other.fingerprint != POINT.fingerprint
    assert TDM.load(tmp_path, (make_point(), other)).task == POINT


def test_run_trained_by_name_is_loaded_with_an_object_of_the_same_task(tmp_path: Any) -> None:
    TDM("tasks_for_tests:make_point", SMALL).learn(80).save(tmp_path)
    assert TDM.load(tmp_path, make_point()).predict(make_point().reset(seed=0)[0])[0].shape == (1,)


def test_run_of_one_registered_environment_is_rejected_with_another(tmp_path: Any) -> None:
    TDM("gym:tdm_ros_test/NoRenderMode-v0", SMALL).learn(20).save(tmp_path)
    with pytest.raises(ValueError, match=r"for gym:tdm_ros_test/NoRenderMode-v0, the environment is gym:.*Picky"):
        TDM.load(tmp_path, "gym:tdm_ros_test/PickyRenderMode-v0")


class Evaluating(Callback):
    """Evaluates in the middle of an episode."""

    def __init__(self) -> None:
        self.results: list[Evaluation] = []

    def on_step(self, agent: TDM) -> None:
        if agent.steps == 70:
            self.results.append(agent.evaluate(2))


def test_evaluate_in_a_callback_leaves_learning_as_it_is() -> None:
    name, looks = "tasks_for_tests:make_point", Evaluating()
    plain, looked = TDM(name, SMALL).learn(120), TDM(name, SMALL).learn(120, [looks])
    assert len(looks.results) == 1
    assert looked.learner.actor_bytes() == plain.learner.actor_bytes()
    given = TDM(make_point(), SMALL, test_env=make_point()).learn(120, [Evaluating()])
    assert given.learner.actor_bytes() == TDM(make_point(), SMALL).learn(120).learner.actor_bytes()


class Counting(PointEnv):
    """Counts its resets, and knows whether it may be copied."""

    resets = 0
    copied = True

    def reset(self, **keywords: Any) -> Any:
        self.resets += 1
        return super().reset(**keywords)

    def __deepcopy__(self, memo: Any) -> Counting:
        if not self.copied:
            raise TypeError("cannot pickle a serial port")
        return Counting()


def test_evaluation_does_not_touch_the_environment_of_the_training() -> None:
    env = Counting()
    agent = TDM(limited(env), SMALL)
    agent.learn(120, [Evaluating()])
    before = env.resets
    assert len(agent.evaluate(3).final_distance) == 3
    assert env.resets == before == len(range(0, 120, 20)) + (before - 6), "the description alone resets it besides"
    assert agent.learner.actor_bytes() == TDM(limited(Counting()), SMALL).learn(120).learner.actor_bytes()


def test_registered_environment_is_copied_and_not_made_a_second_time() -> None:
    """A constructor may connect to a robot; and a copy has what was changed after it."""
    env = gym.make("tdm_ros_test/Connecting-v0")
    agent = TDM(env, SMALL).learn(70)
    before, made = env.unwrapped.np_random.bit_generator.state, Connecting.made
    agent.evaluate(2)
    assert env.unwrapped.np_random.bit_generator.state == before
    assert Connecting.made == made


def test_evaluation_in_an_environment_that_can_not_be_copied_names_the_remedy() -> None:
    env = Counting()
    env.copied = False
    agent = TDM(limited(env), SMALL).learn(70)
    with pytest.raises(ValueError, match=r"cannot pickle a serial port.*: give TDM a test_env"):
        agent.evaluate(2)
    same = TDM(limited(env), SMALL, test_env=limited(env)).learn(70)
    assert len(same.evaluate(2).final_distance) == 2


class Learning(Callback):
    """Starts to learn again."""

    def on_step(self, agent: TDM) -> None:
        agent.learn(1)


def test_learn_in_a_callback_is_rejected() -> None:
    with pytest.raises(RuntimeError, match="do not call it from a callback"):
        TDM(make_point(), SMALL).learn(20, [Learning()])


def test_threads_of_the_process_stay_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        TDM(make_point(), SMALL).learn(70)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (PointEnv, r"the class PointEnv: call it, PointEnv\(\)"),
        (gym.vector.SyncVectorEnv([make_point] * 3), "a vector of 3 environments: give one of them"),
        (None, "got None: give a name"),
        (7, "got 7: give a name"),
        (make_point, "got the function make_point: call it, and give what it returns"),
    ],
)
def test_what_is_no_environment_is_rejected_with_the_remedy(env: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TDM(env, SMALL)


class OldStep(PointEnv):
    """Returns four values from a step."""

    def step(self, action: NDArray[np.float32]) -> Any:
        seen, reward, terminated, _, info = super().step(action)
        return seen, reward, terminated, info


class NoInfo(PointEnv):
    """Returns the observation alone from a reset."""

    def reset(self, **keywords: Any) -> Any:
        return super().reset(**keywords)[0]


class NoSeed(PointEnv):
    """Takes no seed."""

    def reset(self) -> Any:
        return super().reset()


class Returning(PointEnv):
    """Returns something else than its observation space declares."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self._change = change

    def _see(self) -> Any:
        return self._change(super()._see())


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (OldStep(), r"OldStep must return five values from step, .*expected 5, got 4\)\): return observation, reward"),
        (NoInfo(), "NoInfo must return observation and info from reset, .*got a dict: return observation, {}"),
        (
            NoSeed(),
            r"NoSeed must have a reset with seed .*'seed': write def reset\(self, \*, seed=None, options=None\)",
        ),
        (
            Returning(lambda seen: {key: seen[key] for key in ("observation", "desired_goal")}),
            "Returning must return an observation with .*, got a dict without achieved_goal: return what its obs",
        ),
        (Returning(lambda seen: np.zeros(2)), "Returning must return an observation with .*, got a ndarray without"),
        (
            Returning(lambda seen: seen | {"achieved_goal": np.zeros(3)}),
            r"must return achieved_goal as numbers of shape \(1,\), got float64 of shape \(3,\): return what its obs",
        ),
        (
            Returning(lambda seen: seen | {"observation": np.array(["a", "b"])}),
            r"must return observation as numbers of shape \(2,\), got <U1 of shape \(2,\)",
        ),
    ],
)
def test_env_that_does_not_keep_to_the_interface_is_rejected_in_one_sentence(env: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TDM((limited(env), POINT), SMALL).learn(30)
    if not isinstance(env, OldStep):  # its step is the first one to fail
        with pytest.raises(ValueError, match=message):
            TDM(limited(env), SMALL)


class Unpacking(PointEnv):
    """Has an error of its own in a step."""

    def step(self, action: NDArray[np.float32]) -> Any:
        one, two = action
        return super().step(one + two)


def test_error_of_an_environment_itself_is_not_hidden() -> None:
    with pytest.raises(ValueError, match=r"^not enough values to unpack"):
        TDM((limited(Unpacking()), POINT), SMALL).learn(30)
