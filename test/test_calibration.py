"""Predicted against reached: what is played out, what is measured, what `reachability` then says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tasks_for_tests import POINT

from tdm_ros import TDM, TdmConfig
from tdm_ros.cli import main
from tdm_ros.training.calibration import (
    Calibration,
    RolloutResult,
    calibration,
    collect_rollouts,
    horizons_of,
)
from tdm_ros.training.environment import as_states
from tdm_ros.training.reachability import Bounds, predicted

NAME = "tasks_for_tests:make_point"
SEEN = {"observation": [0.1, 1.0], "achieved_goal": [0.1], "desired_goal": [0.5]}


@pytest.fixture(scope="module")
def agent() -> TDM:
    return TDM(NAME, TdmConfig(hidden_size=32, batch_size=64, learning_starts=100, gradient_steps=2)).learn(1000)


def drawn(task, count=400, seed=0, slope=1.0, noise=0.1):
    """Outcomes that are ``slope`` times the prediction, with noise of the size of ``std``."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        for horizon in horizons_of(task):
            promised, std = rng.uniform(1, 2), rng.uniform(0.5, 1.5) * noise
            found.append(RolloutResult(number, horizon, promised, std, 3.0, slope * promised + std * rng.normal()))
    return found


def test_horizons_are_those_that_fit_the_task():
    assert horizons_of(POINT) == (0, 1, 2, 3, 5)
    assert horizons_of(replace(POINT, horizon=0)) == (0,)
    assert horizons_of(replace(POINT, horizon=50)) == (0, 1, 3, 9, 19)


def test_calibration_of_good_predictions_covers_and_has_no_bias():
    result = calibration(drawn(POINT), POINT, updates=7, seed=0)
    for one in result.horizons:
        assert one.n == 400 and abs(one.bias) < 0.02 and one.mae < 0.1 and one.correlation > 0.9
        assert 0.84 <= one.coverage <= 0.96, "of the half that the interval was not made from"
        assert one.mae_staying > 1


def test_calibration_of_optimistic_predictions_says_so_and_corrects_them():
    result = calibration(drawn(POINT, slope=1.5), POINT, updates=7, seed=0)
    assert all(one.bias < -0.6 for one in result.horizons)
    low, middle, high = result.bounds.around(np.array([1.5]), np.array([0.1]), np.array([1.0]))
    assert low < middle < high and middle == pytest.approx(2.25, abs=0.1)


def test_calibration_is_read_back_as_it_was_written():
    result = calibration(drawn(POINT, 10), POINT, 7, 0)
    assert Calibration.from_json(json.loads(json.dumps(result.to_json()))) == result
    with pytest.raises(ValueError, match=r"not a calibration: .*run `tdm_ros calibrate` again"):
        Calibration.from_json({"updates": 3})


def test_calibration_of_an_agent_whose_episodes_end_at_once_is_rejected():
    with pytest.raises(ValueError, match="1 goals were pursued to the end of their horizon, too few"):
        calibration([RolloutResult(0, 0, 1.0, 0.1, 1.0, 1.0)], POINT, 0, 0)


def test_bounds_are_interpolated_and_never_negative():
    bounds = Bounds((0, 10), (0.0, 1.0), (-2.0, -2.0), (0.0, 0.0), (2.0, 4.0))
    low, middle, high = bounds.around(np.ones(2), np.zeros(2), np.array([5.0, 10.0]))
    assert low.tolist() == [0.0, 0.0] and middle.tolist() == [1.0, 1.0] and high.tolist() == [2.5, 5.0]


def test_outcomes_are_played_out_over_every_horizon_and_repeat_with_the_seed(agent):
    found = collect_rollouts(agent.learner.agent, agent.env, agent.task, 20, seed=3)
    counts = [sum(one.steps_left == horizon for one in found) for horizon in horizons_of(agent.task)]
    assert min(counts) >= 10 and max(counts) - min(counts) <= 20
    assert sum(one.steps_left + 1 for one in found) <= 20 * 20, "no step is taken after the end of an episode"
    assert found == collect_rollouts(agent.learner.agent, agent.env, agent.task, 20, seed=3)
    moved = [abs(one.reached - one.before) for one in found if one.steps_left == 0]
    assert max(moved) <= 0.1 + 1e-5, "one action moves the point by 0.1 at most"


def test_outcome_of_a_single_step_is_well_predicted_by_a_trained_agent(agent):
    one = agent.calibrate(40).horizons[0]
    assert one.steps_left == 0 and one.mae < 0.02 < one.mae_staying and one.correlation > 0.99


def test_predicted_spread_is_that_of_the_points(agent):
    class Two:
        def predict(self, observation, achieved, goal, steps_left):
            return np.array([[[0.4]], [[0.8]]], np.float32)

    states, _ = as_states(agent.task, SEEN, None, 3)
    distance, std = predicted(Two(), agent.task, states)
    assert distance == pytest.approx([0.2]) and std == pytest.approx([0.2])


def test_reachability_names_the_remedy_close_in_how_many_steps(agent):
    agent.calibration = None
    near = agent.reachability(SEEN, goal=[0.15], steps=2)
    far = agent.reachability(SEEN, goal=[0.9], steps=2)
    assert near.distance < 0.05 and far.distance == pytest.approx(0.6, abs=0.1)
    assert near.low <= near.distance <= near.high and near.std >= 0 and not near.calibrated
    batch = agent.reachability(SEEN, goal=[0.9], steps=[1, 4, 8])
    assert batch.distance.shape == (3,) and (np.diff(batch.distance) < 0).all(), "more steps bring it closer"
    assert agent.reachability(SEEN).distance == agent.reachability(SEEN, steps=agent.task.horizon + 1).distance


def test_reachability_after_calibration_holds_nine_of_ten_of_other_goals(agent):
    agent.calibrate(80, seed=0)
    fresh = collect_rollouts(agent.learner.agent, agent.env, agent.task, 60, seed=9)
    expected, std, reached, left = (
        np.array([getattr(one, name) for one in fresh]) for name in ("predicted", "std", "reached", "steps_left")
    )
    low, _, high = agent.calibration.bounds.around(expected, std, left.astype(float))
    assert 0.8 <= np.mean((low <= reached) & (reached <= high)) <= 0.99
    assert agent.reachability(SEEN).calibrated


@pytest.mark.parametrize("steps", [0, 17, [1, 17]])
def test_reachability_beyond_what_was_learned_is_rejected(agent, steps):
    with pytest.raises(
        ValueError, match=r"steps must be whole numbers from 1 to 16, the longest horizon plus one, got"
    ):
        agent.reachability(SEEN, steps=steps)


def test_reachability_with_an_unstructured_critic_is_rejected():
    config = TdmConfig(
        hidden_size=8,
        learning_starts=20,
        initial_gradient_steps=1,
        critic="unstructured",
        one_step_model=False,
        horizon_schedule="hold",
    )
    agent = TDM(NAME, config).learn(25)
    with pytest.raises(ValueError, match="predicts a distance instead of a point"):
        agent.reachability(SEEN)


def test_calibration_goes_with_the_agent_until_it_learns_on(agent, tmp_path):
    agent.calibrate(20)
    agent.save(tmp_path)
    again = TDM.load(tmp_path)
    assert again.calibration == agent.calibration
    again.learn(20)
    assert again.calibration is None
    again.save(tmp_path)
    assert TDM.load(tmp_path).calibration is None, "the file is of fewer updates"


def test_calibrate_command_writes_picture_and_numbers(agent, tmp_path, capsys):
    agent.calibration = None
    agent.save(tmp_path)
    assert main(["calibrate", str(tmp_path), "--episodes", "12", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "calibration.json").read_text())
    assert [one["steps_left"] for one in printed["horizons"]] == [0, 1, 3, 7, 15]
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert main(["calibrate", str(tmp_path), "--episodes", "1"]) == 2
    assert "episodes must be a whole number >= 2, got 1" in capsys.readouterr().err
    assert main(["calibrate", str(tmp_path), "--episodes", "4"]) == 0
    assert "coverage" in capsys.readouterr().out
