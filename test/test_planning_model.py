"""The learned model: the same numbers as the agent's, pessimistic, with gradients that are its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planning_for_tests import PLANE

from tdm_ros.planning import GoalSpace, ReachModel
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.networks import forward, linearise
from tdm_ros.tdm.update import MlpStack

REACHES = np.linspace(0.2, 1, PLANE.horizon + 1).astype(np.float32)

SETTINGS = [
    {},
    {"critic": "structured", "relative_goal": False, "one_step_model": False},
    {"layer_norm": False, "one_step_model": False},
    {"relative_goal": False},
]


def agent_and_model(**settings) -> tuple[TdmAgent, ReachModel]:
    """An agent that has learned nothing, with last layers that are not near zero, as a model."""
    seen = np.random.default_rng(0).normal(size=(200, PLANE.observation.size)).astype(np.float32)
    config = TdmConfig(**settings)
    features = Features.fit(PLANE, seen, 0.2, REACHES, config.relative_goal)
    agent = TdmAgent(PLANE, config, features, seed=1)
    large = ("actor", "critic", "one_step")
    state = {name: value * 20 if name.startswith(large) else value for name, value in agent.state().items()}
    for name in ("target_critic", "average_actor"):
        state[name] = state[name.partition("_")[2]].clone()
    agent.load_state(state, 0)
    return agent, ReachModel(NumpyActor.from_bytes(agent.actor_bytes()))


def questions(count: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    sizes = PLANE.observation.size, PLANE.goal.size, PLANE.goal.size
    observation, achieved, goal = (rng.normal(size=(count, size)).astype(np.float32) for size in sizes)
    return observation, achieved, goal, rng.integers(0, PLANE.horizon + 1, count).astype(np.float32)


@pytest.mark.parametrize("settings", SETTINGS)
def test_predict_agrees_with_the_agent(settings):
    agent, model = agent_and_model(**settings)
    asked = questions()
    points = model.predict(*asked)
    assert points.shape == (agent.config.critics, 40, PLANE.goal.size) and points.dtype == np.float32
    assert points == pytest.approx(agent.predict(*asked), abs=1e-4)
    assert np.ptp(points, axis=1).min() > 0.05, "they differ from question to question"


def test_miss_is_that_of_the_member_that_expects_the_worst():
    _, model = agent_and_model()
    asked = questions()
    every = np.linalg.norm(model.predict(*asked) - asked[2], axis=-1)
    assert model.miss(*asked) == pytest.approx(every.max(axis=0), rel=1e-5)
    assert (every.max(axis=0) > every.min(axis=0) + 1e-4).any()


def test_miss_over_some_dimensions_leaves_out_the_others():
    _, model = agent_and_model()
    asked = questions()
    first = np.arange(PLANE.goal.size) == 0
    assert model.miss(*asked, dims=first) == pytest.approx(
        np.abs(model.predict(*asked) - asked[2])[..., 0].max(axis=0), rel=1e-5
    )


@pytest.mark.parametrize("settings", SETTINGS)
def test_linearise_pulls_the_gradient_that_small_changes_show(settings):
    _, model = agent_and_model(**settings)
    observation, achieved, goal, left = questions()
    points, pull = model.linearise(observation, achieved, goal, left)
    assert points == pytest.approx(model.predict(observation, achieved, goal, left), abs=1e-5)
    weight = np.random.default_rng(3).normal(size=points.shape).astype(np.float32)
    step = np.float32(2e-3)
    for number, gradient in enumerate(pull(weight)):
        shown = np.zeros_like(gradient)
        for dimension in range(PLANE.goal.size):
            moved = [
                model.predict(observation, achieved + way * (number == 0), goal + way * (number == 1), left)
                for way in (step * np.eye(PLANE.goal.size, dtype=np.float32)[dimension] * sign for sign in (1, -1))
            ]
            shown[:, dimension] = ((moved[0] - moved[1]) * weight).sum(axis=(0, 2)) / (2 * step)
        apart = np.linalg.norm(gradient - shown, axis=1) / (np.linalg.norm(shown, axis=1) + 0.05)
        assert np.median(apart) < 0.01, "but for a few that sit at the corner of a ReLU"


@pytest.mark.parametrize("layer_norm", [True, False])
def test_pull_agrees_with_autograd(layer_norm):
    shape = MlpStack(2, 5, 16, 3, layer_norm)
    flat = shape.initial(torch.Generator().manual_seed(0))
    arrays = [part.numpy() for part in shape.layers(flat)]
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weight = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(2))
    (shape(flat, x) * weight).sum().backward()
    out, pull = linearise(layers, x.detach().numpy(), layer_norm)
    assert out == pytest.approx(forward(layers, x.detach().numpy(), layer_norm), abs=1e-6)
    assert pull(weight.numpy()) == pytest.approx(x.grad.numpy(), abs=1e-6)


def test_model_of_weights_without_critics_is_rejected():
    agent, model = agent_and_model()
    tensors = agent.actor_tensors("hold")
    assert model.horizon == PLANE.horizon
    with pytest.raises(ValueError, match="have none"):
        ReachModel(NumpyActor(tensors))


def test_distance_of_dimensions_with_other_units_counts_in_the_largest_scale():
    space = GoalSpace((0.5, 0.05), (False, False))
    assert space.distance(np.array([0.0, 0.05]), np.zeros(2)) == pytest.approx(0.5)


def test_distance_of_angles_goes_the_short_way_round():
    space = GoalSpace((1.0, 1.0), (True, False))
    assert space.distance(np.array([3.0, 3.0]), np.array([-3.0, 3.0])) == pytest.approx(2 * np.pi - 6)
