"""The benchmark of planning: its cases are what they say, attempts are judged rightly, what was measured is kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import planning
from benchmarks.planning_attempts import attempt, keep_out_of, shortest_of
from benchmarks.planning_cases import CASES
from benchmarks.planning_geometric import StraightLines
from benchmarks.planning_guides import Direct, Planned, Staged
from benchmarks.planning_methods import METHODS, make_guide
from benchmarks.planning_plots import binned, draw_calibration, segments_of
from benchmarks.planning_table import succeeded, table
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.planning import GoalSpace, Plan, SeenStates, Status, SubgoalPlanner
from tdm_ros.planning.plan import PursuitSettings
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.tasks.registry import SPEED_M_S
from tdm_ros.training.evaluation import PolicyInput

MAZE = CASES["maze"]


class Roller:
    """Rolls straight to the goal: a policy that knows the ball, and nothing of walls."""

    def act(self, observation: Any, achieved: Any, goal: Any, steps_left: int) -> NDArray[np.float32]:
        return np.clip((goal - achieved) * 20 / SPEED_M_S, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def maze():
    return make_goal_env("maze")


@pytest.fixture(scope="module")
def store(maze) -> TrajectoryStore:
    """Balls that roll about."""
    env, task = maze
    kept = TrajectoryStore(task)
    for episode in range(15):
        rng = np.random.default_rng(episode)
        seen, _ = env.reset(seed=episode)
        for time in range(96):
            if time % 12 == 0:
                action = rng.uniform(-1, 1, 2).astype(np.float32)
            then = env.step(action)[0]
            step = (seen["observation"], action, then["observation"], seen["achieved_goal"], then["achieved_goal"])
            kept.add(Step(*step, seen["desired_goal"], False), time == 95)
            seen = then
    return kept


def goes(maze, store, method: str, episodes: int = 8) -> list[Any]:
    env, task = maze
    guide = make_guide(method, MAZE, task, Roller(), store, 0)
    return [attempt(MAZE, env, task, Roller(), guide, ("validate", 0, episode)) for episode in range(episodes)]


def test_maze_shortest_way_arrives_where_straight_on_does_not(maze, store) -> None:
    straight, exact = goes(maze, store, "none"), goes(maze, store, "exact")
    assert max(a.distance for a in exact) < MAZE.success
    assert np.mean([a.distance < MAZE.success for a in straight]) < 0.8
    assert [a.start for a in straight] == [a.start for a in exact], "every method meets the same starts and goals"
    for a in exact:
        assert a.shortest > a.start - 1e-6
        assert 0.9 * a.shortest - 0.05 < a.length < 1.4 * a.shortest + 0.2


def test_maze_planner_without_a_model_needs_to_be_told_of_the_walls(maze, store) -> None:
    untold, told = goes(maze, store, "geometric"), goes(maze, store, "geometric_told")
    reached = [np.mean([a.distance < MAZE.success for a in found]) for found in (untold, told)]
    assert reached[1] > reached[0] + 0.2
    kept = told[0].guide
    assert len(kept["plan_cpu_ms"]) == sum(kept["statuses"].values()) > 0
    for _steps, predicted, missed, _length in kept["segments"]:
        assert predicted >= 0 and missed >= 0


def test_attempt_counts_steps_within_a_region() -> None:
    case = CASES["wall"]
    env, task = make_goal_env("sawyer_reach")
    still = SimpleNamespace(act=lambda *given: np.zeros(7, np.float32))
    found = attempt(case, env, task, still, Direct(), ("validate", 0, 0), keep_path=True)
    assert found.violated == 0 and len(found.path) == case.steps + 1
    assert found.distance == pytest.approx(found.start, abs=0.02) and found.first is None
    wall = keep_out_of(case)
    assert wall.contains(np.array([0.5, 0.0, 0.2])) and not wall.contains(np.array([0.5, 0.0, 0.45]))


def test_stop_starts_and_ends_on_both_sides_of_the_back_and_does_not_tell_the_way() -> None:
    case = CASES["stop"]
    env, _ = make_goal_env(case.task)
    for episode in range(5):
        seen, goal = case.begin(env, "validate", 0, episode)
        start, side = seen["achieved_goal"], np.sign(seen["achieved_goal"][0])
        assert goal[0] == pytest.approx(start[0]), "the goal's joint is no hint"
        shoulder = np.arctan2(goal[2], goal[1]) - np.arcsin(0.16 / np.hypot(goal[1], goal[2]))
        turn = (shoulder + np.pi) % (2 * np.pi) - np.pi
        assert np.sign(turn) == -side and abs(turn) > 1.8


def test_staged_guide_plans_to_the_puck_and_to_far_targets_and_else_keeps_the_rule() -> None:
    asked, known = [], []

    class Listener(SubgoalPlanner):
        def learn(self, model=None, states=None):
            known.append(states)

        def plan(self, observation, achieved, goal, budget_s=float("inf")):
            asked.append(np.asarray(goal).tolist())
            return Plan.none(Status.UNREACHABLE, "only listens", len(goal))

    env, task = make_goal_env("pusher")
    seen, goal = CASES["pusher"].begin(env, "validate", 0, 0)
    space = GoalSpace.of(task)
    states = SeenStates(seen["observation"][None], seen["achieved_goal"][None], space)
    parts = [Planned(Listener(task), PursuitSettings.for_task(task, 3)) for _ in range(2)]
    model = StraightLines(space, task.horizon, step=1.0)
    guide = Staged(parts[0], parts[1], model, states, held=0.1)
    guide.begin(goal)
    puck = seen["achieved_goal"][2:]

    def go(apart: float, moved: float = 0.0) -> list[float]:
        lies = puck + np.float32([moved, 0])
        there = np.concatenate([lies + np.float32([apart, 0]), lies])
        return guide.subgoal(PolicyInput(seen["observation"], there, goal, 99, 0))[0].tolist()

    go(apart=0.5)
    assert asked == [[*puck.tolist()] * 2]
    assert go(apart=0.05) == [*puck.tolist(), *goal[2:].tolist()]
    assert len(asked) == 1, "once it is held nothing is planned where the rule will do"
    model.step = 1e-3
    go(apart=0.05)
    assert asked[1] == [*goal[2:].tolist()] * 2, "far targets are planned for"
    go(apart=0.5, moved=0.01)
    assert len(known) == 1, "it moved too little for the states to be placed anew"
    go(apart=0.5, moved=0.1)
    assert known[1].achieved[0, 2:] == pytest.approx(puck + np.float32([0.1, 0]))


def test_shortest_of_is_the_straight_line_where_it_is_free() -> None:
    assert shortest_of(MAZE, [-0.9, -0.9], [0.9, -0.9]) == pytest.approx(1.8)
    assert shortest_of(MAZE, [-0.9, -0.9], [-0.9, 0.0]) > 2.0
    assert shortest_of(CASES["wall"], [0, 0], [1, 1]) is None


def entry(distance: float, violated: int, pairs: list[list[float]]) -> dict[str, Any]:
    guide = {"plan_cpu_ms": [2.0, 4.0], "segments": [[12, *pair, 0.3] for pair in pairs], "statuses": {"planned": 2}}
    made = {"distance": distance, "start": 1.0, "violated": violated, "length": 1.5, "shortest": None}
    return made | {"episode": 0, "first": 40, "guide": guide, "path": []}


def test_table_success_needs_the_distance_and_no_violation() -> None:
    attempts = [entry(0.01, 0, []), entry(0.01, 3, []), entry(0.5, 0, []), entry(0.02, 0, [])]
    assert succeeded(CASES["wall"], attempts) == [True, False, False, True]
    text = table("wall", CASES["wall"], "m", [{"method": "graph", "attempts": attempts}])
    assert "| graph | 50% of 4 | 75% | 0.015 (0.135) | 1.50 | 40 | 2.0 | 3.0 (4.0) |" in text


def test_calibration_bins_have_equal_counts_and_leave_out_what_was_not_predicted(tmp_path) -> None:
    pairs = [[0.01 * k, 0.02 * k] for k in range(60)]
    result = {"method": "graph_through", "attempts": [entry(0.1, 0, [*pairs, [float("inf"), 1.0]])]}
    found = segments_of(result)
    assert found.shape == (60, 2)
    middle, low, high, at = binned(found)
    np.testing.assert_allclose(middle, 2 * at)
    assert (low < middle).all() and (middle < high).all() and len(at) == 6
    assert draw_calibration({"wall": [result]}, tmp_path / "c.png").stat().st_size > 5_000
    assert draw_calibration({"wall": []}, tmp_path / "d.png") is None


def test_main_keeps_what_it_measured_and_writes_the_tables(tmp_path, monkeypatch, store, capsys) -> None:
    monkeypatch.setattr(planning, "learned", lambda case, seed, models, compiled: SimpleNamespace(store=store))
    monkeypatch.setattr(planning, "policy_of", lambda learner: Roller())
    words = ["--cases", "maze", "--methods", "none", "exact", "--attempts", "3", "--validate", "--out", str(tmp_path)]
    assert planning.main(words) == 0
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("maze/*/*.json"))
    assert files == ["maze/exact/seed_0.json", "maze/none/seed_0.json"]
    text = (tmp_path / "tables.md").read_text()
    assert (
        METHODS["exact"].about in text and "100% of 3" in text and text.endswith(capsys.readouterr().out.strip() + "\n")
    )
    monkeypatch.setattr(planning, "learned", lambda *given: pytest.fail("it has been measured"))
    assert planning.main(words) == 0


def test_rule_is_rejected_where_nothing_is_pushed(maze, store) -> None:
    with pytest.raises(ValueError, match="the rule is for pushing, not for maze"):
        make_guide("rule", MAZE, maze[1], Roller(), store, 0)
    with pytest.raises(ValueError, match="method must be one of none, rule"):
        make_guide("dijkstra", MAZE, maze[1], Roller(), store, 0)
