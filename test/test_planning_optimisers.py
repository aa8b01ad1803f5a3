"""Every optimiser against problems whose best answer is known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planning_for_tests import EXACT, SPACE, STEP_M, WALL, lattice, plane, problem

from benchmarks.planning_geometric import shortest_path
from tdm_ros.envs.maze_env import MazeEnv
from tdm_ros.planning import OPTIMISERS, KeepOut, Objective, Problem, SeenStates
from tdm_ros.planning.model import Model
from tdm_ros.planning.optimiser import Proposal, coloured_noise, initial_plans, resample
from tdm_ros.tasks.registry import FENCE_M, MAZE, RADIUS_M, SPEED_M_S, WALLS_M

MORE = {
    "cem": {"shrink": 1.0, "population": 256, "iterations": 24, "narrowing": 0.8},
    "mppi": {"population": 256, "iterations": 24, "narrowing": 0.8},
    "gradient": {"iterations": 120, "particles": 6},
}
"""What they are given here, to show that they get there; by default they stop earlier."""
CONTINUOUS = [name for name in OPTIMISERS if name != "graph"]
RUNS = [(name, seed) for name in CONTINUOUS for seed in (0, 1, 2)]


def solved(name: str, made: Problem, seed: int = 0, **options) -> Proposal:
    found = OPTIMISERS[name](**options).solve(made, np.random.default_rng(seed))
    assert found is not None
    return found


def length(start, knots) -> float:
    return float(np.linalg.norm(np.diff(np.concatenate([[start], knots]), axis=0), axis=1).sum())


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_in_the_open_the_best_plan_strides_straight_to_the_goal(name, seed):
    # 1.5 m in strides of at most 0.6, and the tolerance: 0.88 and 0.26 are left at the first two knots.
    made = problem(start=(-0.75, 0.2), goal=(0.75, 0.2), tolerance=0.02, on_the_way=1.0)
    found = solved(name, made, seed, **MORE.get(name, {}))
    assert 1.139 <= found.cost <= 1.02 * 1.14
    assert found.miss.max() < 0.03
    assert found.knots[-1] == pytest.approx([0.75, 0.2], abs=0.02)


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_behind_a_wall_the_best_plan_strides_along_a_taut_string(name, seed):
    made = problem(keep_out=WALL, tolerance=0.02, on_the_way=1.0)
    first = made.achieved + 0.62 * towards(made.achieved, (-0.1, 0.3))
    second = first + 0.62 * towards(first, (0.1, 0.3))
    best = sum(np.linalg.norm(knot - made.goal) for knot in (first, second))
    found = solved(name, made, seed, **MORE.get(name, {}))
    assert found.free and found.miss.max() < 0.03
    assert 0.995 * best <= found.cost <= 1.03 * best
    assert found.knots[0] == pytest.approx(first, abs=0.03)


def towards(start, end) -> np.ndarray:
    way = np.asarray(end) - start
    return way / np.linalg.norm(way)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_final_state_with_a_free_dimension_finds_the_point_of_the_line_that_is_in_reach(name):
    # The goal is a line, x = 0.2; asked for is a point of it that is out of reach.
    made = problem(
        start=(-0.5, 0.0), goal=(0.2, 0.9), task=plane(free_y=True), formulation="final_state", tolerance=0.02
    )
    found = solved(name, made)
    assert found.cost < 0.01 and found.miss[0] < 0.03
    assert found.knots[-1][0] == pytest.approx(0.2, abs=0.01) and abs(found.knots[-1][1]) < 0.5


@pytest.mark.parametrize("name", CONTINUOUS)
def test_explicit_formulation_comes_to_the_same_way(name):
    made = problem(start=(-0.75, 0.2), goal=(0.75, 0.2), formulation="explicit")
    found = solved(name, made)
    assert found.cost == pytest.approx(0.1 * (0.9 + 0.3), rel=0.06), "strides of 0.6: nothing beyond them is believed"


@pytest.mark.parametrize("spacing", [0.2, 0.1])
def test_graph_behind_a_wall_takes_the_shortest_way_but_for_the_spacing_of_its_nodes(spacing):
    made = replace(problem(start=(-0.55, -0.25), goal=(0.55, -0.25), keep_out=WALL), states=lattice(spacing))
    found = solved("graph", made, nodes=1000, entries=400, neighbours=120)
    exact = shortest_path(made.achieved, made.goal, WALL.boxes)
    best = float(np.linalg.norm(np.diff(exact, axis=0), axis=1).sum())
    assert best - 1e-6 <= length(made.achieved, found.knots) <= best + 2 * spacing
    assert found.free and not WALL.crosses(np.concatenate([[made.achieved], found.knots[:-1]]), found.knots).any()
    assert found.steps.sum() >= best / STEP_M - 1, "no faster than one can go"
    assert found.steps.sum() <= best / STEP_M + 12


class Walled(Model):
    """Straight lines that end at the walls of the maze: what can be known of it without being told where they are."""

    def __init__(self) -> None:
        self.space, self.horizon = EXACT.space, EXACT.horizon
        self._walls = KeepOut(np.concatenate([WALLS_M, FENCE_M]), (0, 1))

    def predict(self, observation, achieved, goal, steps_left):
        points = EXACT.predict(observation, achieved, goal, steps_left)[0]
        enter, leave = self._walls._inside(achieved, points, RADIUS_M)
        stop = np.where(leave - enter > 1e-6, enter, 1).min(axis=1)[:, None]
        return (achieved + stop * (points - achieved))[None].astype(np.float32)

    def linearise(self, observation, achieved, goal, steps_left):
        _, pull = EXACT.linearise(observation, achieved, goal, steps_left)
        return self.predict(observation, achieved, goal, steps_left), pull


def maze(start, goal, **changes) -> Problem:
    """The maze, with states seen all over its free part; no keep-outs."""
    line = np.arange(-0.92, 0.93, 0.08)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2).astype(np.float32)
    points = points[~KeepOut(WALLS_M, (0, 1)).contains(points, RADIUS_M)]
    objective = Objective.for_task(MAZE, **({"rarity": 0.0} | changes))
    still = np.concatenate([points, np.zeros_like(points)], axis=1)
    here = np.array(start, np.float32)
    observation = np.append(here, [0, 0])
    return Problem(MAZE, Walled(), SeenStates(still, points, SPACE, 0.0), observation, here, np.array(goal), objective)


@pytest.mark.parametrize(
    ("start", "goal"), [((-0.8, -0.8), (0.8, 0.8)), ((-0.5, 0.1), (0.5, 0.1)), ((0.5, 0.0), (0.0, -0.8))]
)
def test_graph_in_the_maze_finds_the_exact_way_by_what_can_be_reached_alone(start, goal):
    made = maze(start, goal)
    found = solved("graph", made, nodes=1000, neighbours=60, entries=100)
    exact = shortest_path(start, goal, np.concatenate([WALLS_M, FENCE_M]), RADIUS_M)
    best = float(np.linalg.norm(np.diff(exact, axis=0), axis=1).sum())
    assert best - 1e-6 <= length(made.achieved, found.knots) <= 1.12 * best
    assert found.miss.max() < 0.06 and found.knots[-1].tolist() == pytest.approx(goal)


@pytest.mark.parametrize("name", ["cem", "mppi", "gradient"])
def test_sampling_in_the_maze_finds_a_way_around_a_corner_by_what_can_be_reached_alone(name):
    made = maze((0.2, -0.6), (0.3, -0.1), segments=3, segment_steps=12)
    found = solved(name, made)
    assert found.miss.max() < 0.06 and found.knots[-1] == pytest.approx([0.3, -0.1], abs=0.03)
    assert found.knots[:, 0].max() > 0.45, "around the end of the wall"


def test_graph_without_a_chain_of_reaches_proposes_nothing():
    islands = np.array([[-0.5, 0], [-0.4, 0], [5.0, 0], [5.1, 0]], np.float32)
    made = replace(problem(goal=(5.0, 0.1)), states=SeenStates(islands, islands, SPACE, 0.0))
    assert OPTIMISERS["graph"]().solve(made, np.random.default_rng(0)) is None


def test_graph_finds_its_edges_anew_for_new_weights_and_prices_them_anew_for_new_keep_outs():
    graph = OPTIMISERS["graph"]()
    rng = np.random.default_rng(0)
    free = problem()
    straight = graph.solve(free, rng)
    around = graph.solve(replace(free, keep_out=WALL), rng)
    assert length(free.achieved, straight.knots) < 1.01 < length(free.achieved, around.knots)
    assert graph.solve(free, rng).knots.tolist() == straight.knots.tolist()
    slow = type(EXACT)(SPACE, EXACT.horizon, STEP_M / 3)
    assert graph.solve(replace(free, model=slow), rng).steps.sum() > 2 * straight.steps.sum()


def test_graph_passes_by_postures_that_change_a_lot():
    # Two ways of equal length; the states of the upper one have another elbow.
    upper = np.array([[-0.2, 0.2], [0.2, 0.2]], np.float32)
    lower = upper * [1, -1]
    places = np.concatenate([upper, lower, [[-0.5, 0], [0.5, 0]]]).astype(np.float32)
    elbow = np.array([[3.0], [3.0], [0], [0], [0], [0]], np.float32)
    task = plane()
    names = replace(task.observation, names=("x", "elbow"))
    wall = KeepOut(np.array([[[-0.1, -0.1], [0.1, 0.1]]]), (0, 1))
    states = SeenStates(np.concatenate([places[:, :1], elbow], axis=1), places, SPACE, posture=0.2)
    made = replace(
        problem(keep_out=wall, task=replace(task, observation=names)), states=states, observation=np.array([-0.5, 0.0])
    )
    assert (solved("graph", made).knots[:-1, 1] < 0).all()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_same_seed_gives_the_same_plan(name):
    made = problem(keep_out=WALL)
    one, other = (solved(name, made, 3) for _ in range(2))
    assert one.knots.tolist() == other.knots.tolist() and one.cost == other.cost


@pytest.mark.parametrize("name", CONTINUOUS)
def test_late_gives_what_was_found_so_far_and_reports_it(name):
    found = OPTIMISERS[name]().solve(problem(keep_out=WALL), np.random.default_rng(0), late=lambda: True)
    assert found is not None and found.timed_out and np.isfinite(found.cost)


@pytest.mark.parametrize("name", ["cem", "mppi", "gradient"])
def test_warm_start_is_not_lost(name):
    made = problem(keep_out=WALL)
    good = np.array([[-0.09, 0.34], [0.25, 0.2], [0.5, 0.0]], np.float32)
    options = {"population": 8} | ({"iterations": 1} if name != "gradient" else {"iterations": 0})
    options |= {"elites": 4} if name == "cem" else {}
    found = OPTIMISERS[name](**options).solve(made, np.random.default_rng(0), warm=good)
    assert found.cost <= made.cost(good[None])[0] + 1e-6


def test_seeds_end_at_the_goal_and_go_over_seen_states():
    made = problem()
    plans = initial_plans(made, np.random.default_rng(0), 20)
    assert plans.shape == (20, 3, 2)
    assert (plans[:, -1] == made.goal).all()
    assert plans[0] == pytest.approx(np.array([[-1 / 6, 0], [1 / 6, 0], [0.5, 0]]), abs=1e-6)
    assert len({plan.tobytes() for plan in plans}) > 15


def test_seeds_for_a_goal_that_is_farther_than_a_plan_go_a_part_of_the_way_too():
    near, far = (problem((-0.8, 0.0), (0.8, 0.0), segment_steps=steps) for steps in (16, 6))
    assert not near.far and far.far and far.stride == pytest.approx(0.3)
    there = (initial_plans(far, np.random.default_rng(0), 20)[:, -1] == far.goal).all(axis=1)
    assert 5 < there.sum() < 15 and there[0]


def test_along_spaces_knots_evenly_around_corners():
    corners = np.array([[[0, 0], [1, 0], [1, 1]]], np.float32)
    assert resample(corners, 4)[0] == pytest.approx(np.array([[0.5, 0], [1, 0], [1, 0.5], [1, 1]]), abs=1e-6)


def test_coloured_noise_has_unit_variance_and_neighbours_that_go_together():
    rng = np.random.default_rng(0)
    white, red = (coloured_noise(rng, (4000, 6, 2), exponent) for exponent in (0.0, 2.0))
    for noise in (white, red):
        assert noise.std() == pytest.approx(1.0, abs=0.03)
    assert abs((white[:, 0] * white[:, 1]).mean()) < 0.05 < 0.4 < (red[:, 0] * red[:, 1]).mean()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cem", {"elites": 500}),
        ("mppi", {"temperature": 0.0}),
        ("gradient", {"particles": 0}),
        ("cem", {"kept": -1}),
        ("cem", {"shrink": 0.5}),
    ],
)
def test_settings_that_make_no_sense_are_rejected(name, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        OPTIMISERS[name](**options)


def test_cem_with_a_single_elite_still_draws_plans_when_its_population_has_shrunk():
    found = solved("cem", problem(), elites=1, kept=1, population=8, iterations=20)
    assert np.isfinite(found.cost)


# The maze: its walls hold, its ball is as fast as it says, and its shortest ways are known exactly


@pytest.fixture
def env():
    made = MazeEnv()
    yield made
    made.close()


def test_ball_driven_along_a_corridor_gets_to_its_speed_and_not_beyond(env):
    env.reset(seed=0)
    env.data.qpos[:] = (-0.9, -0.7)
    speeds = [env.step(np.array([1.0, 0.0]))[0]["observation"][2] for _ in range(12)]
    assert 0.3 * SPEED_M_S < speeds[0] < 0.7 * SPEED_M_S, "it has inertia"
    assert speeds[-1] == pytest.approx(SPEED_M_S, rel=0.02)


def test_ball_driven_against_a_wall_stays_on_its_side_and_slides(env):
    env.reset(seed=0)
    env.data.qpos[:] = (-0.5, -0.7)
    for _ in range(25):
        seen, *_ = env.step(np.array([0.3, 1.0]))
    x, y = seen["achieved_goal"]
    assert y < WALLS_M[0, 0, 1] and x > -0.2


def test_starts_and_goals_are_clear_of_the_walls(env):
    for seed in range(50):
        seen, _ = env.reset(seed=seed)
        for key in ("achieved_goal", "desired_goal"):
            inside = (seen[key] > WALLS_M[:, 0] - RADIUS_M) & (seen[key] < WALLS_M[:, 1] + RADIUS_M)
            assert not inside.all(axis=1).any()
            assert MAZE.goal.low[0] <= seen[key].min() and seen[key].max() <= MAZE.goal.high[0]


def test_shortest_way_around_one_box_is_over_its_nearer_corner():
    way = shortest_path((-1, 0), (1, 0), [[(-0.1, -1.0), (0.1, 0.5)]])
    assert way.tolist() == [[-1, 0], [-0.1, 0.5], [0.1, 0.5], [1, 0]]


def test_shortest_way_into_a_closed_box_is_none():
    ring = [[(-1, -1), (1, -0.9)], [(-1, 0.9), (1, 1)], [(-1, -1), (-0.9, 1)], [(0.9, -1), (1, 1)]]
    assert len(shortest_path((0, 0), (3, 0), ring)) == 0
