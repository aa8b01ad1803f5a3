"""What planning is measured on: tasks in which going straight for the goal fails, or takes longer than the horizon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.around_env import HEIGHT_M, RING_M, ring_goal
from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.envs.manipulation import HELD_M as PUSHER_HELD_M
from tdm_ros.envs.reach_env import START_SPREAD_RAD
from tdm_ros.envs.sawyer_push_env import HELD_M as PUSH_HELD_M
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH, SCENES
from tdm_ros.tasks.registry import FENCE_M, RADIUS_M, WALLS_M
from tdm_ros.tasks.seeds import Purpose, generator, reset_seed

Options = dict[str, Any]
BEHIND_RAD = (1.9, 2.4)
"""How far the first joint is turned to one side at the start, and to the other at the goal."""


@dataclass(frozen=True)
class PlanningCase:
    """One kind of attempt.

    Parameters
    ----------
    task : str
        As `make_goal_env` takes it; what is planned with is learned in it, with its own starts and goals.
    train_steps : int
        Environment steps of learning.
    steps : int
        Of an attempt.
    success : float
        Distance that counts [goal unit], if no region was entered on the way.
    options : callable
        Draws the reset options of an attempt.
    keep_out : tuple of (low, high)
        Boxes that the hand must stay out of [goal unit].
    attributes : dict
        Set on the environment.
    rule : float
        Distance within which the puck counts as held, where the paper's rule of two stages applies [goal unit]; else 0.
    walls : tuple of (low, high)
        Obstacles, which only methods with known walls have [goal unit].
    clear : float
        How far from them the middle of what moves must stay [goal unit].
    objective : dict
        What is changed in `Objective.for_task`.
    """

    task: str
    train_steps: int
    steps: int
    success: float
    options: Callable[[np.random.Generator], Options] = lambda rng: {}
    keep_out: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    rule: float = 0.0
    walls: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    clear: float = 0.0
    objective: dict[str, Any] = field(default_factory=dict)

    def begin(self, env: GoalEnv, purpose: Purpose, seed: int, episode: int) -> tuple[Any, NDArray[np.float32]]:
        """Reset ``env`` for an attempt; returns what is seen, and the goal that is judged, (G,) [goal unit]."""
        for name, value in self.attributes.items():
            setattr(env.unwrapped, name, value)
        options = self.options(generator(purpose, seed, episode))
        seen, _ = env.reset(seed=reset_seed(purpose, seed, episode), options=options or None)
        judged = (
            env.get_wrapper_attr("evaluation_goal") if env.has_wrapper_attr("evaluation_goal") else seen["desired_goal"]
        )
        return seen, np.asarray(judged, np.float32)


def _behind_the_wall(rng: np.random.Generator) -> Options:
    return {"goal": SCENES["wall"].sample_goal(SAWYER_REACH["velocity"], rng, evaluation=True)}


def _past_the_stop(rng: np.random.Generator) -> Options:
    """Start on one side of the back, goal on the other: the short way leads past the stop of the first joint."""
    side = rng.choice((-1.0, 1.0))
    return _round(rng, side * rng.uniform(*BEHIND_RAD), -side * rng.uniform(*BEHIND_RAD))


def _round(rng: np.random.Generator, start_rad: float, goal_rad: float) -> Options:
    """From one angle of the first joint to a goal at another; the planner gets no joint of the goal."""
    start = NEUTRAL_RAD + rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, NEUTRAL_RAD.shape)
    goal = ring_goal(goal_rad, rng.uniform(*RING_M), rng.uniform(*HEIGHT_M))
    start[0] = goal[0] = start_rad
    return {"q_rad": start, "goal": goal}


def _half_round(rng: np.random.Generator) -> Options:
    """A third to a half of a turn through the front; no stop is in the way."""
    side, turn = rng.choice((-1.0, 1.0)), rng.uniform(2 * np.pi / 3, np.pi)
    return _round(rng, side * turn / 2, -side * turn / 2)


CASES: dict[str, PlanningCase] = {
    "wall": PlanningCase(
        "sawyer_reach",
        5_000,
        100,
        0.03,
        _behind_the_wall,
        SCENES["wall"].keep_out_m,
        objective={"margin": 0.04},
    ),
    "stop": PlanningCase("sawyer_around", 15_000, 250, 0.03, _past_the_stop, objective={"segments": 8}),
    "half_round": PlanningCase("sawyer_around", 15_000, 150, 0.03, _half_round, objective={"segments": 6}),
    "maze": PlanningCase(
        "maze",
        8_000,
        128,
        0.05,
        walls=tuple((tuple(low), tuple(high)) for low, high in np.concatenate([WALLS_M, FENCE_M]).tolist()),
        clear=RADIUS_M,
        objective={"segments": 6},
    ),
    "push": PlanningCase("sawyer_push", 10_000, 64, 0.05, rule=PUSH_HELD_M),
    "push_around": PlanningCase(
        "sawyer_push_around",
        20_000,
        128,
        0.05,
        attributes={"beyond": True},
        rule=PUSH_HELD_M,
        objective={"segments": 5},
    ),
    "pusher": PlanningCase("pusher", 20_000, 100, 0.1, rule=PUSHER_HELD_M),
}
"""By name. `wall`: reach behind a wall that is 40 cm high. `stop`: from one side of the robot's back to the other; the
short way leads past a joint's stop. `half_round`: far, but nothing is in the way. `maze`: walls that only experience
tells of, ways of up to 4 m. `push` and `pusher`: the tasks as they are. `push_around`: the hand starts beyond the
puck."""
