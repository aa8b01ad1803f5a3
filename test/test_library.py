"""The library: learn, act, save, load; callbacks; what it says to wrong input."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from tasks_for_tests import POINT, PointEnv, make_point

from tdm_ros import TDM, TdmConfig
from tdm_ros.envs.goal_env import make_env
from tdm_ros.envs.wrappers import Noise
from tdm_ros.planning import KeepOut, PlannerSettings, Status
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.training.callbacks import Callback, Checkpoints, CsvLogger, ProgressBar, TensorBoardLogger
from tdm_ros.training.metrics import EpisodeRow, MetricsFile, read_metrics

SMALL = TdmConfig(hidden_size=16, batch_size=32, learning_starts=60, initial_gradient_steps=40, gradient_steps=1)
NAME = "tasks_for_tests:make_point"
SEEN = {"observation": [0.1, 1.0], "achieved_goal": [0.1], "desired_goal": [0.5]}


@pytest.fixture(scope="module")
def learned() -> TDM:
    return TDM(NAME, TdmConfig(hidden_size=32, batch_size=64, learning_starts=100, gradient_steps=2)).learn(800)


def weights(agent: TDM) -> bytes:
    return agent.learner.actor_bytes()


def test_import_of_the_package_imports_neither_torch_nor_numpy():
    script = (
        "import sys, tdm_ros, tdm_ros.tdm.actor; assert 'torch' not in sys.modules; from tdm_ros import TDM; "
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)


def test_package_attribute_unknown_says_which_there_are():
    with pytest.raises(ImportError, match="TDN"):
        exec("from tdm_ros import TDN")


def test_learned_agent_reaches_its_goals_in_the_units_of_the_environment(learned):
    env = make_point()
    finals = []
    for seed in range(10):
        (seen, _), state = env.reset(seed=1000 + seed), None
        for _ in range(20):
            action, state = learned.predict(seen, state)
            assert env.action_space.contains(action)
            seen, *_ = env.step(action)
        finals.append(abs(seen["achieved_goal"] - seen["desired_goal"])[0])
    assert np.median(finals) < 0.05
    given = TDM((env, learned.task))
    given.learner = learned.learner
    assert given.predict(SEEN)[0] == learned.predict(SEEN)[0]


@pytest.mark.parametrize("name", [NAME, "sawyer_reach", "reacher"])
def test_predict_in_a_loop_ends_where_evaluate_does(name):
    agent = TDM(name, SMALL).learn(120)
    env, task = make_env(name), agent.task
    finals = []
    for episode in range(3):
        (seen, _), state = env.reset(seed=reset_seed("evaluate", 5, episode)), None
        for _ in range(task.episode_steps):
            action, state = agent.predict(seen, state)
            seen, *_ = env.step(action)
        finals.append(float(task.distance(np.float32(seen["achieved_goal"]), np.float32(seen["desired_goal"]))))
    assert tuple(finals) == agent.evaluate(3, seed=5).final_distance


def test_predict_works_with_the_evaluation_of_stable_baselines3(learned):
    means, _ = evaluate_policy(learned, Monitor(make_point()), n_eval_episodes=4, return_episode_rewards=True)
    vector = DummyVecEnv([lambda: Monitor(make_point()) for _ in range(3)])
    evaluate_policy(learned, vector, n_eval_episodes=6)
    assert len(means) == 4


def test_predict_counts_the_steps_of_each_episode(learned):
    batch = {key: np.array([value, value]) for key, value in SEEN.items()}
    _, state = learned.predict(batch)
    _, state = learned.predict(batch, state, episode_start=[False, True])
    assert state[0].tolist() == [2, 1]
    with pytest.raises(ValueError, match="must be those of 2 observations"):
        learned.predict(batch, (np.zeros(3, np.int64),))


def test_stochastic_policy_samples_only_when_asked_to_and_evaluation_never_does():
    agent = TDM(NAME, replace(SMALL, backbone="sac")).learn(80)
    mean, before = agent.predict(SEEN)[0], agent.evaluate(3).final_distance
    sampled = [agent.predict(SEEN, deterministic=False)[0] for _ in range(5)]
    assert len(np.unique(sampled)) > 1
    assert agent.predict(SEEN)[0] == mean
    assert agent.evaluate(3).final_distance == before


def test_plan_leads_to_the_goal_and_policy_with_a_planner_reaches_it(learned):
    plan = learned.plan(SEEN)
    assert plan.usable, plan.reason
    assert plan.knots[-1] == pytest.approx([0.5], abs=0.05)
    policy = learned.planner(PlannerSettings("cem"))
    assert np.median(learned.evaluate(10, policy=policy).final_distance) < 0.05
    assert policy.newest_plan.optimiser == "cem"


@pytest.mark.parametrize("optimiser", ["graph", "cem"])
def test_planner_is_kept_until_something_is_learned_and_plans_as_a_new_one(learned, optimiser, monkeypatch):
    fresh, made, one, other = (
        TDM((make_point(), learned.task)),
        [],
        PlannerSettings(optimiser),
        KeepOut([[[0.7], [0.8]]]),
    )
    fresh.learner = learned.learner
    planner = fresh.planner
    monkeypatch.setattr(fresh, "planner", lambda *given: made.append(given[0]) or planner(*given))
    plans = [fresh.plan(SEEN, [goal], PlannerSettings(optimiser), box) for box in (other, None) for goal in (0.5, 0.75)]
    again = [learned.planner(one, box).planner.plan(*plan_input(goal)) for box in (other, None) for goal in (0.5, 0.75)]
    assert [(plan.status, plan.knots.tolist()) for plan in plans] == [(p.status, p.knots.tolist()) for p in again]
    assert made == [one] and plans[0].cpu_s > 0
    fresh.learner = TDM(NAME, SMALL).learn(80).learner
    assert fresh.plan(SEEN, settings=one) and made == [one, one]


def plan_input(goal):
    return [np.array(values, np.float32) for values in (SEEN["observation"], SEEN["achieved_goal"], [goal])]


def test_policy_with_a_planner_does_not_enter_a_box_that_can_not_be_passed(learned):
    policy, env = learned.planner(keep_out=KeepOut([[[0.2], [0.3]]])), make_point()
    env.reset(seed=0)
    env.unwrapped._at = np.zeros(1)
    seen = SEEN | {"observation": [0.0, 1.0], "achieved_goal": [0.0]}
    for _ in range(20):
        seen, *_ = env.step(policy.act(seen, [0.8]))
        assert seen["achieved_goal"] < 0.2
    assert policy.newest_plan.status is Status.UNREACHABLE


def test_learning_with_a_description_brings_the_actions_to_one(learned):
    agent = TDM((make_point(), learned.task), SMALL).learn(20)
    assert agent.env.action_space.high == 1
    moved = agent.learner.store.column("next_achieved", np.arange(20)) - agent.learner.store.column(
        "achieved", np.arange(20)
    )
    assert np.abs(moved).max() <= 0.1 + 1e-6


def test_predict_of_a_batch_equals_one_by_one(learned):
    batch = {key: np.array([value, value]) for key, value in SEEN.items()}
    both, _ = learned.predict(batch, goal=[[0.2], [-0.4]], steps_left=[3, 0])
    assert both.shape == (2, 1)
    assert both[0] == pytest.approx(learned.predict(SEEN, goal=[0.2], steps_left=3)[0], abs=1e-6)
    assert both[1] == pytest.approx(learned.predict(SEEN, goal=[-0.4], steps_left=0)[0], abs=1e-6)
    assert learned.predict(SEEN, goal=[[0.2], [-0.4]])[0].shape == (2, 1)


def test_predict_leaves_the_goal_to_the_observation(learned):
    assert learned.predict(SEEN)[0] == learned.predict(SEEN, goal=[0.5])[0]
    assert learned.predict(SEEN)[0] != learned.predict(SEEN, goal=[-0.5])[0]


@pytest.mark.parametrize(
    ("seen", "goal", "message"),
    [
        (SEEN, [0.1, 0.2], r"goal must have shape \(1,\) or \(B, 1\) for goal_0, got \(2,\)"),
        (SEEN | {"observation": [0.1]}, None, r"observation must have shape \(2,\) .*got \(1,\)"),
        (SEEN, [np.nan], "goal must be finite, got"),
        ({"observation": [0.1, 1.0]}, None, "lacks achieved_goal, desired_goal"),
        (SEEN | {"observation": np.ones((3, 2))}, np.ones((2, 1)), "batches of one size"),
        (SEEN | {"observation": ["0.1", "1"]}, None, r"observation must be numbers, got \['0\.1', '1'\]"),
        (SEEN | {"observation": [[1, 2], [3]]}, None, r"observation must be numbers, got \[\[1, 2\], \[3\]\]"),
        (SEEN, ["a"], r"goal must be numbers, got \['a'\]"),
        (
            None,
            None,
            "must be a dict with observation, achieved_goal, desired_goal, got None: give the first part of what",
        ),
        (5, [0.1], "must be a dict with observation, achieved_goal, got 5: give"),
        (np.ones(3), None, r"must be a dict with .*, got ndarray of shape \(3,\): give"),
        ((SEEN, {}), None, "must be a dict with .*, got a tuple: give the first part of it"),
    ],
)
def test_predict_of_what_does_not_fit_gives_the_reason(learned, seen, goal, message):
    with pytest.raises(ValueError, match=message):
        learned.predict(seen, goal=goal)


def test_predict_before_learning_names_the_remedy():
    with pytest.raises(RuntimeError, match=r"no update was made after 0 steps: call learn\(\) with more than 60 steps"):
        TDM(NAME, SMALL).predict(SEEN)


def test_saved_agent_is_the_same_and_continues_identically(learned, tmp_path):
    first = TDM(make_point(), SMALL, seed=4).learn(100)
    again = TDM.load(first.save(tmp_path), make_point())
    assert (again.steps, again.updates) == (100, first.updates)
    assert weights(again) == weights(first)
    assert weights(again.learn(60)) == weights(first.learn(60))
    assert again.steps == 160


def test_two_agents_with_one_seed_are_equal_bit_for_bit_and_another_seed_differs():
    one, two, other = (weights(TDM(NAME, SMALL, seed).learn(120)) for seed in (3, 3, 4))
    assert one == two != other


def test_validation_does_not_disturb_learning():
    assert weights(TDM(NAME, SMALL).learn(120)) == weights(TDM(NAME, SMALL).learn(120, validate_every=50))


def test_schedule_is_that_of_the_first_call_or_of_the_settings_or_of_the_call_that_resets_it():
    progress = []

    class Noted(Callback):
        def on_step(self, agent):
            progress.append(agent.learner.progress)

    def during(agent, *arguments, **keywords):
        progress.clear()
        agent.learn(*arguments, callback=Noted(), **keywords)
        return progress[0], progress[-1]

    agent = TDM(NAME, SMALL)
    assert during(agent, 40) == (1 / 40, 1)
    assert during(agent, 40) == during(agent, 20) == (0, 0), "further calls do not run it to its end again"
    assert during(agent, 40, reset_num_timesteps=True) == (1 / 40, 1), "unless they are asked to"
    constant = TDM(NAME, SMALL)
    assert during(constant, 40, reset_num_timesteps=False) == (0, 0)
    fixed = TDM(NAME, TdmConfig(learning_starts=60, total_timesteps=400))
    assert during(fixed, 40) == pytest.approx((1 / 400, 0.1))
    assert during(fixed, 40) == pytest.approx((41 / 400, 0.2))


def test_schedule_of_a_call_continues_after_a_kill(tmp_path):
    agent = TDM(NAME, SMALL).learn(40)
    agent.learn(80, [Checkpoints(tmp_path, 40), Note(steps=60)], reset_num_timesteps=True)
    again = TDM.load(tmp_path)
    assert (again.steps, again.learner.progress) == (80, 0.5)


def test_progress_bar_is_shown_when_asked_for(capsys):
    TDM(NAME, SMALL).learn(20, progress_bar=True)
    assert "20/20" in capsys.readouterr().err


class Note(Callback):
    """Notes what it is told, and stops after a number of steps or episodes."""

    def __init__(self, steps: int = 10**9, episodes: int = 10**9) -> None:
        self.steps, self.episodes, self.calls = steps, episodes, []

    def on_start(self, agent):
        self.calls.append("start")

    def on_step(self, agent):
        self.calls.append("step")
        return self.calls.count("step") < self.steps

    def on_episode(self, agent, row):
        self.calls.append(row.mode)
        return self.calls.count("train") < self.episodes

    def on_validation(self, agent, rows):
        self.calls.append(len(rows))

    def on_end(self, agent):
        self.calls.append("end")


def test_callback_is_called_for_steps_episodes_and_validations_in_order():
    note = Note()
    TDM(NAME, SMALL).learn(120, [note], validate_every=100)
    assert note.calls[0] == "start" and note.calls[-1] == "end"
    assert note.calls.count("step") == 120 and note.calls.count("train") == 6
    assert note.calls[1 + 100 + 4] == 20, "a validation of 20 episodes, within the fifth training episode"


def test_callback_that_returns_false_stops_at_once_or_after_the_episode():
    at_step, at_episode = Note(steps=33), Note(episodes=2)
    assert TDM(NAME, SMALL).learn(1000, at_step).steps == 33
    agent = TDM(NAME, SMALL).learn(1000, callback=at_episode)
    assert agent.steps == 40 and at_episode.calls[-1] == "end"
    assert agent.learn(20).steps == 60, "it can go on"


@pytest.mark.parametrize("value", [False, np.False_, 0])
def test_callback_that_returns_any_false_value_stops(value):
    class Stop(Callback):
        def on_episode(self, agent, row):
            return value

    assert TDM(NAME, SMALL).learn(60, Stop()).steps == 20


def test_callback_is_closed_after_an_error():
    note = Note()
    agent = TDM(NAME, SMALL)
    agent.env.step = None
    with pytest.raises(TypeError):
        agent.learn(10, [note])
    assert note.calls == ["start", "end"]


def test_callbacks_of_a_run_leave_what_the_console_program_reads(tmp_path, capsys):
    agent = TDM(NAME, SMALL)
    callbacks = [ProgressBar(), CsvLogger(tmp_path), TensorBoardLogger(tmp_path / "board"), Checkpoints(tmp_path, 50)]
    agent.learn(130, callbacks, validate_every=100)
    rows = list(read_metrics(tmp_path))
    assert [row.mode for row in rows].count("validate") == 20
    assert [row.step for row in rows if row.mode == "train"] == [20, 40, 60, 80, 100, 120, 130]
    assert list((tmp_path / "board").iterdir())
    assert TDM.load(tmp_path).steps == 120, "the last end of an episode 50 steps after the one before"
    assert "130/130" in capsys.readouterr().err


def test_metrics_later_than_the_checkpoint_are_dropped_with_a_torn_line(tmp_path):
    file = MetricsFile(tmp_path)
    rows = [EpisodeRow(1.0, step, step // 20, "train", 0.1 / 3, 0, "time_limit", "0.1") for step in (20, 40, 60)]
    for row in rows:
        file.append(row)
    file.close()
    with (tmp_path / "metrics.csv").open("a") as torn:
        torn.write("4.0,80,4,tra")
    MetricsFile(tmp_path, 40).append(rows[2])
    assert list(read_metrics(tmp_path)) == rows
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 4


def test_load_with_an_environment_of_other_sizes_names_both(learned, tmp_path):
    learned.save(tmp_path)
    with pytest.raises(ValueError, match=r"with observations of 2 numbers, task sawyer_reach_velocity has 17; give"):
        TDM.load(tmp_path, "sawyer_reach")
    with pytest.raises(ValueError, match=r"environment is point:.*different name, .*; give the environment"):
        TDM.load(tmp_path, (PointEnv(), POINT))


def test_load_of_an_agent_of_an_environment_object_asks_for_it(tmp_path):
    TDM(make_point(), SMALL).learn(20).save(tmp_path)
    with pytest.raises(
        ValueError, match=r"in an environment object of task PointEnv: pass it, TDM\.load\(\.\.\., env=\.\.\.\)"
    ):
        TDM.load(tmp_path)


def test_agent_with_noise_is_loaded_with_it_and_continues_identically(tmp_path):
    noise = Noise(action=0.2, observation=0.1)
    first = TDM(NAME, SMALL, noise=noise).learn(100)
    again = TDM.load(first.save(tmp_path))
    assert again.noise == noise
    assert weights(again.learn(60)) == weights(first.learn(60)) != weights(TDM(NAME, SMALL).learn(100).learn(60))


def test_documented_lines_run_as_they_stand(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parent.parent / "docs" / "library.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for shown, small in (
        ('"sawyer_reach"', f'"{NAME}"'),
        ("seed=0)", "seed=0, config=small)"),
        ("5000", "200"),
        ("1000", "40"),
        ("[0.6, 0.2, 0.3]", "[0.6]"),
    ):
        assert shown in code
        code = code.replace(shown, small)
    monkeypatch.chdir(tmp_path)
    exec(code, {"small": SMALL})
    assert {"checkpoint", "calibration.png", "metrics.csv"} <= {path.name for path in Path("runs/mine").iterdir()}
    assert "Reachability" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TDM(NAME, seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda: TDM(NAME, seed=1.5), r"seed must be a whole number >= 0, got 1\.5"),
        (lambda: TDM(NAME, horizon=-1), "horizon must be a whole number >= 0, got -1"),
        (lambda: TDM(NAME, horizon=2.5), r"horizon must be a whole number >= 0, got 2\.5"),
        (lambda: TDM(NAME, config={"batch_size": 32}), r"config must be a TdmConfig, got \{'batch_size': 32\}"),
        (lambda: TDM(NAME, config={"a": 1}), r": write config=TdmConfig\(\*\*settings\)"),
        (lambda: TDM(NAME, config="paper"), r"got 'paper': write config=TdmConfig\.preset\('paper'\)"),
        (lambda: TDM(NAME, config=TdmConfig), r"got the class TdmConfig: write config=TdmConfig\(\.\.\.\)"),
        (lambda: TDM(NAME, make_point()), r"config must be a TdmConfig, got .*: the order is TDM\(env, config\)"),
        (lambda: TDM("MlpPolicy", make_point()), r"env must come first, got the policy 'MlpPolicy': write TDM\(env\)"),
        (lambda: TDM(NAME, noise=0.1), r"noise must be a Noise, got 0\.1: write noise=Noise\(\.\.\.\)"),
        (lambda: TDM(NAME, device="cuda:99"), 'device "cuda:99" cannot be used: PyTorch .* CUDA devices; use "c'),
        (lambda: TDM(NAME, device=None), 'device must be "cpu", "cuda" or "cuda:N", got "None"'),
        (lambda: TDM(NAME, SMALL, test_env=Wide()), "test_env cannot be used: .*with observations of 2 .* has 3"),
        (lambda: TDM((make_point(), POINT), SMALL, test_env=Other()), "test_env cannot be used: .*different name"),
        (lambda: TDM.load(None), "directory must be a path, got None: give the folder"),
        (lambda: TDM(NAME, SMALL).save(None), "directory must be a path, got None: give the folder"),
        (lambda: Checkpoints(None), "directory must be a path, got None: give the folder"),
        (lambda: CsvLogger(5), "directory must be a path, got 5: give the folder"),
        (lambda: TensorBoardLogger(5), "directory must be a path, got 5: give the folder"),
        (lambda: TDM(NAME, SMALL).learn(0), "total_timesteps must be a whole number >= 1, got 0"),
        (lambda: TDM(NAME, SMALL).learn(1.5), r"total_timesteps must be a whole number >= 1, got 1\.5"),
        (lambda: TDM(NAME, SMALL).learn(10, callback=print), "got the function print: write a subclass of tdm_ros"),
        (
            lambda: TDM(NAME, SMALL).learn(10, callback=[3]),
            "callback must be a Callback or a sequence of them, got 3: w",
        ),
        (lambda: TDM(NAME, SMALL).learn(10, callback=CheckpointCallback(5, "")), "got <stable_.*: write a subclass of"),
        (lambda: TDM(NAME, SMALL).learn(10, callback=Note), r"got the class Note: call it, Note\(\)"),
        (
            lambda: TDM(NAME, SMALL).learn(10, callback=NoAgent()),
            r"NoAgent\.on_step must take the arguments agent, got \(\): write def on_step\(self, agent\)",
        ),
        (lambda: TDM(NAME, SMALL).learn(10, validate_every=-1), "validate_every must be a whole number >= 0, got -1"),
        (lambda: TdmConfig(batch_size=1.5), r"TdmConfig.batch_size must be a whole number, got 1\.5"),
        (lambda: TdmConfig(gradient_steps=True), r"TdmConfig.gradient_steps must be a whole number, got True"),
        (lambda: TdmConfig(hidden_size="a"), "TdmConfig.hidden_size must be a whole number, got 'a'"),
        (lambda: TdmConfig(learning_rate="x"), "TdmConfig.learning_rate must be a finite number, got 'x'"),
        (lambda: TdmConfig(learning_rate=np.nan), "TdmConfig.learning_rate must be a finite number, got nan"),
        (lambda: TdmConfig(action_noise_std=np.inf), "TdmConfig.action_noise_std must be a finite number, got inf"),
        (lambda: TdmConfig(goals=3), "TdmConfig.goals must be a GoalMix, got 3"),
        (lambda: TdmConfig(critic=["residual"]), "TdmConfig.critic must be one of residual, structured, unstructured"),
    ],
)
def test_wrong_argument_is_rejected_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class Wide(PointEnv):
    """A point that observes one more number."""

    def __init__(self):
        super().__init__()
        spaces = self.observation_space.spaces
        self.observation_space = gym.spaces.Dict({**spaces, "observation": gym.spaces.Box(-2.0, 2.0, (3,))})


class Other(PointEnv):
    """A point of another description."""

    task = replace(POINT, name="other")


class NoAgent(Callback):
    """Has a method without its argument."""

    def on_step(self):
        return True


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda agent: agent.predict(SEEN, steps_left=-1), "steps_left must be whole numbers >= 0, got -1"),
        (lambda agent: agent.predict(SEEN, steps_left=[1, 2.5]), r"steps_left must be whole .*, got \[1, 2\.5\]"),
        (lambda agent: agent.predict(SEEN, steps_left="a"), "steps_left must be whole numbers >= 0, got 'a'"),
        (lambda agent: agent.reachability(SEEN, steps=2.5), r"steps must be whole numbers from 1 to 16, .*, got 2\.5"),
        (lambda agent: agent.reachability(SEEN, steps=np.nan), "steps must be whole numbers from 1 to 16, .*, got nan"),
        (lambda agent: agent.reachability(None), "must be a dict with observation, .* got None"),
        (
            lambda agent: agent.plan({key: [value] * 2 for key, value in SEEN.items()}),
            "for one state .*a batch of 2: plan",
        ),
        (
            lambda agent: agent.planner().act(SEEN, [[0.1]] * 2),
            "for one state and one goal, got a batch of 2: plan each",
        ),
        (lambda agent: agent.planner("cem"), r"settings must be a PlannerSettings, got 'cem': write settings=Planner"),
        (lambda agent: agent.plan(SEEN, settings="cem"), "settings must be a PlannerSettings, got 'cem'"),
        (
            lambda agent: agent.plan(SEEN, keep_out=[[0, 1]]),
            r"keep_out must be a KeepOut, got \[\[0, 1\]\]: write keep_out",
        ),
        (lambda agent: agent.evaluate("5"), "episodes must be a whole number >= 1, got '5'"),
        (lambda agent: agent.evaluate(2.5), r"episodes must be a whole number >= 1, got 2\.5"),
        (lambda agent: agent.evaluate(2, seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda agent: agent.calibrate(2.5), r"episodes must be a whole number >= 2, got 2\.5"),
        (lambda agent: agent.calibrate(1), "episodes must be a whole number >= 2, got 1"),
        (lambda agent: agent.learn_from(5), "recordings must be a path, got 5"),
        (lambda agent: agent.predict(SEEN, steps_left=np.inf), "steps_left must be whole numbers >= 0, got inf"),
        (lambda agent: Checkpoints("runs/x", every_steps=2.5), r"every_steps must be a whole number >= 1, got 2\.5"),
        (lambda agent: agent.calibrate(4, directory=5), "directory must be a path, got 5"),
        (
            lambda agent: agent.evaluate(2, policy=agent),
            r"function of one PolicyInput, got <.*: give .*agent\.policy\(\)",
        ),
        (
            lambda agent: agent.evaluate(2, policy=agent.predict),
            "PolicyInput, got the function predict: give the result",
        ),
        (
            lambda agent: agent.evaluate(2, policy=lambda now: [0.0, 0.0]),
            r"numbers of shape \(1,\), got \[0\.0, 0\.0\]: r",
        ),
        (lambda agent: agent.evaluate(2, policy=lambda now: None), r"finite numbers of shape \(1,\), got None: return"),
        (
            lambda agent: agent.evaluate(2, policy=lambda now: [np.nan]),
            r"finite numbers of shape \(1,\), got \[nan\]: r",
        ),
    ],
)
def test_wrong_argument_of_a_learned_agent_is_rejected_in_one_sentence(learned, call, message):
    with pytest.raises(ValueError, match=message):
        call(learned)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TdmConfig(learning_rte=1e-3), r"has no setting 'learning_rte' \(did you mean learning_rate\?\)"),
        (lambda: TdmConfig(gamma=0.9), r"has no setting 'gamma' \(a TDM has no discount"),
        (lambda: TdmConfig(tau=0.9), r"has no setting 'tau' \(did you mean polyak\?\)"),
        (lambda: TdmConfig(buffer_size=9), r"has no setting 'buffer_size' \(the replay buffer holds the last million"),
        (
            lambda: TDM(NAME, learning_rate=1e-3),
            r"'learning_rate' \(it is a setting\); .* in config=TdmConfig\(\.\.\.\)",
        ),
        (
            lambda: TDM(NAME, verbose=1),
            r"TDM has no argument 'verbose' \(learn\(progress_bar=True\) shows the progress\)",
        ),
        (lambda: TDM(NAME, sed=1), r"TDM has no argument 'sed' \(did you mean seed\?\)"),
        (
            lambda: TDM(NAME, random_steps=1),
            r"'random_steps' \(did you mean learning_starts\?\)",
        ),
    ],
)
def test_unknown_name_is_rejected_with_the_nearest_one(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_load_of_a_folder_that_does_not_exist_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .*nothing does not exist; give a directory"):
        TDM.load(tmp_path / "nothing")


def test_numbers_of_numpy_are_accepted():
    config = TdmConfig(batch_size=np.int64(32), learning_rate=np.float32(1e-3), learning_starts=np.int32(20))
    assert TDM(NAME, config, seed=np.int64(3)).learn(np.int64(25)).steps == 25
    json.dumps(config.to_json())
