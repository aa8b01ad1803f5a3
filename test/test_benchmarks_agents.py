"""The learners of the benchmarks: all under the same conditions, each able to learn what is easy."""

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from tasks_for_tests import POINT

from benchmarks.agents import make_agent
from benchmarks.agents.model_based import DeltaModel, ModelBased
from benchmarks.agents.same_inputs import NetworkInputs, SameInputs
from benchmarks.agents.sb3 import Baseline, HindsightEnv, policy_of
from benchmarks.agents.temporal_difference import TemporalDifference
from benchmarks.cases import CASES, EVALUATION_SEED, GOALS, Case, Run
from benchmarks.trial import PARTIAL, Trial, measure
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import INDEX
from tdm_ros.training.evaluation import rollout
from tdm_ros.training.learner import Learner
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

TASK = "tasks_for_tests:make_point"
SETTINGS = {
    "hidden_size": 16,
    "batch_size": 32,
    "learning_starts": 60,
    "initial_gradient_steps": 40,
    "gradient_steps": 1,
}
SMALL = TdmConfig(**SETTINGS)
SMALL_TDM = TemporalDifference(None, "", SETTINGS)
SMALL_MPC = ModelBased(sequences=64, length=5, config=SMALL, goals=5)


class Listening:
    """A stand-in for `Trial` that counts."""

    def __init__(self, env, task, run):
        self.env, self.task, self.run, self.heard = env, task, run, []

    def after_step(self, steps, updates, policy):
        self.heard.append((steps, updates))
        self.policy = policy


def stand_in(steps, seed=0):
    env, task = make_goal_env(TASK)
    return Listening(env, task, Run(TASK, "x", seed, steps))


def random_phase_of_tdm(seed, steps):
    env, task = make_goal_env(TASK)
    learner = Learner(task, TdmConfig(learning_starts=500), seed)
    OnlineTrainer(env, env, learner, TrainingSchedule(steps, 0)).run()
    return learner.store.dump()


def test_inputs_of_sb3_equal_those_of_the_tdm():
    rng = np.random.default_rng(0)
    inputs = NetworkInputs(POINT, near_scale=0.15)
    inputs.freeze(rng.normal(3, 2, (50, 2)).astype(np.float32))
    seen = {
        "observation": rng.normal(3, 2, (8, 2)).astype(np.float32),
        "achieved_goal": rng.normal(size=(8, 1)).astype(np.float32),
        "desired_goal": rng.normal(size=(8, 1)).astype(np.float32),
    }
    space = HindsightEnv(*make_goal_env(TASK), seed=0).observation_space
    found = SameInputs(space, inputs)({key: torch.from_numpy(value) for key, value in seen.items()}).numpy()
    state = 5 * np.arcsinh((seen["observation"] - inputs.features.mean) / (5 * inputs.features.std))
    gap = (seen["desired_goal"] - seen["achieved_goal"]) / POINT.goal.scale
    expected = np.concatenate([state, gap, np.tanh(gap / 0.15)], axis=-1)
    np.testing.assert_allclose(found[:, :4], expected, rtol=1e-5, atol=1e-6)
    assert found.shape[1] == 5 and len(set(found[:, 4])) == 1  # the horizon says nothing to an agent without one


@pytest.mark.parametrize("kind", ["sac", "td3", "ddpg", "tqc"])
def test_sb3_random_phase_is_that_of_the_tdm_of_the_same_seed(kind):
    env, task = make_goal_env(TASK)
    model = Baseline(kind, config=SMALL).algorithm(env, task, seed=3, steps=70)
    model.learn(70, log_interval=None)
    expected = random_phase_of_tdm(3, 60)
    buffer = model.replay_buffer
    np.testing.assert_array_equal(buffer.actions[:60, 0], expected["action"])
    np.testing.assert_array_equal(buffer.observations["observation"][:60, 0], expected["observation"])
    np.testing.assert_array_equal(buffer.observations["desired_goal"][:60, 0], expected["desired"])
    inputs = model.course.inputs
    np.testing.assert_allclose(inputs.features.mean, expected["observation"].mean(axis=0), rtol=1e-5)
    assert model.actor.features_extractor.inputs is inputs and model.critic_target.features_extractor.inputs is inputs


@pytest.mark.parametrize(("agent", "per_step"), [(Baseline("td3", config=SMALL, gradient_steps=3), 3), (SMALL_MPC, 1)])
def test_updates_of_baselines_follow_the_schedule_of_the_tdm(agent, per_step):
    trial = stand_in(steps=70)
    agent.train(trial)
    # The catch-up of 40 updates is for one update a step.
    assert trial.heard[-1] == (70, 40 * per_step + 10 * per_step)


def test_reward_of_sb3_is_the_distance_in_parts_of_the_goal_scale():
    env, task = make_goal_env("sawyer_reach")
    wrapped = HindsightEnv(env, task, seed=0)
    achieved = np.zeros((2, 3))
    goal = np.array([[0.2, 0.2, 0.2], [0.1, 0.0, 0.0]])
    reward = wrapped.compute_reward(achieved, goal, [{}, {}])
    np.testing.assert_allclose(reward, [-np.sqrt(3), -0.5], rtol=1e-6)


def test_plain_sb3_has_its_own_inputs():
    env, task = make_goal_env(TASK)
    model = Baseline("sac", plain=True, config=SMALL).algorithm(env, task, seed=0, steps=70)
    assert model.course.inputs is None and not isinstance(model.actor.features_extractor, SameInputs)


def test_sb3_policy_is_deterministic_and_sees_the_goal():
    env, task = make_goal_env(TASK)
    model = Baseline("sac", config=SMALL).algorithm(env, task, seed=0, steps=300)
    model.learn(300, log_interval=None)
    act, situations = policy_of(model), []
    for _ in rollout(env, task, lambda now: (situations.append(now), env.action_space.sample())[1], seed=0):
        pass
    situation = situations[0]

    def at(goal):
        return act(situation._replace(goal=np.array([goal], np.float32)))

    assert np.array_equal(at(0.9), at(0.9)) and not np.array_equal(at(0.9), at(-0.9))


def test_model_learns_how_the_point_moves():
    data = {name: column for name, column in random_phase_of_tdm(0, 200).items() if len(column) == 200}
    model = DeltaModel(POINT, seed=0)
    model.fit_scales(data)
    rng = np.random.default_rng(0)
    for _ in range(300):
        index = rng.integers(0, 200, 64)
        model.update({name: column[index] for name, column in data.items()})
    action = torch.tensor([[1.0], [-0.5]])
    seen, achieved = model.step(torch.tensor([[0.0, 1.0]] * 2), torch.zeros(2, 1), action)
    np.testing.assert_allclose(achieved.numpy(), [[0.1], [-0.05]], atol=0.01)
    np.testing.assert_allclose(seen.numpy(), [[0.1, 1.0], [-0.05, 1.0]], atol=0.01)


def test_model_based_agent_reaches_on_the_point_task(tmp_path):
    run = Run(TASK, "mpc", 0, 200)
    trial = Trial(run, SMALL_MPC, tmp_path)
    SMALL_MPC.train(trial)
    assert [row["steps"] for row in trial.rows] == [100, 150, 200]  # at 50 there was no model yet
    assert trial.rows[-1]["mean"] < 0.1 and trial.rows[-1]["goals"] == 5


@pytest.mark.parametrize("agent", [SMALL_TDM, SMALL_MPC, Baseline("sac", config=SMALL), Baseline("ddpg", config=SMALL)])
def test_evaluation_does_not_disturb_learning(tmp_path, agent, monkeypatch):
    finals = []
    for steps in ((100, 200), (200,)):
        monkeypatch.setattr("benchmarks.trial.marks", lambda task, length, chosen=steps: chosen)
        trial = Trial(Run(TASK, "x", 0, 200), agent, tmp_path / str(len(steps)))
        agent.train(trial)
        finals.append(trial.rows[-1]["finals"])
    if not isinstance(agent, ModelBased):  # its planner draws anew whenever it is judged, from numbers of its own
        assert finals[0] == finals[1]
    assert len(finals[0]) == (agent.goals or GOALS)


def test_case_names_the_remedy_many_goals_are_judged_unless_the_agent_judges_slowly(tmp_path, monkeypatch):
    monkeypatch.setitem(CASES, TASK, Case(80, goals=3))
    for agent, judged in ((SMALL_TDM, 3), (Baseline("td3", config=SMALL), 3), (replace(SMALL_TDM, goals=2), 2)):
        trial = Trial(Run(TASK, "x", 0, 80), agent, tmp_path / f"{type(agent).__name__}{agent.goals}")
        agent.train(trial)
        assert trial.rows[-1]["goals"] == len(trial.rows[-1]["finals"]) == judged


def test_every_agent_and_seed_is_judged_on_the_same_goals(tmp_path, monkeypatch):
    resets = []
    env_class = make_goal_env(TASK)[0].unwrapped.__class__
    reset = env_class.reset

    def listening(self, *, seed=None, options=None):
        resets.append(seed)
        return reset(self, seed=seed, options=options)

    monkeypatch.setattr(env_class, "reset", listening)
    expected = [reset_seed("evaluate", EVALUATION_SEED, goal) for goal in range(50)]
    for agent, seed in ((SMALL_TDM, 0), (SMALL_TDM, 1), (Baseline("td3", config=SMALL), 0)):
        resets.clear()
        trial = Trial(Run(TASK, "x", seed, 80), agent, tmp_path / f"{seed}{type(agent).__name__}")
        agent.train(trial)
        judged = resets[-50:]
        assert judged == expected


class KilledError(Exception):
    """Stands for the end of the process."""


def test_tdm_that_is_killed_continues_and_ends_where_an_uninterrupted_one_does(tmp_path):
    run = Run(TASK, "tdm", 0, 400)
    agent = replace(SMALL_TDM, goals=5)
    whole = Trial(run, agent, tmp_path / "whole")
    agent.train(whole)

    def die(steps):
        if steps > 330:
            raise KilledError

    broken = Trial(run, agent, tmp_path / "broken", die)
    killed_at = _train_until_killed(agent, broken)
    assert killed_at > 330 and (tmp_path / "broken" / "checkpoint" / INDEX).exists()
    assert (tmp_path / "broken" / PARTIAL).exists()

    steps = []
    resumed = Trial(run, agent, tmp_path / "broken")
    after_step = resumed.after_step
    resumed.after_step = lambda at, *rest: (steps.append(at), after_step(at, *rest))[1]
    agent.train(resumed)
    assert steps[0] > 200 and steps[-1] == 400
    timeless = [[{k: v for k, v in row.items() if not k.endswith("_s")} for row in t.rows] for t in (whole, resumed)]
    assert timeless[0] == timeless[1]
    assert resumed.rows[0]["wall_s"] < resumed.rows[-1]["wall_s"]


def _train_until_killed(agent, trial):
    reached = []
    after_step = trial.after_step

    def counting(steps, *rest):
        reached.append(steps)
        trial._told_s = -np.inf  # report every step
        after_step(steps, *rest)

    trial.after_step = counting
    with pytest.raises(KilledError):
        agent.train(trial)
    return reached[-1]


def test_tdm_with_other_settings_rejects_the_checkpoint_of_a_run(tmp_path):
    run = Run(TASK, "tdm", 0, 200)
    trial = Trial(run, SMALL_TDM, tmp_path)
    trial._report = lambda steps: (_ for _ in ()).throw(KilledError) if steps > 150 else None
    _train_until_killed(SMALL_TDM, trial)
    other = TemporalDifference(None, "", {**SETTINGS, "batch_size": 16})
    with pytest.raises(ValueError, match="other settings; remove it"):
        other.train(Trial(run, other, tmp_path))


def test_measure_leaves_a_result_and_nothing_half_done(tmp_path):
    settings = ",".join(f"{key}={value}" for key, value in SETTINGS.items())
    result = measure(Run(TASK, f"tdm_T2,{settings}", 1, 100), tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert [row["steps"] for row in result["rows"]] == [75, 100]
    assert result["task_spec"]["horizon"] == 2 and result["rows"][-1]["goals"] == 50
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["result.json"]


def test_a_run_whose_versions_cannot_be_told_ends_before_it_learns(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("benchmarks.trial.version", missing)
    with pytest.raises(PackageNotFoundError):
        measure(Run(TASK, "tdm", 0, 10**9), tmp_path)


def test_sb3_next_goals_are_half_of_the_hindsight_goals():
    env, task = make_goal_env(TASK)
    model = make_agent("tqc_her_next_u5").algorithm(env, task, seed=0, steps=70)
    model.learn(70, log_interval=None)
    buffer, at = model.replay_buffer, np.arange(60)
    goals = buffer._sample_goals(at, np.zeros(60, int))
    np.testing.assert_array_equal(goals[::2], buffer.next_observations["achieved_goal"][:60:2, 0])
    assert not np.allclose(goals[1::2], buffer.next_observations["achieved_goal"][1:60:2, 0])


def test_agent_names_choose_horizon_updates_preset_and_settings():
    assert make_agent("tdm").configured(7) == TdmConfig(total_timesteps=7)
    agent = make_agent("tdm_T0_u2,one_step_model=False,vector_distance=False")
    assert agent.horizon == 0
    changed = {"gradient_steps": 2, "one_step_model": False, "vector_distance": False}
    assert agent.configured(7) == TdmConfig(total_timesteps=7, **changed)
    paper = make_agent("tdm_paper").configured(7)
    assert paper.hidden_size == TdmConfig.preset("paper").hidden_size == 300
    baseline = make_agent("ddpg_her_plain_u5")
    assert (baseline.kind, baseline.plain, baseline.gradient_steps) == ("ddpg", True, 5)
    assert isinstance(make_agent("mpc"), ModelBased)


@pytest.mark.parametrize("name", ["ppo", "sac", "tdm_her", "sac_her_T3", "tdm,no_such=1", "tdm_nobody", "mpc_u2"])
def test_agent_unknown_is_rejected_with_what_there_is(name):
    with pytest.raises(ValueError, match=r"got .*|preset must be one of"):
        make_agent(name)
