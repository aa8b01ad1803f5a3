"""One-step model: its closed form solves the least squares, in numpy as in torch, and stands where one step is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tasks_for_tests import POINT
from tasks_for_tests import learner_of_a_point as filled_learner

from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.one_step import DAMPING, SATURATION, ClosedForm, split_motion
from tdm_ros.tdm.update import ANCHOR, ANCHOR_UPDATES, anchor, closed_form
from tdm_ros.training.learner import NORMALISE_UNTIL, Learner

CONFIG = TdmConfig(hidden_size=32, batch_size=64, learning_starts=50, initial_gradient_steps=200)


def a_model(members: int = 3, spread: float = 1.0, size: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Jacobians, drifts and gaps of 40 states with two goal dimensions and four actions."""
    rng = np.random.default_rng(0)
    jacobian = 2 * rng.normal(size=(1, 40, 2, 4)) + spread * rng.normal(size=(members, 40, 2, 4))
    drift, gap = 0.3 * spread * rng.normal(size=(members, 40, 2)), size * rng.normal(size=(40, 2))
    return jacobian.astype(np.float32), drift.astype(np.float32), gap.astype(np.float32)


def learner_of_a_point(steps: int, config: TdmConfig = CONFIG) -> Learner:
    return filled_learner(steps, config)


def test_closed_form_makes_the_wanted_motion_where_one_model_is_certain() -> None:
    jacobian, drift, gap = a_model(members=1, size=0.5)
    found = ClosedForm(jacobian, drift, gap)
    inside = np.abs(found.action).max(axis=1) < 1
    assert inside.sum() > 20
    assert found.motion()[0][inside] == pytest.approx(gap[inside], abs=0.05)
    assert (found.trust > 0.97).mean() > 0.9


def test_closed_form_minimises_the_damped_squares_over_all_jacobians_about_the_mean_drift() -> None:
    jacobian, drift, gap = a_model(size=0.3)
    found = ClosedForm(jacobian, drift, gap)

    def cost(action: np.ndarray) -> np.ndarray:
        missing = gap - drift.mean(axis=0) - np.einsum("mbga,ba->mbg", jacobian, action)
        return np.square(missing).sum(-1).mean(0) + DAMPING * np.square(action).sum(-1)

    inside = np.abs(found.action).max(axis=1) < 1
    rng = np.random.default_rng(1)
    for _ in range(20):
        other = found.action + 0.1 * rng.normal(size=found.action.shape).astype(np.float32)
        assert (cost(found.action) <= cost(other))[inside].all()


def test_members_whose_drifts_disagree_move_no_joint_that_hardly_moves_the_goal() -> None:
    jacobian = np.array([[[[1.0, 0.1]]], [[[1.0, -0.1]]]], np.float32)  # of the second joint they know next to nothing
    drift, gap = np.array([[[0.5]], [[-0.5]]], np.float32), np.zeros((1, 1), np.float32)
    assert ClosedForm(jacobian, drift, gap).action == pytest.approx(np.zeros((1, 2)), abs=1e-6)


def test_closed_form_beyond_the_box_keeps_its_direction() -> None:
    jacobian, drift, gap = a_model(members=1, spread=0.0, size=0.5)
    near, far = ClosedForm(jacobian, drift, 0.1 * gap), ClosedForm(jacobian, drift, 100 * gap)
    assert np.abs(near.action).max() < 1 and np.abs(far.action).max(axis=1) == pytest.approx(1)
    directions = [found.action / np.linalg.norm(found.action, axis=1, keepdims=True) for found in (near, far)]
    assert directions[0] == pytest.approx(directions[1], abs=1e-3)


def test_members_that_disagree_make_the_action_smaller_and_less_trusted() -> None:
    jacobian, drift, gap = a_model(members=1, size=0.3)
    drift = np.zeros_like(drift)
    certain = ClosedForm(jacobian, drift, gap)
    doubtful = ClosedForm(np.concatenate([jacobian, jacobian, -jacobian]), np.repeat(drift, 3, axis=0), gap)
    assert doubtful.action == pytest.approx(certain.action / 3, abs=1e-5)
    assert certain.trust.mean() > 0.95 and doubtful.trust.mean() < 0.2
    assert ((doubtful.trust >= 0) & (certain.trust <= 1)).all()


def test_what_no_action_moves_is_not_trusted() -> None:
    jacobian, drift, gap = a_model()
    found = ClosedForm(0 * jacobian, 0 * drift, gap)
    assert not found.action.any() and found.trust == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("size", [0, 1e-20, 1e-4, 1, 1e2, 1e4, 1e6, 1e10, 1e18, 1e30, np.inf, np.nan])
def test_closed_form_of_any_size_raises_nothing(size: float) -> None:
    """In the loop of the arm an action that is not finite is reported, and the arm holds; an error would say less."""
    ones = np.ones((3, 1, 3, 7), np.float32) * np.float32(size)
    with np.errstate(all="ignore"):
        for jacobian in (ones, ones * np.arange(1, 8, dtype=np.float32)):
            found = ClosedForm(jacobian, np.zeros((3, 1, 3), np.float32), np.ones((1, 3), np.float32))
            if size <= 1e10:
                assert np.abs(found.action).max() <= 1 and 0 <= found.trust <= 1
            if 1 <= size <= 1e10:
                moved = found.motion() / np.abs(jacobian).sum(axis=-1).max()
                assert (moved > 0).all(), "towards the goal"


def test_motion_of_an_empty_batch_is_empty() -> None:
    """A plan without candidates asks for one."""
    jacobian, drift = split_motion(np.zeros((3, 0, 10), np.float32), 2)
    assert (jacobian.shape, drift.shape) == ((3, 0, 2, 4), (3, 0, 2))


def test_closed_form_in_numpy_and_torch_agrees_with_its_gradients() -> None:
    jacobian, drift, gap = a_model()
    found = ClosedForm(jacobian, drift, gap)
    rng = np.random.default_rng(2)
    for name, vjp, weight in (
        ("motion", found.motion_vjp, rng.normal(size=(2, 40, 2))),
        ("base_action", found.base_action_vjp, rng.normal(size=(40, 4))),
    ):
        leaf = torch.from_numpy(gap).requires_grad_()
        tensors = closed_form(torch.from_numpy(jacobian), torch.from_numpy(drift), leaf)
        value = getattr(tensors, name)[: len(weight)]
        (value * torch.from_numpy(weight)).sum().backward()
        expected = found.motion()[:2] if name == "motion" else found.base_action
        assert expected == pytest.approx(value.detach().numpy(), abs=1e-4)
        assert vjp(weight.astype(np.float32)) == pytest.approx(leaf.grad.numpy(), abs=1e-3)


def test_numpy_actor_acts_as_the_torch_agent_with_a_base_action() -> None:
    learner = learner_of_a_point(80)
    agent, rows = learner.agent, learner.store.rows(np.arange(40))
    assert agent is not None
    goal, left = rows["achieved"][::-1].copy(), np.full(40, 3, np.float32)
    actor = NumpyActor.from_bytes(agent.actor_bytes())
    features = agent.features
    with torch.no_grad():
        one = agent._update._closed_form(
            agent._state["one_step"],
            torch.from_numpy(features.one_step_inputs(rows["observation"])),
            torch.from_numpy(features.gap(rows["achieved"], goal)),
        )
        x = torch.from_numpy(features.inputs(rows["observation"], rows["achieved"], goal, left))
        expected = agent._update._mean_action(agent._state["actor_ema"], torch.cat([x, one.base_action], -1), one)
    for steps_left, wanted in ((3, expected), (0, one.action)):
        got = [actor.act(*state, steps_left) for state in zip(rows["observation"], rows["achieved"], goal, strict=True)]
        np.testing.assert_allclose(np.array(got), wanted.numpy(), atol=1e-5)


def test_an_untrained_actor_acts_by_the_base_action() -> None:
    """Before an update of the actor, its policy is the closed form, scaled by the trust."""
    agent = learner_of_a_point(60, replace(CONFIG, initial_gradient_steps=400, actor_learning_rate_factor=1e-9)).agent
    assert agent is not None
    actor = NumpyActor(agent.actor_tensors())
    at, goal = np.zeros(1, np.float32), np.full(1, 0.5, np.float32)
    action = actor.act(np.r_[at, np.ones(1, np.float32)], at, goal, 3)
    assert action == pytest.approx(SATURATION, abs=0.1)


@pytest.mark.parametrize("reachable", [0.05, 0.5, 1.0])
def test_pull_to_the_base_action_fades_but_for_the_last_steps_and_needs_trust(reachable: float) -> None:
    jacobian, drift, gap = (torch.from_numpy(part) for part in a_model(size=0.1))
    model = closed_form(jacobian[..., :1, :, :], drift[..., :1, :], gap[:1])

    def factor(count: float, trust: float = 1.0, size: float = 1.0) -> float:
        one_step = model._replace(trust=torch.tensor([[trust]]), size=torch.tensor([[size]]))
        return anchor(one_step, torch.tensor([[reachable]]), torch.tensor(count)).item()

    assert factor(0) == pytest.approx(1 + ANCHOR)
    assert factor(2 * ANCHOR_UPDATES) == factor(ANCHOR_UPDATES) < factor(ANCHOR_UPDATES / 2) < factor(0)
    assert (factor(ANCHOR_UPDATES) > 1 + ANCHOR / 2) == (reachable < 0.1)
    assert factor(ANCHOR_UPDATES, size=9.0) < 1.1 < factor(0, size=9.0)
    assert factor(0, trust=0.0) == factor(ANCHOR_UPDATES, trust=0.0) == 1


def test_one_step_left_the_target_is_the_model_s_own_distance() -> None:
    """A transition with one further step left bootstraps from the regression, not from the critics."""
    agent = learner_of_a_point(80).agent
    assert agent is not None
    rng = np.random.default_rng(4)
    at, goal = rng.uniform(-0.5, 0.5, (2, 30, 1)).astype(np.float32)
    points = agent.predict(np.concatenate([at, np.ones_like(at)], 1), at, goal, np.zeros(30, np.float32))
    expected = at + np.clip(goal - at, -0.1, 0.1)
    assert np.abs(points - expected).mean() < 0.02
    state = dict(agent.state(), target_critic=torch.full_like(agent._state["target_critic"], 0.3))
    agent.load_state(state, agent.updates)
    same = agent.predict(np.concatenate([at, np.ones_like(at)], 1), at, goal, np.zeros(30, np.float32))
    assert same == pytest.approx(points)


def test_goals_are_reached_after_fifty_random_steps() -> None:
    actor = NumpyActor.from_bytes(learner_of_a_point(60).actor_bytes())
    rng, misses = np.random.default_rng(9), []
    for _ in range(30):
        at, goal = rng.uniform(-0.9, 0.9, (2, 1)).astype(np.float32)
        for time in range(25):
            action = actor.act(np.r_[at, np.ones(1, np.float32)], at, goal, actor.steps_left(time, 24 - time))
            at = np.clip(at + 0.1 * action, -1, 1).astype(np.float32)
        misses.append(abs(at - goal)[0])
    assert np.median(misses) < 0.01 and np.max(misses) < 0.05, misses


def test_normalisation_is_repeated_while_the_replay_is_small() -> None:
    learner = learner_of_a_point(50)
    assert learner.agent is not None and learner.agent.features.transitions == 50
    first = learner.agent.features
    learner = learner_of_a_point(101)
    assert learner.agent is not None
    again = learner.agent.features
    assert again.transitions == 100 and not np.array_equal(again.mean, first.mean)
    assert again.motion_scale == first.motion_scale
    learner = learner_of_a_point(NORMALISE_UNTIL + 700, replace(CONFIG, gradient_steps=1, initial_gradient_steps=1))
    assert learner.agent is not None and learner.agent.features.transitions == 800


def test_angles_are_inputs_as_sine_and_cosine() -> None:
    task = replace(POINT, angles=(0,))
    features = Features.fit(task, np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32), 0.15)
    turned = features.one_step_inputs(np.array([[0.3, 1.0], [0.3 + 2 * np.pi, 1.0]], np.float32))
    assert turned.shape == (2, features.one_step_size) == (2, 3)
    assert turned[0] == pytest.approx(turned[1], abs=1e-5)
    assert turned[0, 1:] == pytest.approx([np.sin(0.3), np.cos(0.3)])
    assert task.fingerprint == POINT.fingerprint, "stored numbers keep their meaning"


def test_weights_whose_one_step_model_does_not_fit_are_rejected() -> None:
    observations = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    tensors = TdmAgent(POINT, CONFIG, Features.fit(POINT, observations, 0.15), 0).actor_tensors()
    for name, damage, message in (
        ("one_step.weight2", lambda a: a[..., :1], "one_step layer 2 must take 32 inputs"),
        ("one_step.weight0", lambda a: a * np.nan, "one_step.weight0 is not finite"),
        ("features.motion_scale", lambda a: 0 * a, "motion_scale.* must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            NumpyActor(tensors | {name: damage(tensors[name])})
    wide = {name: np.repeat(tensors[name], 3, axis=-1) for name in ("one_step.weight2", "one_step.bias2")}
    with pytest.raises(ValueError, match="actor layer 0 must take 10 inputs"):
        NumpyActor({**tensors, **wide})
