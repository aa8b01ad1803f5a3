"""The update does what the paper says, the numpy actor is the torch one, and a point learns to go where it is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tasks_for_tests import POINT
from tasks_for_tests import learner_of_a_point as filled_learner

from tdm_ros.replay import Batch, Step
from tdm_ros.replay.relabel import GoalMix
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.update import UpdateBatch
from tdm_ros.training.learner import Learner

CONFIG = TdmConfig(
    hidden_size=32,
    batch_size=64,
    learning_starts=100,
    initial_gradient_steps=200,
    horizon_schedule="hold",
    one_step_model=False,
)


def an_agent(seed: int = 0, config: TdmConfig = CONFIG) -> TdmAgent:
    observations = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    reaches = np.arange(1, 7, dtype=np.float32) / 6
    return TdmAgent(POINT, config, Features.fit(POINT, observations, 0.15, reaches, config.relative_goal), seed)


def inputs_of(agent: TdmAgent, batch: Batch) -> UpdateBatch:
    """The first of the batches as tensors."""
    return UpdateBatch(*(part[0] for part in agent._inputs(batch)))


def a_batch(steps_left: float, terminated: bool = False, seed: int = 2) -> Batch:
    rng = np.random.default_rng(seed)

    def draw(size: int) -> np.ndarray:
        return rng.normal(size=(1, 64, size)).astype(np.float32)

    left = np.full((1, 64), steps_left, np.float32)
    return Batch(draw(2), draw(1), draw(2), draw(1), draw(1), draw(1), left, np.full((1, 64), terminated))


def learner_of_a_point(steps: int, seed: int = 0, config: TdmConfig = CONFIG) -> Learner:
    return filled_learner(steps, config, seed)


def test_no_steps_left_uses_the_distance_of_the_next_state():
    """Pin of the off-by-one between the paper and its blog: steps_left = 0 means one step."""
    agent, batch = an_agent(), a_batch(0)
    x = agent._inputs(batch)
    assert x.done.all()
    one = inputs_of(agent, batch)
    expected = torch.from_numpy(np.abs(batch.goal - batch.next_achieved))[0] * (POINT.horizon + 1)
    assert torch.allclose(agent._update._target(agent._state, one, None), expected, atol=1e-5)


def test_steps_left_bootstraps_with_one_step_less():
    agent, batch = an_agent(), a_batch(3)
    x = agent._inputs(batch)
    assert not x.done.any()
    np.testing.assert_allclose(x.next_inputs[..., -1], 2 * 2 / POINT.horizon - 1, atol=1e-6)
    np.testing.assert_allclose(x.next_reachable / x.reachable, 3 / 4, atol=1e-6)


def test_terminated_ends_the_horizon():
    assert an_agent()._inputs(a_batch(3, terminated=True)).done.all()


def test_target_is_the_farther_vector_as_a_whole_not_a_maximum_per_dimension():
    agent = an_agent()
    x = inputs_of(agent, a_batch(3))
    with torch.no_grad():
        action = agent._update._mean_action(agent._state["target_actor"], x.next_inputs, None)
        predicted = agent.critic(agent._state["target_critic"], torch.cat([x.next_inputs, action], -1))
        misses = (predicted - x.next_target).abs()
        worse = misses.norm(dim=-1).argmax(0)
        expected = misses[worse, torch.arange(64)] * (x.next_reachable / x.reachable)
    assert torch.allclose(agent._update._target(agent._state, x, None), expected)


def test_update_the_targets_follow_slowly():
    agent = an_agent()
    before = {name: agent._state[name].clone() for name in ("target_critic", "target_actor")}
    agent.update(a_batch(3))
    for name, old in before.items():
        source = agent._state[name.removeprefix("target_")]
        assert torch.allclose(agent._state[name], old + CONFIG.polyak * (source - old), atol=1e-7)
        assert not torch.equal(agent._state[name], old)


def test_update_makes_the_steps_that_torch_optim_adam_makes():
    """The critic's first two steps, from gradients that plain autograd takes of plain losses."""
    agent = an_agent()
    flat = agent._state["critic"].clone().requires_grad_()
    adam = torch.optim.Adam([flat], lr=CONFIG.learning_rate)
    for seed in (2, 3):
        x = inputs_of(agent, a_batch(0, seed=seed))
        miss = (agent.critic(flat, torch.cat([x.inputs, x.action], -1)) - x.target).abs()
        adam.zero_grad()
        (CONFIG.loss_scale * (miss - x.next_distance)).square().mean().backward()
        adam.step()
        agent.update(a_batch(0, seed=seed))
        assert torch.allclose(agent._state["critic"], flat, atol=1e-6)


def test_update_the_actor_descends_the_distance_and_the_action_penalty():
    """Its first Adam step goes against the gradient of distance, by the updated critic, plus pull."""
    agent = an_agent()
    before, batch = agent._state["actor"].clone(), a_batch(2)
    x = inputs_of(agent, batch)
    agent.update(batch)
    flat = before.clone().requires_grad_()
    action = agent._update._mean_action(flat, x.inputs, None)
    gap = agent.critic.first(agent._state["critic"], torch.cat([x.inputs, action], -1)) - x.target
    distance = CONFIG.loss_scale * gap.norm(dim=-1).mean()
    (slope,) = torch.autograd.grad(distance, action, retain_graph=True)
    pull = CONFIG.action_penalty * slope.norm(dim=-1).mean().detach() * 0.5 * action.square().sum()
    (distance + pull).backward()
    moved = agent._state["actor"] - before
    clear = flat.grad.abs() > 1e-6
    assert clear.sum() > 100
    assert (torch.sign(moved[clear]) == -torch.sign(flat.grad[clear])).all()


def test_averaged_actor_follows_the_last_updates():
    agent = an_agent(config=replace(CONFIG, actor_ema=0.5))
    expected = agent._state["actor_ema"].clone()
    for number in range(1, 41):
        agent.update(a_batch(1, seed=number))
        expected = expected.lerp(agent._state["actor"], max(10 / (number + 9), 0.5))
        assert torch.allclose(agent._state["actor_ema"], expected, atol=1e-6), number


def test_numpy_actor_equals_the_torch_actor():
    agent = an_agent()
    agent.update(a_batch(2))
    actor = NumpyActor.from_bytes(agent.actor_bytes())
    batch = a_batch(4)
    x = inputs_of(agent, batch)
    expected = agent._update._mean_action(agent._state["actor_ema"], x.inputs, None).detach().numpy()
    got = [actor.act(batch.observation[0, i], batch.achieved[0, i], batch.goal[0, i], 4) for i in range(64)]
    np.testing.assert_allclose(np.array(got), expected, atol=1e-5)


def test_actor_blob_damaged_is_rejected():
    data = an_agent().actor_bytes()
    with pytest.raises(ValueError, match="not the safetensors file of an actor"):
        NumpyActor.from_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not the safetensors file of an actor"):
        NumpyActor.from_bytes(b"")


def test_actor_with_nan_weights_is_rejected():
    agent = an_agent()
    agent.actor.layers(agent._state["actor_ema"])[2][0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"actor.weight1 is not finite"):
        NumpyActor.from_bytes(agent.actor_bytes())


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "features.reachable_distances",
            lambda a: a[:-1],
            r"features.reachable_distances must have shape \(6,\), got \(5,\)",
        ),
        ("features.std", lambda a: a * np.nan, r"features.std is not finite"),
        (
            "actor.horizon_schedule",
            lambda a: a[:-1],
            r"actor.horizon_schedule must be one of segments, fine_segments, hold, cycle, got 'segment'",
        ),
        ("critic.bias2", lambda a: np.tile(a, 2), r"critic layer 2 must take 32 inputs"),
        ("critic.weight1", lambda a: a * np.inf, r"critic.weight1 is not finite"),
    ],
)
def test_weights_that_would_stop_the_loop_are_rejected_when_loaded(name, damage, message):
    tensors = an_agent(config=replace(CONFIG, horizon_schedule="segments")).actor_tensors()
    with pytest.raises(ValueError, match=message):
        NumpyActor(tensors | {name: damage(tensors[name])})


def test_critics_that_select_the_horizon_must_predict_every_goal_dimension():
    tensors = an_agent(config=replace(CONFIG, horizon_schedule="segments")).actor_tensors()
    twice = {name: np.tile(tensors[name], 2) for name in ("critic.weight2", "critic.bias2")}
    with pytest.raises(ValueError, match=r"must have 1 outputs, one per goal dimension, got 2"):
        NumpyActor(tensors | twice)


def misses_of(learner: Learner) -> np.ndarray:
    """Distance to 40 goals on the line after 25 steps from anywhere."""
    actor = NumpyActor.from_bytes(learner.actor_bytes())
    rng, misses = np.random.default_rng(9), []
    for _ in range(40):
        at, goal = (rng.uniform(-0.9, 0.9, 1).astype(np.float32) for _ in range(2))
        for time in range(25):
            left = actor.steps_left(time, 24 - time)
            action = actor.act(np.r_[at, np.ones(1, np.float32)], at, goal, left)
            at = np.clip(at + 0.1 * action, -1, 1).astype(np.float32)
        misses.append(abs(at - goal)[0])
    return np.array(misses)


@pytest.mark.parametrize("seed", [0, 1])
def test_learner_of_a_point_reaches_its_goals(seed):
    """Ten random episodes are enough for a line: from anywhere, the held policy ends within 0.05 of the goal."""
    misses = misses_of(learner_of_a_point(400, seed))
    assert np.median(misses) < 0.03 and np.percentile(misses, 90) < 0.05, misses


@pytest.mark.parametrize("whole", [1, 5, 16, 17, 50, 99, 100])
def test_steps_left_divides_an_episode_into_equal_segments(whole):
    tensors = an_agent(config=replace(CONFIG, horizon_schedule="segments")).actor_tensors()
    actor = NumpyActor(tensors)
    longest = actor.features.horizon + 1
    left = [actor.steps_left(time, whole - 1 - time) for time in range(whole)]
    ends = [time + 1 for time, steps in enumerate(left) if steps == 0]
    parts = np.diff([0, *ends])
    assert ends[-1] == whole and parts.max() <= longest and parts.max() - parts.min() <= 1
    assert len(parts) == -(-whole // longest)
    assert all(np.diff(left)[np.array(left[:-1]) > 0] == -1)


VARIANTS = {
    "scalar": dict(vector_distance=False),
    "ddpg": dict(backbone="ddpg"),
    "td3": dict(target_policy_noise=0.1, policy_delay=2),
    "sac": dict(backbone="sac"),
    "structured": dict(critic="structured"),
    "structured by reach": dict(critic="structured", relative_goal=False),
    "structured scalar": dict(critic="structured", vector_distance=False, scale_by_reachable_distance=False),
    "unstructured": dict(critic="unstructured"),
    "unstructured scalar": dict(critic="unstructured", vector_distance=False),
    "absolute goals": dict(relative_goal=False),
    "no reach": dict(scale_by_reachable_distance=False),
    "no layer norm": dict(layer_norm=False),
    "hard copies": dict(target_update_interval=20),
    "huber": dict(huber_loss=True),
    "segments": dict(horizon_schedule="segments"),
    "cycle": dict(horizon_schedule="cycle"),
    "future goals only": dict(goals=GoalMix(future=1, buffer=0, box=0, near=0, span=0)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_learns_the_line(name):
    """Every option of the learner brings the point to its goals; an untrained one leaves it 0.6 away."""
    config = replace(CONFIG, gradient_steps=3, **VARIANTS[name])
    misses = misses_of(learner_of_a_point(500, 0, config))
    assert np.median(misses) < (0.15 if name in ("cycle", "unstructured scalar") else 0.08), misses


def test_variant_changes_what_is_learned():
    """No option is inert: the same experience gives other weights, or another way to run them."""
    blobs = {"default": learner_of_a_point(110).actor_bytes()}
    for name, options in VARIANTS.items():
        if "scalar" not in name:  # On a line the norm and the only dimension are one and the same.
            blobs[name] = learner_of_a_point(110, 0, replace(CONFIG, **options)).actor_bytes()
    assert len(set(blobs.values())) == len(blobs)


def test_scalar_q_is_the_norm_and_vector_q_has_a_distance_for_each_dimension():
    predicted, aim, reach = torch.tensor([[[3.0, 0.0]]]), torch.tensor([[0.0, 4.0]]), torch.ones(1, 1)
    misses = [
        an_agent(config=replace(CONFIG, vector_distance=vector))._update._distance(predicted, aim, reach)
        for vector in (True, False)
    ]
    assert misses[0].tolist() == [[[3.0, 4.0]]]
    assert misses[1].tolist() == [[[5.0]]]


def test_learner_prediction_predicts_what_is_not_reachable():
    """The critic of a point that moves 0.1 a step: two tenths can be reached with one step left, five cannot."""
    learner = learner_of_a_point(600)
    start = np.zeros((50, 1), np.float32)
    observation = np.concatenate([start, np.ones_like(start)], axis=1)
    for distance, expected in ((0.15, 0.15), (0.5, 0.2)):
        goal = np.full_like(start, distance)
        reached = learner.agent.predict(observation, start, goal, np.full(50, 1, np.float32))
        assert reached.shape == (2, 50, 1)
        assert np.abs(reached.mean() - expected) < 0.06


def test_updates_due_counts_from_the_end_of_the_random_phase():
    learner = Learner(POINT, CONFIG, 0)
    for _ in range(99):
        learner.add(step_of_zeros(), last=False)
    assert learner.updates_due() == 0
    learner.add(step_of_zeros(), last=False)
    assert learner.updates_due() == CONFIG.initial_gradient_steps
    learner.add(step_of_zeros(), last=False)
    assert learner.updates_due() == CONFIG.initial_gradient_steps + CONFIG.gradient_steps


def step_of_zeros() -> Step:
    one, two = np.zeros(1, np.float32), np.zeros(2, np.float32)
    return Step(two, one, two, one, one, one, False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be >= 1"),
        ({"polyak": 0}, "polyak must be in"),
        ({"action_noise_std": -1}, "action_noise_std must be >= 0"),
    ],
)
def test_config_out_of_range_is_rejected(setting, message):
    with pytest.raises(ValueError, match=message):
        TdmConfig(**setting)
