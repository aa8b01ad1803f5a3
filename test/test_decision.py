"""Subgoals of the planner in the policy: deadlines, holds, a silent planner, and selection of the horizon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import Announcement, Mode, State
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.actor import HorizonSelector
from tdm_ros.tdm.decision import OVERDUE_CYCLES, Exploration, PolicyController, PolicySubgoal

TASK = SAWYER_REACH["velocity"]
GOAL = np.array([0.5, 0.0, 0.3], np.float32)
START = 100


class RecordingActor:
    """Stands for an actor that selects its horizon; records deadlines and allowed horizons."""

    critic = ()
    sizes = (TASK.observation.size, 3, 7)

    class features:  # noqa: N801 - the attribute of that name
        horizon = 15

    def __init__(self):
        self.deadlines, self.free = [], []

    def act(self, observation, achieved, goal, steps_left):
        self.deadlines.append(steps_left)
        return np.zeros(7, np.float32)

    def select_horizon(self, observation, achieved, goal, longest):
        self.free.append(longest)
        return np.zeros(7, np.float32), 0, np.zeros(longest + 1)


def sample(cycle: int) -> ArmSample:
    return ArmSample(cycle, cycle, 1, NEUTRAL_RAD, np.zeros(7), GOAL.astype(float), np.zeros(7, np.float32), 1)


@pytest.fixture
def actor() -> RecordingActor:
    return RecordingActor()


@pytest.fixture
def controller(actor: RecordingActor) -> PolicyController:
    made = PolicyController(LiveTask(TASK), Exploration(7, np.random.default_rng(0)))
    made.set_actor(actor, 1)
    made.set_episode(Announcement(State.RUNNING, Mode.EVALUATE, 1, START, 1000, GOAL))
    return made


def test_decide_planned_subgoal_counts_down_to_its_deadline(
    controller: PolicyController, actor: RecordingActor
) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 3, GOAL, planned=True, last=False))
    for cycle in range(START, START + 4):
        assert controller.decide(sample(cycle))[0] is not None
    assert actor.deadlines == [3, 2, 1, 0] and not actor.free


def test_decide_goal_of_a_plan_is_pursued_freely_after_its_time(
    controller: PolicyController, actor: RecordingActor
) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 1, GOAL, planned=True, last=True))
    for cycle in (START, START + 1, START + 2, START + 500):
        assert controller.decide(sample(cycle))[0] is not None
    assert actor.deadlines == [1, 0] and actor.free == [15, 15]


def test_decide_direct_goal_has_no_deadline(controller, actor) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 2, GOAL))
    controller.decide(sample(START))
    assert actor.free == [15] and not actor.deadlines


def test_decide_smoothed_keeps_a_part_of_what_was_executed_in_the_cycle_before(actor) -> None:
    controller = PolicyController(LiveTask(TASK), Exploration(7, np.random.default_rng(0)), smoothing=0.4)
    controller.set_actor(actor, 1)
    controller.set_episode(Announcement(State.RUNNING, Mode.EVALUATE, 1, START, 1000, GOAL))
    controller.set_subgoal(PolicySubgoal(1, START, 2, GOAL))
    # The actor wants zero; after a lost cycle nothing is known of the one before.
    cycles = [START, START + 1, START + 3]
    moved = [replace(sample(cycle), action=np.full(7, 0.5, np.float32)) for cycle in cycles]
    decided = [controller.decide(one)[0] for one in moved]
    assert [decision.action for decision in decided] == [pytest.approx(np.full(7, value)) for value in (0, 0.2, 0)]


def test_decide_smoothed_by_what_is_not_finite_gives_no_action(actor) -> None:
    controller = PolicyController(LiveTask(TASK), Exploration(7, np.random.default_rng(0)), smoothing=0.4)
    controller.set_actor(actor, 1)
    controller.set_episode(Announcement(State.RUNNING, Mode.EVALUATE, 1, START, 1000, GOAL))
    controller.set_subgoal(PolicySubgoal(1, START, 2, GOAL))
    assert controller.decide(sample(START))[0] is not None
    wrong = replace(sample(START + 1), action=np.full(7, np.nan, np.float32))
    assert controller.decide(wrong) == (None, "action not finite")


def test_decide_subgoal_on_the_way_is_overdue_holds_until_another_comes(controller) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 2, GOAL, planned=True, last=False))
    assert controller.decide(sample(START + 2 + OVERDUE_CYCLES))[0] is not None
    decision, problem = controller.decide(sample(START + 3 + OVERDUE_CYCLES))
    assert decision is None and "overdue" in problem
    controller.set_subgoal(PolicySubgoal(1, START + 20, 5, GOAL, planned=True, last=False))
    assert controller.decide(sample(START + 20))[0] is not None


def test_decide_held_by_the_planner_until_another_subgoal(controller) -> None:
    controller.set_subgoal(PolicySubgoal(1, START, 0, np.zeros(0, np.float32), hold="UNREACHABLE"))
    decision, problem = controller.decide(sample(START))
    assert decision is None and problem == "the planner holds: UNREACHABLE"
    controller.set_subgoal(PolicySubgoal(1, START, 0, GOAL))
    assert controller.decide(sample(START + 1))[0] is not None


FIRST, OTHER = np.zeros(1, np.float32), np.ones(1, np.float32)


class LongestFirst:
    """Stands for an actor that selects the longest horizon, or the given ones; records the allowed ones."""

    class features:  # noqa: N801 - the attribute of that name
        horizon = 4

    def __init__(self, choices=None):
        self.allowed, self._choices = [], choices

    def select_horizon(self, observation, achieved, goal, longest):
        self.allowed.append(longest)
        selected = min(longest, self._choices.pop(0)) if self._choices else longest
        return np.array([selected], np.float32), selected, np.zeros(longest + 1)


def allowed_horizons(actor, goals):
    selector = HorizonSelector()
    for goal in goals:
        selector.act(actor, FIRST, FIRST, goal)
    return actor.allowed


def test_selected_horizon_counts_down_before_the_next_selection():
    assert allowed_horizons(LongestFirst(), [FIRST] * 7) == [4, 3, 2, 1, 0, 4, 3]


def test_shorter_horizon_may_replace_the_selected_one():
    assert allowed_horizons(LongestFirst([4, 1, 4]), [FIRST] * 5) == [4, 3, 0, 4, 3]


def test_other_goal_resets_the_selection():
    assert allowed_horizons(LongestFirst(), [FIRST, FIRST, OTHER, OTHER]) == [4, 3, 4, 3]
