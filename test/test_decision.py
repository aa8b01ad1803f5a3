"""What the policy does with the planner's subgoals: deadlines, holds, and a planner that fell silent."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement, Mode, State
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.decision import OVERDUE_CYCLES, Exploration, PolicyController, PolicySubgoal

TASK = SAWYER_REACH["velocity"]
GOAL = np.array([0.5, 0.0, 0.3], np.float32)
START = 100


class Asked:
    """Stands for an actor that chooses its horizon; notes the most that it was allowed, and by which way."""

    critic = ()
    sizes = (TASK.observation.size, 3, 7)

    class features:  # noqa: N801 - the attribute of that name
        horizon = 15

    def __init__(self):
        self.deadlines, self.free = [], []

    def act(self, observation, achieved, goal, steps_left):
        self.deadlines.append(steps_left)
        return np.zeros(7, np.float32)

    def select_horizon(self, observation, achieved, goal, most):
        self.free.append(most)
        return np.zeros(7, np.float32), 0, np.zeros(most + 1)


def sample(cycle: int) -> ArmSample:
    return ArmSample(cycle, cycle, 1, NEUTRAL_RAD, np.zeros(7), GOAL.astype(float), np.zeros(7, np.float32), 1)


@pytest.fixture
def actor() -> Asked:
    return Asked()


@pytest.fixture
def controller(actor: Asked) -> PolicyController:
    made = PolicyController(TASK, Exploration(7, np.random.default_rng(0)))
    made.set_actor(actor, 1)
    made.set_episode(Announcement(State.RUNNING, Mode.EVALUATE, 1, START, 1000, GOAL))
    return made


def test_decide_planned_subgoal_counts_down_to_its_deadline(controller: PolicyController, actor: Asked) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 3, GOAL, planned=True, last=False))
    for cycle in range(START, START + 4):
        assert controller.decide(sample(cycle))[0] is not None
    assert actor.deadlines == [3, 2, 1, 0] and not actor.free


def test_decide_goal_of_a_plan_is_pursued_freely_after_its_time(controller: PolicyController, actor: Asked) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 1, GOAL, planned=True, last=True))
    for cycle in (START, START + 1, START + 2, START + 500):
        assert controller.decide(sample(cycle))[0] is not None
    assert actor.deadlines == [1, 0] and actor.free == [15, 15]


def test_decide_direct_goal_has_no_deadline(controller: PolicyController, actor: Asked) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 2, GOAL))
    controller.decide(sample(START))
    assert actor.free == [15] and not actor.deadlines


def test_decide_subgoal_on_the_way_is_overdue_holds_until_another_comes(controller: PolicyController) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 2, GOAL, planned=True, last=False))
    assert controller.decide(sample(START + 2 + OVERDUE_CYCLES))[0] is not None
    decision, problem = controller.decide(sample(START + 3 + OVERDUE_CYCLES))
    assert decision is None and "overdue" in problem
    controller.set_subgoal(PolicySubgoal(1, START + 20, 5, GOAL, planned=True, last=False))
    assert controller.decide(sample(START + 20))[0] is not None


def test_decide_held_by_the_planner_until_another_subgoal(controller: PolicyController) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 0, np.zeros(0, np.float32), hold="UNREACHABLE"))
    decision, problem = controller.decide(sample(START))
    assert decision is None and problem == "the planner holds: UNREACHABLE"
    controller.set_subgoal(PolicySubgoal(1, START, 0, GOAL))
    assert controller.decide(sample(START + 1))[0] is not None
