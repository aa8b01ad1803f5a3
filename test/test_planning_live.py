"""What the planner says to the policy, state by state: with plans that are made up, and without ROS."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import Announcement, Mode, State
from tdm_ros.planning import GoalSpace, KeepOut, Plan, Status, SubgoalPlanner
from tdm_ros.planning.live import MAX_ATTEMPTS, RETRY_STEPS, LivePlanner, PlannerBuilder
from tdm_ros.planning.plan import Pursuer, PursuitSettings
from tdm_ros.replay import Step
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH

TASK = SAWYER_REACH["velocity"]
START = np.array([0.4, 0.2, 0.2], np.float32)
KNOT = np.array([0.4, 0.0, 0.5], np.float32)
GOAL = np.array([0.4, -0.2, 0.2], np.float32)
WALL = KeepOut(np.array([[[0.0, -0.05, -0.1], [1.0, 0.05, 0.4]]]), (0, 1, 2))


def planned(steps: int = 12) -> Plan:
    return Plan(Status.PLANNED, np.array([KNOT, GOAL]), np.array([steps, steps]), np.array([0.01, 0.02], np.float32))


def none(status: Status) -> Plan:
    return Plan.none(status, f"because {status.value}", 3)


class Scripted:
    """Stands for a planner: gives the plans of a list, the last one for ever."""

    def __init__(self, *plans: Plan) -> None:
        self.plans, self.asked, self.learned = list(plans), [], []
        self.keep_out = KeepOut(np.zeros((0, 2, 3)), (0, 1, 2))
        self.multiplier = 1.0

    def plan(self, observation, achieved, goal, budget_s):
        self.asked.append((np.array(achieved), np.array(goal)))
        return self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]

    def free(self, start, end):
        return not bool(self.keep_out.crosses(start, end))

    def executed(self, predicted, reached):
        self.learned.append((predicted, reached))


def sample(cycle: int, hand=START) -> ArmSample:
    return ArmSample(cycle, cycle, 1, NEUTRAL_RAD, np.zeros(7), np.asarray(hand, float), np.zeros(7, np.float32), 1)


def episode(number: int = 1, start: int = 100, exploration: float = 0.0, mode: Mode = Mode.EVALUATE) -> Announcement:
    return Announcement(State.RUNNING, mode, number, start, 50, GOAL, exploration)


def live_with(*plans: Plan, announced: Announcement | None = None) -> tuple[LivePlanner, Scripted]:
    planner = Scripted(*plans)
    live = LivePlanner(LiveTask(TASK), planner, 0.2, 10)  # type: ignore[arg-type]
    live.update(sample(99))
    live.announce(announced or episode())
    return live, planner


def test_update_publishes_a_plan_knot_by_knot() -> None:
    live, planner = live_with(planned(), none(Status.OUT_OF_TIME))
    (order,) = live.update(sample(100))
    assert order.status == "PLANNED" and not order.last and (order.start_cycle, order.steps_left) == (100, 11)
    np.testing.assert_array_equal(order.goal, KNOT)
    assert live.update(sample(101)) == []
    (order,) = live.update(sample(105, KNOT))  # sooner than planned
    assert order.last and (order.start_cycle, order.steps_left) == (105, 11)
    np.testing.assert_array_equal(order.goal, GOAL)
    np.testing.assert_allclose(planner.learned, [(KNOT, KNOT)])
    assert live.statistics.values()["segments"] == 1


def test_look_late_plan_leaves_the_last_one_standing() -> None:
    live, planner = live_with(planned(), none(Status.OUT_OF_TIME))
    live.update(sample(100))
    for cycle in range(101, 112):
        assert live.update(sample(cycle)) == []
    assert len(planner.asked) >= 2, "it was time for a new plan"


def test_look_first_plan_is_late_holds_and_tries_again_at_once() -> None:
    live, planner = live_with(none(Status.OUT_OF_TIME), none(Status.OUT_OF_TIME), planned())
    (order,) = live.update(sample(100))
    assert order.status == "OUT_OF_TIME" and order.goal.size == 0
    live.update(sample(101))
    (order,) = live.update(sample(102))
    assert order.status == "PLANNED" and len(planner.asked) == 3


def test_look_no_way_and_what_is_pursued_leads_through_a_wall_holds() -> None:
    live, planner = live_with(planned(), none(Status.UNREACHABLE))
    live.update(sample(100))
    planner.keep_out = WALL
    assert live.update(sample(101, KNOT))[0].last, "over the wall, on to the goal"
    (order,) = live.update(sample(103, START))  # thrown back
    assert order.status == "OUT_OF_TIME" and order.goal.size == 0 and "not found yet: because" in order.reason


def test_look_no_way_is_looked_for_a_few_times_before_it_is_reported_that_there_is_none() -> None:
    live, planner = live_with(*[none(Status.UNREACHABLE)] * MAX_ATTEMPTS)
    statuses = [order.status for cycle in range(100, 100 + MAX_ATTEMPTS) for order in live.update(sample(cycle))]
    assert statuses == ["OUT_OF_TIME", "UNREACHABLE"] and len(planner.asked) == MAX_ATTEMPTS


def test_look_a_way_that_is_found_at_the_second_try_is_gone() -> None:
    live, _ = live_with(none(Status.UNREACHABLE), planned())
    statuses = [order.status for cycle in (100, 101) for order in live.update(sample(cycle))]
    assert statuses == ["OUT_OF_TIME", "PLANNED"]


@pytest.mark.parametrize("status", [Status.GOAL_IN_KEEP_OUT, Status.BAD_GOAL, Status.NO_EXPERIENCE])
def test_look_without_a_plan_holds_says_why_once_and_tries_again_later(status: Status) -> None:
    live, planner = live_with(none(status), planned())
    (order,) = live.update(sample(100))
    assert order.status == status.name and order.goal.size == 0 and not order.plan.usable
    for cycle in range(101, 100 + RETRY_STEPS):
        assert live.update(sample(cycle)) == []
    assert len(planner.asked) == 1
    (order,) = live.update(sample(100 + RETRY_STEPS))
    assert order.status == "PLANNED"


@pytest.mark.parametrize("status", [Status.NO_EXPERIENCE, Status.UNREACHABLE, Status.OUT_OF_TIME])
def test_look_exploring_without_a_plan_goes_straight(status: Status) -> None:
    live, planner = live_with(none(status), announced=episode(exploration=0.1, mode=Mode.TRAIN))
    planner.keep_out = WALL
    (order,) = live.update(sample(100))
    assert order.status == "DIRECT" and order.last and "exploring" in order.reason
    np.testing.assert_array_equal(order.goal, GOAL)
    for cycle in range(101, 108):
        assert live.update(sample(cycle)) == []


def test_look_exploring_a_goal_in_a_keep_out_holds_all_the_same() -> None:
    live, _ = live_with(none(Status.GOAL_IN_KEEP_OUT), announced=episode(exploration=0.1, mode=Mode.TRAIN))
    (order,) = live.update(sample(100))
    assert order.goal.size == 0


def test_look_next_episode_is_planned_for_before_it_begins() -> None:
    live, planner = live_with(planned(60))
    live.update(sample(140))
    live.announce(episode(2, 150))
    (order,) = live.update(sample(146))
    assert order.episode == 2 and (order.start_cycle, order.steps_left) == (150, 59)
    asked = len(planner.asked)
    assert [live.update(sample(cycle)) for cycle in range(147, 155)] == [[]] * 8
    assert len(planner.asked) == asked, "planned once"


def test_call_off_holds_for_good() -> None:
    live, _ = live_with(planned())
    live.update(sample(100))
    (order,) = live.cancel("nobody wants it any more")
    assert order.status == "CANCELED" and order.goal.size == 0
    assert live.cancel("again") == []
    for cycle in range(101, 130):
        assert live.update(sample(cycle)) == []


def test_cancel_holds_in_the_announced_episode_too() -> None:
    """The policy has its first subgoal already, and would pursue it without a planner."""
    live, _ = live_with(planned(60))
    live.update(sample(140))
    live.announce(episode(2, 150))
    live.update(sample(146))
    canceled = live.cancel("the node planner is inactive")
    assert [(order.episode, order.status, order.goal.size, order.start_cycle) for order in canceled] == [
        (1, "CANCELED", 0, 146),
        (2, "CANCELED", 0, 150),
    ]
    assert [live.update(sample(cycle)) for cycle in range(147, 160)] == [[]] * 13


def test_swap_keeps_boxes_and_what_executions_taught() -> None:
    live, planner = live_with(none(Status.NO_EXPERIENCE))
    planner.keep_out, planner.multiplier = WALL, 7.0
    fresh = Scripted(planned())
    live.set_planner(fresh)  # type: ignore[arg-type]
    assert live.planner is fresh and fresh.keep_out is WALL and fresh.multiplier == 7.0
    assert live.update(sample(100))[0].status == "PLANNED"


def test_look_without_planning_the_goal_is_passed_on_once() -> None:
    live = LivePlanner(LiveTask(TASK), None, 0.2, 10)
    live.announce(episode(start=0))
    (order,) = live.update(sample(100))
    assert order.status == "DIRECT" and order.last
    assert [live.update(sample(cycle)) for cycle in range(1, 49)] == [[]] * 48


# A plan that is pursued: which knot when, and when to plan anew


SPACE = GoalSpace((0.2, 0.2), (False, False))


def plan_of(*knots: tuple[float, float], steps: int = 5) -> Plan:
    count = len(knots)
    misses = np.full(count, 0.01, np.float32)
    return Plan(Status.PLANNED, np.array(knots, np.float32), np.full(count, steps), misses)


def pursuer(free=lambda start, end: True) -> Pursuer:
    return Pursuer(SPACE, PursuitSettings(10, 0.04, 0.1), free)


def test_begin_leaves_out_knots_that_are_passed_already() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((0.0, 0.01), (0.02, 0.0), (0.3, 0.0), (0.6, 0.0)), 7, (0.0, 0.0))
    target = pursuit.target(7)
    assert target is not None and target.number == 2 and target.steps_left == 4
    assert pursuit.replan_reason(7, (0.0, 0.0)) == "", "nothing was carried out"
    assert pursuit.advance(8, (0.01, 0.0)) == []


def test_begin_does_not_leave_out_a_knot_on_the_way_around_something() -> None:
    pursuit = pursuer(free=lambda start, end: False)
    pursuit.begin(plan_of((0.0, 0.01), (0.3, 0.0)), 0, (0.0, 0.0))
    assert pursuit.target(0).number == 0


def test_begin_never_leaves_out_the_last_knot() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((0.0, 0.01)), 0, (0.0, 0.0))
    assert pursuit.target(0).number == 0


def test_advance_ends_segments_by_time_and_by_nearness_and_says_how_far_off() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((0.3, 0.0), (0.6, 0.0), (0.9, 0.0)), 0, (0.0, 0.0))
    assert pursuit.advance(2, (0.15, 0.0)) == [] and pursuit.target(2).steps_left == 2
    (near,) = pursuit.advance(3, (0.27, 0.0))
    assert (near.number, near.steps) == (0, 3) and abs(near.miss - 0.03) < 1e-6
    assert pursuit.replan_reason(3, (0.27, 0.0)) == "end of a segment"
    (late,) = pursuit.advance(8, (0.45, 0.0))
    assert (late.number, late.steps) == (1, 5) and abs(late.miss - 0.15) < 1e-6


def test_due_off_the_plan_by_schedule_and_at_the_end() -> None:
    pursuit = pursuer()
    assert pursuit.replan_reason(0, (0, 0)) == "no plan"
    pursuit.begin(plan_of((1.0, 0.0), steps=20), 0, (0.0, 0.0))
    assert pursuit.replan_reason(3, (0.2, 0.05)) == ""
    assert pursuit.replan_reason(3, (0.2, 0.11)) == "off the plan"
    assert pursuit.replan_reason(10, (0.5, 0.0)) == "schedule"
    pursuit.advance(20, (1.0, 0.0))
    assert pursuit.replan_reason(20, (1.0, 0.0)) == "end of the plan"
    assert pursuit.target(20).steps_left == 0


def test_begin_with_the_same_knot_does_not_put_it_off() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((1.0, 0.0), steps=12), 0, (0.0, 0.0))
    pursuit.begin(plan_of((1.0, 0.01), (1.5, 0.0), steps=12), 5, (0.4, 0.0))
    assert pursuit.target(5).steps_left == 6
    pursuit.begin(plan_of((1.0, 0.0), steps=3), 6, (0.5, 0.0))
    assert pursuit.target(6).steps_left == 2, "sooner is welcome"
    pursuit.begin(plan_of((0.0, 1.0), steps=12), 7, (0.5, 0.0))
    assert pursuit.target(7).steps_left == 11, "another knot has its own time"
    pursuit.begin(plan_of((0.0, 1.0), steps=12), 19, (0.0, 0.9))
    assert pursuit.target(19).steps_left == 11, "so has the same one, once its time was over"


def test_build_that_fails_in_the_background_is_reported_by_the_next_poll() -> None:
    def make() -> SubgoalPlanner:
        raise ValueError("no planner today")

    builder = PlannerBuilder(TASK, make, np.random.default_rng(0), 1.0)
    rest, hand = np.zeros(TASK.observation.size, np.float32), START
    builder.add(Step(rest, np.zeros(7, np.float32), rest, hand, hand, GOAL, False), True)
    builder._weights = (None, 1)  # type: ignore[assignment]
    assert builder.poll(10.0) is None
    assert builder._thread is not None
    builder._thread.join()
    with pytest.raises(ValueError, match="no planner today"):
        builder.poll(10.1)
    assert builder.poll(10.2) is None, "once is enough"
