"""The supervisor's state machine, driven state by state without ROS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.episodes import (
    PATIENCE,
    STATE_TRANSITIONS,
    EpisodeMachine,
    EpisodeResult,
    StateTransition,
    Surroundings,
)
from tdm_ros.control.goals import Goals, Schedule
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import Announcement, Mode, Source, State, Timeline
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH, SCENES
from tdm_ros.types import CycleRange

TASK = SAWYER_REACH["velocity"]


def sample_of(cycle: int, announced: Announcement, source: Source, **given: str) -> ArmSample:
    """The state at the end of a cycle in which ``announced`` was in effect."""
    return ArmSample(
        cycle,
        cycle * 50_000_000,
        announced.episode if announced.state == State.RUNNING or announced.demonstration else 0,
        NEUTRAL_RAD,
        np.zeros(7),
        np.array([0.5, 0.0, 0.3]),
        np.zeros(7, np.float32),
        int(source),
        **given,  # type: ignore[arg-type]
    )


class Arm:
    """An arm that follows the announcements, in whole cycles, after ``cycles`` of them."""

    def __init__(self, cycles: int = 0, **schedule: object) -> None:
        self.machine = EpisodeMachine(LiveTask(TASK), Schedule(**schedule), Goals(TASK, seed=3))  # type: ignore[arg-type]
        self.timeline = Timeline()
        self.cycle, self.arm_run = 0, ""
        self.results: list[EpisodeResult] = []
        self.missing, self.final_weights, self.any_weights = "", True, True
        self.unrecorded = ""
        self.at_home = True
        self.answers = True
        self.skip = 0
        self.fault = ""
        self.by_person = False
        self.run(cycles)

    @property
    def state(self) -> State:
        return self.machine.announced.state

    @property
    def reason(self) -> str:
        return self.machine.announced.reason

    def until(self, is_so: Callable[[], object]) -> None:
        while not is_so():
            self.run(1)

    def until_evaluation(self) -> None:
        """Run until the first episode of the evaluation is announced."""
        self.until(lambda: self.machine.announced.mode == Mode.EVALUATE and self.state == State.RUNNING)

    def run(self, cycles: int) -> None:
        for _ in range(cycles):
            self.timeline.announce(self.machine.announced, self.cycle)
            announced = self.timeline.at(self.cycle)
            sources = {State.RUNNING: Source.POLICY, State.RESETTING: Source.RESET}
            source = sources.get(announced.state, Source.NONE)
            if announced.state in sources and not self.answers:
                source = Source.SAFETY
            source = Source.HUMAN if self.by_person else source
            self.cycle += 1
            why = "no command for 0.1 s" if source == Source.SAFETY else ""
            sample = sample_of(self.cycle, announced, source, hold_reason=why, fault=self.fault, run=self.arm_run)
            if self.skip:
                self.skip -= 1
                continue
            given = self.missing, self.any_weights, self.final_weights, self.unrecorded
            around = Surroundings(self.cycle * 0.05, self.at_home, *given)
            result = self.machine.on_sample(sample, around)
            if result:
                self.results.append(result)


def test_machine_undisturbed_run_trains_evaluates_and_is_done() -> None:
    arm = Arm(900, duration=500, evaluations=4, reset_every=4)
    assert arm.machine.done
    assert [r.mode for r in arm.results].count(Mode.EVALUATE) == 4
    assert all(r.end == "time_limit" for r in arm.results)
    assert 500 <= arm.machine.robot_cycles < 550
    assert [r.episode for r in arm.results] == list(range(1, len(arm.results) + 1))


def test_machine_episode_whose_last_state_is_none_of_the_task_is_not_scored() -> None:
    arm = Arm(duration=0)
    arm.machine.live.problem = lambda sample: "the position of the object is unknown"  # type: ignore[method-assign]
    arm.run(200)
    assert arm.results and {(r.end, r.why) for r in arm.results} == {
        ("interrupted", "the position of the object is unknown")
    }


def test_machine_consecutive_episodes_share_no_and_lose_no_cycle() -> None:
    arm = Arm(duration=0, reset_every=1000)
    starts = []
    for _ in range(260):
        arm.run(1)
        starts.append((arm.machine.announced.episode, arm.machine.announced.start_cycle))
    begins = [start for _, start in sorted(set(s for s in starts if s[0] > 0))]
    assert set(np.diff(begins)) == {50}


@pytest.mark.parametrize("auto_resume", [True, False])
def test_machine_episode_that_is_not_recorded_is_interrupted_and_none_begins_until_it_is(auto_resume: bool) -> None:
    arm = Arm(duration=0, auto_resume=auto_resume)
    arm.until(lambda: len(arm.results) == 1 and arm.state == State.RUNNING)
    arm.unrecorded = arm.missing = "nothing is recorded: collector"
    arm.run(2)
    assert arm.state == State.PAUSED and arm.reason == arm.unrecorded
    assert [(one.end, one.why) for one in arm.results[1:]] == [("interrupted", arm.unrecorded)]
    arm.run(200)
    assert len(arm.results) == 2 and arm.state == (State.HOLD if auto_resume else State.PAUSED)
    arm.unrecorded = arm.missing = ""
    arm.run(60)
    assert (len(arm.results) > 2) is auto_resume, "on a real arm the operator has to resume"


def test_machine_node_missing_waits_and_says_who() -> None:
    arm = Arm(duration=500)
    arm.missing = "policy"
    arm.run(30)
    assert arm.state == State.HOLD and "policy" in arm.reason
    arm.missing = ""
    arm.run(10)
    assert arm.state == State.RUNNING


def test_machine_arm_holds_within_an_episode_it_is_not_scored_and_goes_on() -> None:
    arm = Arm(30, duration=1000)
    arm.answers = False
    arm.run(5)
    assert arm.state == State.PAUSED
    assert arm.results[-1].end == "interrupted" and "no command" in arm.results[-1].why
    arm.answers = True
    arm.run(80)
    assert arm.results[-1].end == "time_limit"


def test_machine_arm_holds_on_the_way_home_it_pauses() -> None:
    arm = Arm(duration=1000, auto_resume=False)
    arm.at_home = False
    arm.run(10)
    assert arm.state == State.RESETTING
    arm.answers = False
    arm.run(3)
    assert arm.state == State.PAUSED and "no command" in arm.reason
    arm.answers = True
    arm.run(100)
    assert arm.state == State.PAUSED, "only a person goes on"


@pytest.mark.parametrize("when", ["running", "on the way home"])
def test_machine_fault_of_the_arm_stays_until_it_is_cleared(when: str) -> None:
    arm = Arm(duration=1000)
    arm.at_home = when == "running"
    arm.run(30)
    arm.fault = "the e-stop is pressed"
    arm.run(2)
    assert arm.state == State.FAULT
    assert arm.reason == "the arm: the e-stop is pressed"
    arm.fault = ""
    arm.run(200)
    assert arm.state == State.FAULT
    assert arm.machine.clear_fault() == ""
    arm.run(200)
    assert arm.state == State.DISABLED, "to clear it starts nothing"


def test_machine_cleared_fault_that_the_arm_still_reports_is_a_new_one_only_after_a_while() -> None:
    arm = Arm(30, duration=1000)
    arm.fault = "a collision"
    arm.run(2)
    arm.machine.clear_fault()
    arm.run(3)  # on their way when the arm heard of it
    assert arm.state == State.DISABLED
    arm.run(20)
    assert arm.state == State.FAULT, "it goes on"


def test_machine_interrupted_evaluation_goal_is_repeated() -> None:
    arm = Arm(duration=100, evaluations=3, reset_every=1000)
    arm.until_evaluation()
    arm.run(48)  # the next one is announced already
    arm.answers = False
    arm.run(2)
    arm.answers = True
    arm.run(300)
    goals = [r.goal for r in arm.results if r.mode == Mode.EVALUATE and r.end == "time_limit"]
    expected = [Goals(TASK, seed=3).evaluation(i) for i in range(3)]
    np.testing.assert_array_equal(goals, expected)
    assert arm.machine.done


def test_machine_lost_last_state_is_not_scored() -> None:
    arm = Arm(duration=1000, reset_every=1000)
    arm.until(lambda: arm.state == State.RUNNING)
    end = arm.machine.announced.start_cycle + 50
    arm.run(end - arm.cycle - 1)
    arm.skip = 1
    arm.run(3)
    assert arm.results[-1].end == "interrupted" and "lost" in arm.results[-1].why


def test_machine_no_weights_evaluation_is_skipped_with_a_reason() -> None:
    arm = Arm(duration=100, evaluations=5)
    arm.final_weights = arm.any_weights = False
    arm.run(700)
    assert arm.machine.done and arm.machine.evaluated == 0 and "no weights" in arm.reason


def test_machine_final_weights_late_waits_for_them() -> None:
    arm = Arm(duration=100, evaluations=1)
    arm.final_weights = False
    arm.run(250)
    assert arm.state == State.HOLD and "weights" in arm.reason
    arm.final_weights = True
    arm.run(70)
    assert arm.machine.done


def test_machine_policy_gone_for_good_gives_up_evaluating() -> None:
    arm = Arm(duration=100, evaluations=5)
    arm.until(lambda: arm.machine.mode == Mode.EVALUATE)
    arm.answers = False
    arm.run(600)
    assert arm.machine.done and "gave up" in arm.reason


def test_machine_without_auto_start_waits_for_start() -> None:
    arm = Arm(50, duration=1000, auto_start=False)
    assert arm.state == State.DISABLED
    arm.machine.start()
    arm.run(20)
    assert arm.state == State.RUNNING


def test_machine_not_home_in_time_is_a_fault() -> None:
    arm = Arm(duration=1000, reset_timeout=50)
    arm.at_home = False
    arm.run(80)
    assert arm.state == State.FAULT and "home" in arm.reason


def test_machine_exploration_fades_and_is_zero_in_evaluation() -> None:
    arm = Arm(duration=1000, evaluations=2, reset_every=1000)
    seen: dict[int, tuple[Mode, float]] = {}
    for _ in range(1300):
        arm.run(1)
        if arm.state == State.RUNNING:
            seen[arm.machine.announced.episode] = (arm.machine.announced.mode, arm.machine.announced.exploration)
    train = [noise for mode, noise in seen.values() if mode == Mode.TRAIN]
    assert train == sorted(train, reverse=True) and train[0] > 0.19 and train[-1] < 0.02
    assert {noise for mode, noise in seen.values() if mode == Mode.EVALUATE} == {0.0}


def test_machine_rejected_goal_ends_its_episode_with_a_hold_and_counts() -> None:
    arm = Arm(duration=100, evaluations=3, reset_every=1000)
    arm.until_evaluation()
    arm.machine.give_up(arm.machine.announced.episode, "UNREACHABLE: too far")
    first = arm.machine.announced.goal
    arm.until(lambda: any(r.mode == Mode.EVALUATE for r in arm.results))
    assert arm.state == State.HOLD and "UNREACHABLE" in arm.reason
    assert arm.results[-1].end == "rejected" and arm.machine.evaluated == 1
    arm.run(300)
    evaluated = [r for r in arm.results if r.mode == Mode.EVALUATE]
    assert arm.machine.done and [r.end for r in evaluated] == ["rejected", "time_limit", "time_limit"]
    assert not np.allclose(evaluated[1].goal, first)


def test_machine_rejection_of_an_episode_that_is_over_changes_nothing() -> None:
    arm = Arm(duration=0, reset_every=1000)
    arm.until(lambda: len(arm.results) == 2)
    arm.machine.give_up(arm.results[0].episode, "UNREACHABLE")
    arm.run(120)
    assert {r.end for r in arm.results} == {"time_limit"}


def test_machine_evaluation_has_a_length_of_its_own() -> None:
    arm = Arm(duration=100, evaluations=1, reset_every=1000, evaluate_steps=80)
    arm.until_evaluation()
    assert arm.machine.announced.length == 80


def test_goals_with_a_wall_none_is_inside_and_the_evaluation_is_behind_it() -> None:
    goals, wall = Goals(TASK, 0, SCENES["wall"]), SCENES["wall"]
    drawn = np.array([goals.training() for _ in range(300)])
    assert not wall.inside(drawn).any() and np.ptp(drawn[:, 1]) > 0.6
    assert (np.array([goals.evaluation(i) for i in range(100)])[:, 1] < -0.1).all()


def test_goals_of_a_smaller_box_lie_in_it_and_asked_ones_have_to() -> None:
    low, high = (0.42, -0.28, 0.08), (0.73, 0.35, 0.48)
    goals = Goals(TASK, 0, low=low, high=high)
    drawn = np.array([goals.training() for _ in range(50)] + [goals.evaluation(i) for i in range(50)])
    assert (drawn >= np.float32(low)).all() and (drawn <= np.float32(high)).all()
    assert drawn.std(axis=0).min() > 0.05
    assert "goal must be within" in goals.request([0.78, 0.0, 0.3])


def test_goals_of_a_box_that_holds_none_are_rejected() -> None:
    with pytest.raises(ValueError, match="choose a larger box"):
        Goals(TASK, 0, low=(0.9, 0, 0), high=(1, 1, 1))


def test_goals_training_and_evaluation_have_nothing_in_common() -> None:
    goals = Goals(TASK, seed=0)
    train = {tuple(goals.training()) for _ in range(500)}
    assert train.isdisjoint({tuple(goals.evaluation(i)) for i in range(500)})


def test_goals_asked_by_a_person_is_next_and_only_once() -> None:
    goals = Goals(TASK, seed=0)
    assert goals.request([0.5, 0.1, 0.3]) == ""
    np.testing.assert_allclose(goals.training(), [0.5, 0.1, 0.3])
    assert not np.allclose(goals.training(), [0.5, 0.1, 0.3])


def test_goals_outside_the_box_or_not_finite_are_rejected() -> None:
    goals = Goals(TASK, seed=0)
    for bad in ([2.0, 0, 0.3], [np.nan, 0, 0.3], [0.5, 0.1]):
        assert goals.request(bad)


def person(arm: Arm, cycles: int) -> None:
    """A person drives for some cycles."""
    arm.by_person = True
    arm.run(cycles)
    arm.by_person = False


@pytest.mark.parametrize("verdict", ["success", "failure", "discard"])
def test_verdict_ends_the_episode_and_the_next_one_begins(verdict: str) -> None:
    arm = Arm(30, duration=1000)
    running = arm.machine.episode
    assert arm.machine.event(verdict) == ""
    arm.run(3)
    assert arm.results[-1].episode == running
    assert arm.results[-1].end == ("discarded" if verdict == "discard" else verdict)
    assert bool(arm.machine.discarded) == (verdict == "discard")
    arm.run(30)
    assert arm.machine.episode > running and arm.state == State.RUNNING


def test_discard_covers_the_whole_episode_and_none_beside_it() -> None:
    arm = Arm(100, duration=1000, reset_every=1000)
    run = arm.machine.active
    assert run is not None
    arm.machine.event("discard")
    ((_, begin, end),) = arm.machine.discarded
    arm.run(40)
    assert begin == run.start_cycle, "the state in which it began"
    following = arm.machine.active
    assert following is not None and run.start_cycle < end <= following.start_cycle


def test_discard_between_episodes_means_the_newest_attempt_a_persons_too_and_only_once() -> None:
    arm = Arm(30, duration=1000)
    arm.machine.pause()
    arm.run(10)
    begin = arm.cycle
    person(arm, 8)
    arm.run(5)
    assert arm.machine.event("discard") == ""
    assert arm.machine.discarded == (CycleRange("", begin, begin + 8),)
    assert "nothing was done" in arm.machine.event("discard")


def test_verdict_without_an_episode_and_unknown_events_are_rejected() -> None:
    arm = Arm(3, duration=1000, auto_start=False)
    assert arm.machine.event("success") == "no episode runs"
    assert "an event is one of success, failure, discard, pause, resume, got 'dance'" in arm.machine.event("dance")
    assert "nothing to resume" in arm.machine.event("resume")


@pytest.mark.parametrize("by_event", [False, True])
def test_pause_by_the_operator_only_the_operator_resumes(by_event: bool) -> None:
    arm = Arm(30, duration=1000)
    assert (arm.machine.event("pause") if by_event else arm.machine.pause()) == ""
    arm.run(100)
    assert arm.state == State.PAUSED
    assert (arm.machine.event("resume") if by_event else arm.machine.start()) == ""
    arm.run(20)
    assert arm.state == State.RUNNING


def test_person_in_an_evaluation_voids_it_and_its_goal_comes_again() -> None:
    arm = Arm(duration=100, evaluations=2, reset_every=1000)
    arm.until(lambda: arm.machine.active and arm.machine.mode == Mode.EVALUATE == arm.machine.active.mode)
    assert arm.machine.active is not None
    goal = arm.machine.active.goal
    person(arm, 5)
    arm.until(lambda: arm.results[-1].mode == Mode.EVALUATE)
    assert arm.results[-1].end == "interrupted" and "the operator took part" in arm.results[-1].why
    arm.until(lambda: arm.machine.active)
    np.testing.assert_array_equal(arm.machine.active.goal, goal)


def test_person_on_the_way_home_does_not_use_up_its_time() -> None:
    arm = Arm(duration=1000, reset_timeout=20)
    arm.at_home = False
    arm.run(8)
    assert arm.state == State.RESETTING
    person(arm, 60)
    assert arm.state == State.RESETTING
    arm.run(40)
    assert arm.state == State.FAULT


GOAL, OTHER = np.float32([0.6, 0.1, 0.3]), np.float32([0.5, -0.2, 0.4])


def test_machine_goal_that_stays_is_that_of_every_episode_and_another_one_begins_at_once() -> None:
    arm = Arm(60, duration=0, reset_every=4)
    assert arm.machine.keep_goal(True) == "" and arm.machine.goals.request(GOAL) == ""
    arm.run(1)
    first = arm.machine.announced
    assert np.array_equal(first.goal, GOAL) and first.start_cycle - arm.cycle == 4 and first.exploration == 0.0
    arm.run(6)
    assert arm.results[-1].end == "interrupted" and "another goal" in arm.results[-1].why
    assert arm.results[-1].episode == first.episode - 1
    arm.run(300)
    kept = [result for result in arm.results if result.episode >= first.episode]
    assert len(kept) >= 5 and all(np.array_equal(result.goal, GOAL) for result in kept)
    assert all(result.end == "time_limit" for result in kept), "and nobody drove home meanwhile"
    arm.machine.goals.request(OTHER)
    arm.run(6)
    assert np.array_equal(arm.machine.announced.goal, OTHER)
    arm.machine.keep_goal(False)
    arm.run(60)
    assert not np.array_equal(arm.machine.announced.goal, OTHER)


def test_machine_goal_that_stays_and_is_asked_for_again_is_the_same() -> None:
    arm = Arm(duration=0, reset_every=1000)
    arm.machine.keep_goal(True)
    for _ in range(230):
        arm.machine.goals.request(GOAL)
        arm.run(1)
    ends = {(r.end, r.why) for r in arm.results[1:]}
    assert len(arm.results) > 3 and ends == {("time_limit", "")}
    first = arm.machine.announced.goal_id
    arm.machine.goals.request(OTHER)
    arm.run(6)
    assert arm.machine.announced.goal_id not in ("", first)


def test_machine_goal_names_its_identifier_and_ends_for_good_when_it_is_withdrawn() -> None:
    arm = Arm(60, duration=0, reset_every=1000)
    assert arm.machine.announced.goal_id == "", "drawn"
    arm.machine.keep_goal(True)
    arm.machine.goals.request(GOAL, "f00d")
    arm.run(10)
    assert arm.machine.announced.goal_id == "f00d" and np.array_equal(arm.machine.announced.goal, GOAL)
    arm.machine.goals.withdraw("another")
    arm.run(60)
    assert arm.machine.announced.goal_id == "f00d"
    arm.machine.goals.request(GOAL, "cafe")
    arm.run(6)
    assert arm.machine.announced.goal_id == "cafe", "the same place, another goal"
    arm.machine.goals.withdraw("cafe")
    arm.machine.give_up(arm.machine.announced.episode, "CANCELED")
    arm.run(70)
    assert arm.machine.announced.goal_id == "" and not np.array_equal(arm.machine.announced.goal, GOAL)
    assert "at most 64" in arm.machine.goals.request(GOAL, "x" * 65)


def test_machine_goals_asked_for_every_cycle_begin_one_after_the_other_and_lose_no_cycle() -> None:
    arm = Arm(60, duration=0, reset_every=1000)
    arm.machine.keep_goal(True)
    starts = {}
    for number in range(100):
        arm.machine.goals.request(GOAL + np.float32([0.001 * number, 0, 0]))
        arm.run(1)
        starts[arm.machine.announced.episode] = arm.machine.announced.start_cycle
    assert len(starts) > 15 and set(np.diff(sorted(starts.values())[1:])) == {4}
    assert [r.episode for r in arm.results] == list(range(1, len(arm.results) + 1))


def test_machine_goal_that_stays_puts_off_the_end_of_learning_and_is_not_evaluated_on() -> None:
    arm = Arm(duration=200, evaluations=3, reset_every=100)
    arm.machine.keep_goal(True)
    arm.machine.goals.request(GOAL)
    arm.run(400)
    assert arm.machine.mode == Mode.TRAIN
    arm.machine.keep_goal(False)
    arm.run(70)
    assert arm.machine.mode == Mode.EVALUATE
    arm.machine.keep_goal(True)
    arm.machine.goals.request(GOAL)
    evaluated = arm.machine.evaluated
    arm.run(2000)
    assert arm.machine.evaluated <= evaluated + 1 and not arm.machine.done, "the operator may continue without end"
    arm.machine.keep_goal(False)
    arm.run(400)
    assert arm.machine.done
    scored = [r for r in arm.results if r.mode == Mode.EVALUATE and r.end == "time_limit"]
    assert len(scored) == 3 and not any(np.array_equal(r.goal, GOAL) for r in scored)


def test_machine_reset_drives_home_at_once_and_goes_on() -> None:
    arm = Arm(60, duration=0, reset_every=1000)
    arm.at_home = False
    assert arm.machine.reset() == ""
    arm.run(8)
    assert arm.state == State.RESETTING
    arm.at_home = True
    arm.run(10)
    assert arm.state == State.RUNNING
    arm.machine.pause()
    arm.run(5)
    assert "start first" in arm.machine.reset()


def test_machine_evaluation_asked_for_is_made_and_learning_goes_on() -> None:
    arm = Arm(60, duration=0, evaluations=2, reset_every=1000)
    assert arm.machine.evaluate(True) == ""
    arm.run(160)
    assert arm.machine.mode == Mode.TRAIN and not arm.machine.done
    assert [r.mode for r in arm.results if r.end == "time_limit"].count(Mode.EVALUATE) == 2
    assert arm.machine.evaluate(True) == ""
    arm.run(20)
    assert arm.machine.mode == Mode.EVALUATE
    assert arm.machine.evaluate(False) == ""
    arm.run(70)
    assert arm.machine.mode == Mode.TRAIN and arm.machine.announced.mode == Mode.TRAIN


def test_machine_switch_that_makes_no_sense_is_rejected_in_a_sentence() -> None:
    assert "evaluate_goals" in Arm(duration=0, evaluations=0).machine.evaluate(True)
    arm = Arm(150, duration=100, evaluations=3)
    assert "time for learning is over" in arm.machine.evaluate(False)
    arm.run(400)
    assert arm.machine.done and "DONE" in arm.machine.evaluate(True)


def demonstrate(arm: Arm, verdict: str = "success") -> None:
    """Drive for a while in the demonstration that is awaited, and end it."""
    arm.until(lambda: arm.machine.announced.demonstration and arm.machine.announced.start_cycle < arm.cycle)
    arm.by_person = True
    arm.run(10)
    arm.by_person = False
    arm.run(3)  # they may stand still
    assert arm.machine.event(verdict) == ""
    arm.run(1)


def test_demonstrations_come_first_and_the_policy_moves_only_after_the_last_one() -> None:
    arm = Arm(200, duration=500, evaluations=1, demonstrations=2)
    assert arm.state == State.HOLD and arm.results == []
    assert "demonstration 1 of 2: drive the hand to the goal" in arm.reason and "Train skips" in arm.reason
    assert len(arm.machine.announced.goal) == 3
    demonstrate(arm)
    arm.run(100)
    assert arm.state == State.HOLD and "demonstration 2 of 2" in arm.reason and arm.machine.demonstrated == 1
    assert arm.machine.robot_cycles == 0, "the time of learning begins after them"
    demonstrate(arm)
    arm.run(60)
    assert arm.state == State.RUNNING and arm.machine.robot_cycles > 0
    assert [(r.end, r.demonstration) for r in arm.results[:2]] == [("success", True)] * 2
    arm.run(600)
    assert arm.machine.done and not any(r.demonstration for r in arm.results[2:])


@pytest.mark.parametrize("verdict", ["failure", "discard"])
def test_demonstration_that_fails_or_is_discarded_does_not_count(verdict: str) -> None:
    arm = Arm(demonstrations=1)
    demonstrate(arm, verdict)
    arm.run(60)
    assert arm.machine.demonstrated == 0 and "demonstration 1 of 1" in arm.reason
    assert [r.end for r in arm.results] == ["discarded" if verdict == "discard" else verdict]


def test_demonstration_that_is_discarded_after_its_end_is_given_again() -> None:
    arm = Arm(demonstrations=3)
    demonstrate(arm)
    demonstrate(arm)
    arm.run(30)
    assert arm.machine.event("discard") == "" and arm.machine.demonstrated == 1
    arm.run(30)
    assert "demonstration 2 of 3" in arm.reason
    assert "discarded" in arm.machine.event("discard"), "once"


def test_demonstrations_of_an_earlier_process_count_and_the_rest_can_be_left_out() -> None:
    goals = Goals(TASK, seed=3)
    arm = Arm()
    arm.machine = EpisodeMachine(LiveTask(TASK), Schedule(demonstrations=4), goals, demonstrated=2)
    arm.run(60)
    assert "demonstration 3 of 4" in arm.reason
    assert "before the demonstrations" in arm.machine.evaluate(True)
    arm.by_person = True
    arm.run(5)
    assert arm.machine.evaluate(False) == ""
    arm.by_person = False
    arm.run(30)
    assert arm.state == State.RUNNING
    assert [(r.end, r.demonstration) for r in arm.results] == [("interrupted", True)]
    known = EpisodeMachine(LiveTask(TASK), Schedule(demonstrations=2), goals, demonstrated=2)
    assert known._demonstrations_missing() is False


def test_demonstration_has_the_requested_goal_and_waits_for_the_nodes_and_home() -> None:
    arm = Arm(60, demonstrations=1)
    assert arm.machine.goals.request(GOAL) == ""
    arm.run(20)
    np.testing.assert_array_equal(arm.machine.announced.goal, np.float32(GOAL))
    arm.missing = "collector"
    arm.run(20)
    assert arm.reason == "waiting for collector" and not arm.machine.announced.demonstration
    arm.missing = ""
    arm.run(20)
    assert arm.machine.announced.demonstration
    assert arm.machine.reset() == ""
    arm.at_home = False
    arm.run(20)
    assert arm.state == State.RESETTING
    arm.at_home = True
    arm.run(20)
    assert arm.machine.announced.demonstration and arm.results == []
    arm.by_person = True
    arm.run(5)
    arm.machine.pause()
    arm.run(5)
    assert [(r.end, r.why) for r in arm.results] == [("interrupted", "paused by the operator")]


def test_machine_state_with_a_cycle_far_ahead_is_a_fault_and_not_believed_for_ever() -> None:
    arm = Arm(30, duration=0, reset_every=1000)
    now, arm.cycle = arm.cycle, 2**52
    arm.run(1)
    arm.cycle = now
    arm.run(30)
    assert arm.state == State.FAULT and "far ahead" in arm.reason
    arm.machine.clear_fault()
    arm.machine.start()
    arm.run(100)
    assert arm.state == State.RUNNING and arm.machine.announced.start_cycle < 1000


def test_machine_arm_restarted_waits_for_nothing_of_the_old_cycles_and_hears_faults_of_the_new_one() -> None:
    arm = Arm(duration=0, reset_every=1000)
    arm.cycle = 5000
    arm.run(100)
    arm.machine.event("discard")
    arm.run(1)
    arm.machine.fault("something")
    arm.machine.clear_fault()
    arm.cycle, arm.arm_run = 0, "another"
    arm.run(2)
    assert arm.state == State.FAULT and "restarted" in arm.reason and arm.machine.start() != ""
    assert arm.machine.clear_fault() == ""
    arm.run(5)
    assert arm.state == State.DISABLED and arm.machine.start() == ""
    arm.run(30)
    assert arm.state == State.RUNNING
    arm.fault = "the e-stop is pressed"
    arm.run(1)
    assert arm.state == State.FAULT


def running_for(goal_id: str, arm: Arm) -> None:
    """Run until an episode for a goal runs."""
    arm.until(lambda: arm.machine.active and arm.machine.active.goal_id == goal_id)


def test_machine_goal_with_an_identifier_stands_until_it_is_withdrawn_and_another_replaces_it() -> None:
    arm = Arm(duration=0, reset_every=1000)
    arm.machine.goals.request(GOAL, "f00d")
    running_for("f00d", arm)
    arm.machine.keep_goal(False)
    arm.run(100)
    assert arm.machine.announced.goal_id == "f00d", "keep_goal is about other goals"
    arm.machine.goals.request(OTHER)
    arm.run(50)
    assert arm.machine.announced.goal_id == "1" and np.array_equal(arm.machine.announced.goal, OTHER)
    arm.machine.withdraw("f00d", "canceled", stop=True)
    arm.run(100)
    assert {r.end for r in arm.results} == {"time_limit"}, "the end of one goal has no effect on another"
    assert arm.machine.announced.goal_id == ""


@pytest.mark.parametrize("before_end", [4, 3, 2, 1])
def test_machine_withdrawn_goal_that_is_announced_does_not_begin_and_the_episode_of_another_runs_on(
    before_end: int,
) -> None:
    arm = Arm(duration=0, reset_every=1000)
    running_for("", arm)
    arm.machine.goals.request(GOAL, "f00d")
    drawn = arm.machine.episode
    arm.until(lambda: arm.machine.announced.goal_id == "f00d")
    arm.run(4 - before_end)
    arm.machine.withdraw("f00d", "canceled by the client", stop=True)
    seen = set()
    for _ in range(60):
        arm.run(1)
        seen.add(arm.machine.active and arm.machine.active.goal_id)
    assert seen == {"", None}
    assert arm.results[0].episode == drawn and {r.end for r in arm.results} == {"time_limit"}
    assert arm.state == State.RUNNING


@pytest.mark.parametrize(("stop", "before_end"), [(False, 40), (True, 40), (True, 4), (True, 3), (True, 2), (True, 1)])
def test_machine_withdrawn_goal_its_episode_ends_at_once_only_with_stop(stop: bool, before_end: int) -> None:
    """Within the last 4 cycles the next episode for the goal is announced already."""
    arm = Arm(duration=0, reset_every=1000)
    arm.machine.goals.request(GOAL, "f00d")
    running_for("f00d", arm)
    run = arm.machine.active
    assert run is not None
    arm.run(run.start_cycle + run.length - before_end - arm.cycle)
    assert (arm.machine.announced.episode > run.episode) == (before_end <= 4)
    arm.machine.withdraw("f00d", "canceled by the client", stop)
    arm.run(1)
    assert (arm.state == State.HOLD) == stop
    assert arm.machine.announced.start_cycle <= arm.cycle
    arm.run(60)
    assert arm.state == State.RUNNING
    assert arm.results[0].end == ("rejected" if stop else "time_limit") and arm.machine.announced.goal_id == ""


class Watched(EpisodeMachine):
    """Records every transition, and every change of the announced state by whatever code."""

    def __init__(self, schedule: Schedule) -> None:
        self.__dict__.update(taken=set(), changes=set())
        super().__init__(LiveTask(TASK), schedule, Goals(TASK, seed=3))

    def __setattr__(self, name: str, value: object) -> None:
        if name == "announced" and "announced" in self.__dict__ and isinstance(value, Announcement):
            self.changes.add((self.announced.state, value.state))
        super().__setattr__(name, value)

    def _take(self, row: StateTransition, why: str, start: int) -> None:
        self.taken.add((self.announced.state, STATE_TRANSITIONS.index(row)))
        super()._take(row, why, start)


def explore(rng: np.random.Generator, cycles: int) -> Watched:
    """A machine that was given random commands and states of the arm, often in evaluations."""
    machine = Watched(
        Schedule(
            duration=int(rng.choice([0, 60, 100])),
            evaluations=int(rng.choice([1, 1, 2, 30])),
            demonstrations=int(rng.choice([0, 0, 0, 2])),
            reset_every=int(rng.choice([1, 3, 1000])),
            evaluate_reset_every=int(rng.choice([1, 1000])),
            episode_steps=int(rng.integers(1, 12)),
            evaluate_steps=8,
            reset_timeout=10,
            pause=int(rng.choice([0, 3])),
            weights_timeout_s=0.5,
        )
    )
    commands: list[Callable[[], object]] = [machine.start, machine.pause, machine.stop, machine.reset]
    commands += [lambda on=on: machine.evaluate(on) for on in (True, True, False)]
    commands += [lambda on=on: machine.keep_goal(on) for on in (True, False)]
    commands += [lambda name=name: machine.event(name) for name in ("success", "failure", "discard")]
    commands += [lambda instead=instead: machine.fault("an error", instead) for instead in (True, False)]
    commands += [lambda goal=goal: machine.goals.request(GOAL, goal) for goal in ("", "f00d")]
    commands += [lambda: machine.withdraw(machine.announced.goal_id or "none", "canceled", stop=True)] * 2
    commands += [lambda: machine.give_up(machine.episode, "UNREACHABLE")]
    interruptions = [machine.pause, machine.stop, lambda: machine.fault("an error"), lambda: machine.event("discard")]
    timeline, often, holds = Timeline(), rng.choice([0.02, 0.1, 0.3]), rng.choice([0.0, 0.05])
    at_home, weights, rough = rng.random() < 0.9, rng.random() < 0.9, rng.random() < 0.7
    for cycle in range(1, cycles):
        run = machine.active
        if rng.random() < often:
            commands[rng.integers(len(commands))]()
            if rng.random() < 0.3:
                machine.event("success")
        rough_now = rough and run is not None and run.mode == Mode.EVALUATE
        if rough_now and rng.random() < 0.1:
            machine._interruptions = PATIENCE - 1
        if rough_now and rng.random() < 0.05:
            interruptions[rng.integers(len(interruptions))]()
        if machine.announced.state in (State.FAULT, State.DISABLED, State.PAUSED) and rng.random() < 0.2:
            machine.clear_fault()
            machine.start()
        timeline.announce(machine.announced, cycle - 1)
        announced = timeline.at(cycle - 1)
        if rough_now and run is not None and cycle == run.start_cycle + run.length and rng.random() < 0.8:
            continue  # the last state is lost
        moves = announced.state in (State.RUNNING, State.RESETTING)
        held = rng.random() < (0.3 if rough_now else holds)
        source = Source.SAFETY if held and moves else Source.POLICY if moves else Source.NONE
        sample = sample_of(cycle, announced, source)
        unrecorded = "nothing is recorded" if rng.random() < 0.01 else ""
        machine.on_sample(sample, Surroundings(cycle * 0.05, bool(at_home), "", weights, weights, unrecorded))
        if machine.done:
            break
    return machine


def test_machine_changes_its_state_by_the_table_alone_and_every_row_is_reachable() -> None:
    allowed = {(source, row.target) for row in STATE_TRANSITIONS for source in row.sources}
    rows = {(source, number) for number, row in enumerate(STATE_TRANSITIONS) for source in row.sources}
    taken: set[tuple[State, int]] = set()
    rng = np.random.default_rng(0)
    for _ in range(5000):
        machine = explore(rng, 300)
        by_row = {(source, STATE_TRANSITIONS[number].target) for source, number in machine.taken}
        assert {(a, b) for a, b in machine.changes if a != b} <= by_row <= allowed
        taken |= machine.taken
        if taken == rows:
            return
    missed = [f"{source.name} {STATE_TRANSITIONS[number].event.name}" for source, number in sorted(rows - taken)]
    raise AssertionError(f"not reached: {missed}")
