"""State machine of the supervisor: episodes, goals, resets, training, evaluation, interruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.goals import Attempts, Goals, Schedule
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.teleop import DISCARD, EVENTS, FAILURE, PAUSE, RESUME, SUCCESS
from tdm_ros.control.timeline import Announcement, Mode, Source, State
from tdm_ros.types import CycleRange

DISABLED, HOLD, RUNNING, PAUSED, FAULT, RESETTING, DONE = State
AHEAD = 4
"""Cycles before the end of an episode at which the next one is announced, so that all nodes receive it in time."""

CLEARING = 10
"""Cycles after which a fault that was cleared and is still reported counts as a new one. The arm holds meanwhile."""

LEAST_BEHIND = 20
"""Consecutive states with a lower cycle than the newest, after which the newest is considered wrong."""
PATIENCE = 20
"""Consecutive interruptions after which the evaluation is given up."""


class StateEvent(Enum):
    """Cause of a transition of the episode machine; the value describes it."""

    START = "`~/start`, or `auto_start`"
    PAUSE = "`~/pause`, or the event `pause`"
    STOP = "`~/stop`"
    CLEAR_FAULT = "`~/clear_fault`"
    FAULT = "fault of the arm, restart of the arm, cycles that go back, arm not home in time, error in a callback"
    TWO_ARMS = "states of two arms arrive"
    ARM_HELD = "the arm held during an episode or on the drive home"
    UNRECORDED = "the collector is silent, or cannot write, during an episode"
    VERDICT = "the operator ends the episode: `success`, `failure` or `discard`"
    GIVEN_UP = "the planner gives up the goal of the episode, or the goal is canceled"
    WITHDRAWN = "the goal of an episode is withdrawn before the episode begins"
    INTERRUPTIONS = f"the evaluation is interrupted {PATIENCE} times in a row"
    TIME_TO_RESUME = "0.5 s after an interruption, with `auto_resume`"
    NO_WEIGHTS = "the time limit for the last weights is over, and none were published"
    AT_HOME = "the arm is at rest at home"
    NEXT = "HOLD: all nodes are ready; RUNNING: the episode ends in 0.2 s"


class Phase(Enum):
    """Phase of the run: DEMONSTRATING and LEARNING are mode TRAIN, the others are mode EVALUATE."""

    DEMONSTRATING = 0
    LEARNING = 1
    AWAITING_WEIGHTS = 2
    EVALUATING = 3


class OperatorRequest(Enum):
    """Pending request of the operator; the value is the reason for which it ends an episode."""

    HOME = "the operator requested a drive home"
    EVALUATION = "the operator requested an evaluation"


@dataclass(frozen=True)
class StateTransition:
    """Row of the table of transitions: from any of ``sources``, on ``event``, to ``target``."""

    sources: tuple[State, ...]
    event: StateEvent
    target: State
    reason: str = "{}"
    """Reason that is announced; ``{}`` stands for that of the event."""
    guard: Callable[[EpisodeMachine], bool] | None = None
    """The row applies only if it returns true; its docstring describes it."""
    effect: Callable[[EpisodeMachine], None] | None = None
    """Called before the announcement."""
    demonstration: bool = False
    """The state is an episode in which only the operator moves the arm."""

    @property
    def condition(self) -> str:
        """Description of the guard; "" if there is none."""
        return (self.guard.__doc__ or "").rstrip(".") if self.guard is not None else ""


@dataclass
class _Running:
    """The episode that runs now."""

    announced: Announcement
    verdict: str = ""
    """How the operator ended it."""
    cut: str = ""
    """Why it ends early, with the next one announced."""
    operator_drove: bool = False

    @property
    def end(self) -> int:
        """Cycle of its last state."""
        return self.announced.start_cycle + self.announced.length


@dataclass(frozen=True)
class EpisodeResult:
    """Result of an episode; goal and hand, in the last state, are (G,) [m]."""

    episode: int
    mode: Mode
    goal: NDArray[np.float32]
    last_hand_m: NDArray[np.float64]
    final_distance_m: float
    end: str
    """"time_limit", "rejected" (the goal was given up; scored with the present distance), "success" or "failure"
    (verdict of the operator), "interrupted" or "discarded" (not scored)."""
    why: str
    """Reason of the interruption, or for which the goal was given up."""
    robot_cycles: int
    """Cycles of learning in which the arm moved, until then."""
    demonstration: bool = False
    """Only the operator moved the arm."""


@dataclass(frozen=True)
class Surroundings:
    """Inputs of the episode machine besides the state of the arm."""

    now_s: float
    at_home: bool = False
    """The arm is at rest in the home posture."""
    missing: str = ""
    """Names of the nodes that are not ready."""
    any_weights: bool = False
    """The trainer has published weights."""
    final_weights: bool = False
    """It has published its last ones."""
    unrecorded: str = ""
    """Why nothing is recorded, or ""."""


class EpisodeMachine:
    """State machine of the supervisor: `STATE_TRANSITIONS` has all of its transitions.

    A state is announced up to `AHEAD` cycles before it begins. Until then it may be replaced, also after DONE.
    ``demonstrated``: demonstrations that an earlier process of the same run has received.
    """

    def __init__(self, live: LiveTask, schedule: Schedule, goals: Goals, demonstrated: int = 0) -> None:
        self.live, self.task, self.schedule, self.goals = live, live.spec, schedule, goals
        self.robot_cycles = 0
        """Cycles of learning in which the arm moved, including drives home."""
        self.episode = 0
        self.evaluated = 0
        self.demonstrated = demonstrated
        """Demonstrations that count: the operator ended them with success."""
        self._phase = Phase.DEMONSTRATING if demonstrated < schedule.demonstrations else Phase.LEARNING
        self._learning_over_s = 0.0
        self._requests: set[OperatorRequest] = set()
        self._running: _Running | None = None
        self._given_up: dict[int, str] = {}
        """Reason per episode."""
        self._attempts = Attempts()
        self._since_reset = schedule.reset_every
        self._interruptions = self._demonstration = 0
        self._arm_run: str | None = None
        self._cycle = self._behind = 0
        self._around = Surroundings(0.0)
        self._left = 0
        """Cycles of the running episode that are left when the next state begins."""
        self._entered_at = self._hold_until = self._helped_home = 0
        self._cleared_at = -CLEARING
        self._cause = StateEvent.STOP
        self.announced = Announcement(DISABLED, reason="waiting for ~/start")
        if schedule.auto_start:
            self._enter(StateEvent.START)

    @property
    def mode(self) -> Mode:
        """Purpose of the episodes now."""
        return Mode.TRAIN if self._phase in (Phase.DEMONSTRATING, Phase.LEARNING) else Mode.EVALUATE

    @property
    def done(self) -> bool:
        """Learning and evaluation are over."""
        return self.announced.state == DONE and self.announced.start_cycle <= self._cycle

    @property
    def final_weights_wanted(self) -> bool:
        """Learning is over and the evaluation waits for the trainer's last weights."""
        return self._phase is Phase.AWAITING_WEIGHTS

    @property
    def active(self) -> Announcement | None:
        """The episode that runs now; ``announced`` may already be the next one."""
        return None if self._running is None else self._running.announced

    # Commands of the operator, or of a service. Each returns "" or why it was rejected.

    def start(self) -> str:
        """Begin, or resume after a pause."""
        return self._command(StateEvent.START, "can start from DISABLED or PAUSED, the state is {}")

    def pause(self, why: str = "paused by the operator") -> str:
        """Stop the arm until `start`."""
        return self._command(StateEvent.PAUSE, "nothing to pause, the state is {}", why)

    def stop(self) -> str:
        """Stop the arm and wait for `start`."""
        return self._command(StateEvent.STOP, "cannot stop, the state is {}")

    def clear_fault(self) -> str:
        """Leave FAULT; nothing moves before `start`."""
        return self._command(StateEvent.CLEAR_FAULT, "there is no fault, the state is {}")

    def _command(self, event: StateEvent, problem: str, why: str = "") -> str:
        return "" if self._enter(event, why) else problem.format(self.announced.state.name)

    def event(self, name: str) -> str:
        """Take in an event of the operator: a verdict on the episode, pause or resume.

        Success and failure end the episode that runs. So does discard; where none runs it discards the newest attempt,
        an episode or what the operator did since.
        """
        if name not in EVENTS:
            return f"an event is one of {', '.join(EVENTS)}, got {name!r}"
        state = self.announced.state
        if name == PAUSE:
            return self.pause()
        if name == RESUME:
            return self.start() if state == PAUSED else f"nothing to resume, it is {state.name}"
        if self._running is None and name in (SUCCESS, FAILURE):
            return "no episode runs"
        newest = self._attempts.newest_episode
        if name == DISCARD and (problem := self._attempts.discard(self._running is not None)):
            return problem
        if self._running is not None:
            self._running.verdict = name
        elif newest == self._demonstration > 0 and self._phase is Phase.DEMONSTRATING:
            self.demonstrated, self._demonstration = max(self.demonstrated - 1, 0), 0
            self._enter(StateEvent.VERDICT, name)
        return ""

    def reset(self) -> str:
        """Drive home now, then go on."""
        if self.announced.state not in (RUNNING, HOLD):
            return f"drives home from RUNNING or HOLD, the state is {self.announced.state.name}: start first"
        self._requests.add(OperatorRequest.HOME)
        return ""

    def evaluate(self, on: bool) -> str:
        """Evaluate now, or return to learning, also from demonstrations: the missing ones are left out."""
        schedule = self.schedule
        if on and self._phase is Phase.DEMONSTRATING:
            return "nothing can be evaluated before the demonstrations: give them, or learn without the missing ones"
        if on and not schedule.evaluations:
            return "there are no goals to evaluate on: evaluate_goals is 0"
        if not on and self._learning_time_over:
            return "the time for learning is over: duration_min is larger, or .inf, in a run that learns on"
        if self.announced.state in (FAULT, DONE):
            return f"not now, the state is {self.announced.state.name}"
        if on:
            self._requests.add(OperatorRequest.EVALUATION)
        else:
            self._resume_learning()
        return ""

    def keep_goal(self, on: bool) -> str:
        """Keep a requested goal for further episodes, and begin with another one at once when it is requested.

        Meanwhile learning does not end and the arm is driven home only on request; during the evaluation these episodes
        do not count.
        """
        self.goals.keep(on)
        return ""

    @property
    def discarded(self) -> tuple[CycleRange, ...]:
        """Newest ranges of cycles that the operator discarded; their transitions are not learned from."""
        return self._attempts.discarded

    def fault(self, why: str, instead: bool = False) -> None:
        """Stop the arm until the operator clears the fault; of several the first is shown, or this one ``instead``."""
        self._enter(StateEvent.TWO_ARMS if instead else StateEvent.FAULT, why)

    # Goals of episodes.

    def give_up(self, episode: int, why: str) -> None:
        """Give up the goal of an episode, which ends it; the arm holds."""
        newest = self._running.announced.episode if self._running is not None else self.announced.episode
        self._given_up = {number: text for number, text in self._given_up.items() if number >= newest} | {episode: why}

    def goal_id(self, episode: int) -> str:
        """Identifier of the goal of an episode that runs or is announced; "" if there is none."""
        found = (e for e in (self.active, self.announced) if e is not None and e.episode == episode > 0)
        return next((e.goal_id for e in found), "")

    def withdraw(self, goal_id: str, why: str, stop: bool) -> None:
        """Let no further episode begin for a goal; with ``stop``, end one that runs for it, and hold the arm."""
        self.goals.withdraw(goal_id)
        run, announced = self.active, self.announced
        if announced.goal_id == goal_id and (run is None or announced.episode != run.episode):
            self._enter(StateEvent.WITHDRAWN, why, announced.start_cycle)
        if stop and run is not None and run.goal_id == goal_id:
            self.give_up(run.episode, why)

    # States of the arm.

    def on_sample(self, sample: ArmSample, around: Surroundings) -> EpisodeResult | None:
        """Take in a state of the arm; return the result of the episode that ended with it."""
        if not self._follows(sample):
            return None
        self._cycle, self._around = sample.cycle, around
        self._attempts.on_sample(sample)
        if sample.fault and sample.cycle > self._cleared_at + CLEARING:
            self.fault(f"the arm: {sample.fault}")
        elif self.announced.state == RESETTING and sample.source == Source.SAFETY:
            self._enter(StateEvent.ARM_HELD, sample.hold_reason or "the arm held")
        by_operator = sample.source == Source.HUMAN
        if self._running is not None:
            self._running.operator_drove |= by_operator
        self._helped_home += int(by_operator and self.announced.state == RESETTING)
        moved = sample.episode > 0 or by_operator or sample.source == Source.RESET
        self.robot_cycles += int(self._phase is Phase.LEARNING and moved)
        result = self._end_of_episode(sample)
        if (announced := self.announced).start_cycle <= sample.cycle:
            driven = by_operator and sample.episode == announced.episode
            if self._running is None and (announced.state == RUNNING or (announced.demonstration and driven)):
                self._running = _Running(announced)
            self._go_on()
        return result

    def _follows(self, sample: ArmSample) -> bool:
        """Whether a state is newer than the one before, of the same run of the arm; faults where that is wrong."""
        restarted = self._arm_run not in (None, sample.run)
        self._arm_run = sample.run
        self._behind = self._behind + 1 if sample.cycle <= self._cycle and not restarted else 0
        if restarted or self._behind > LEAST_BEHIND:
            self._cycle, self._behind, self._hold_until, self._cleared_at = sample.cycle, 0, 0, -CLEARING
            self.fault(
                "another run of the arm than before: it was restarted"
                if restarted
                else "the cycles of arm_state went back: a state with a cycle far ahead came from somewhere else"
            )
            return False
        return self._behind == 0

    def _end_of_episode(self, sample: ArmSample) -> EpisodeResult | None:
        run = self._running
        if run is None or (ending := self._ending(run, sample)) is None:
            return None
        (end, why), announced, evaluation = ending, run.announced, run.announced.mode == Mode.EVALUATE
        requested = bool(announced.goal_id)
        if evaluation and (run.operator_drove or run.verdict or requested) and end != "rejected":
            why = why or "the operator took part: not an evaluation of the policy"
        why = why or self.live.problem(sample)
        interrupted = bool(why) and end != "rejected"
        if interrupted and end != "discarded":
            end = "interrupted"
        self._running = None
        self._interruptions = self._interruptions + 1 if interrupted and not (run.cut or requested) else 0
        if evaluation:
            self.evaluated += int(not interrupted and not requested)
            if self._interruptions >= PATIENCE:
                self._enter(StateEvent.INTERRUPTIONS, why)
        if announced.demonstration and end == SUCCESS:
            self._count_demonstration(announced.episode)
        distance = float(self.task.distance(self.live.achieved(sample), announced.goal))
        return EpisodeResult(
            announced.episode,
            announced.mode,
            announced.goal,
            sample.hand_m,
            distance,
            end,
            why,
            self.robot_cycles,
            announced.demonstration,
        )

    def _count_demonstration(self, episode: int) -> None:
        self.demonstrated, self._demonstration = self.demonstrated + 1, episode
        if self.demonstrated >= self.schedule.demonstrations:
            self._phase = Phase.LEARNING

    def _ending(self, run: _Running, sample: ArmSample) -> tuple[str, str] | None:
        """End of the running episode and the reason, if it ends with this state."""
        discarded = "discarded" if run.verdict == DISCARD else ""
        if self.announced.state in (PAUSED, FAULT, DISABLED):
            return discarded or "interrupted", self.announced.reason
        if run.verdict:
            self._enter(StateEvent.VERDICT, run.verdict)
            return discarded or run.verdict, ""
        if (why := self._given_up.get(run.announced.episode)) is not None:
            self._enter(StateEvent.GIVEN_UP, why)
            return "rejected", why
        if sample.source == Source.SAFETY and sample.episode == run.announced.episode:
            why = sample.hold_reason or "the arm held"
            self._enter(StateEvent.ARM_HELD, why)
            return "interrupted", why
        if why := self._around.unrecorded:
            self._enter(StateEvent.UNRECORDED, why)
            return "interrupted", why
        if run.announced.demonstration:
            over = self.announced.episode != run.announced.episode
            return ("interrupted", run.cut or "the demonstrations are over") if over else None
        if sample.cycle > run.end:
            return "interrupted", "the last state was lost"
        return None if sample.cycle < run.end else ("time_limit", run.cut)

    def _go_on(self) -> None:
        """Leave the present state, if it is time to."""
        if self.announced.state == HOLD:
            if not (self._demonstration_goes_on() or self._waits()):
                self._next(self._cycle + AHEAD, 0)
        elif self.announced.state == RESETTING:
            self._from_resetting()
        elif self.announced.state == RUNNING:
            self._from_running()
        elif self.announced.state == PAUSED:
            self._enter(StateEvent.TIME_TO_RESUME)

    def _demonstration_goes_on(self) -> bool:
        """Whether HOLD is a demonstration that runs or is awaited, and the operator wants nothing else."""
        if not self.announced.demonstration or self._phase is not Phase.DEMONSTRATING:
            return False
        if self._running is not None:
            self._running.cut = self._wish()
            return not self._running.cut
        requested, home = self.goals.requested, OperatorRequest.HOME in self._requests
        other_goal = requested and self.goals.requested_id != self.announced.goal_id
        return not (home or other_goal or self._around.missing)

    def _waits(self) -> bool:
        """Whether HOLD lasts: for the end of a pause, for the last weights, or for nodes."""
        around = self._around
        if self._cycle < self._hold_until:
            return True
        if self._phase is Phase.AWAITING_WEIGHTS:
            waited_s = around.now_s - self._learning_over_s
            if not around.final_weights and waited_s < self.schedule.weights_timeout_s:
                return True
            self._phase = Phase.EVALUATING
            if not around.any_weights:
                return self._enter(StateEvent.NO_WEIGHTS)
        if around.missing:
            self.announced = replace(self.announced, episode=0, reason=f"waiting for {around.missing}")
        return bool(around.missing)

    def _from_resetting(self) -> None:
        if self._around.at_home:
            self._since_reset = 0
            self._requests.discard(OperatorRequest.HOME)
            self._enter(StateEvent.AT_HOME, start=0 if self.final_weights_wanted else self._cycle + AHEAD)
        elif self._cycle - self.announced.start_cycle - self._helped_home > self.schedule.reset_timeout:
            self.fault(f"the arm did not get home within {self.schedule.reset_timeout} cycles")

    def _from_running(self) -> None:
        end = self.announced.start_cycle + self.announced.length
        if self._cycle >= end - AHEAD:
            self._next(max(end, self._cycle + 1), max(end - self._cycle, 0))
        elif self._running is not None and (why := self._wish()):
            start, announced = self._cycle + AHEAD, self._running.announced
            self._running.announced, self._running.cut = replace(announced, length=start - announced.start_cycle), why
            self._next(start, AHEAD)

    def _wish(self) -> str:
        """Why the operator wants the running episode to end now, or ""."""
        if self.goals.kept and self.goals.requested_id != self.announced.goal_id:
            return "the operator requested another goal"
        if OperatorRequest.HOME in self._requests:
            return OperatorRequest.HOME.value
        if OperatorRequest.EVALUATION in self._requests and self.mode == Mode.TRAIN:
            return OperatorRequest.EVALUATION.value
        return ""

    def _next(self, start: int, left: int) -> None:
        """Announce the state from cycle ``start`` on, with ``left`` cycles of an episode still to run."""
        self._left = left
        self._enter(StateEvent.NEXT, start=start)

    # Guards and effects of the table.

    @property
    def _learning_time_over(self) -> bool:
        return bool(self.schedule.duration) and self.robot_cycles >= self.schedule.duration

    @property
    def _pending(self) -> int:
        """Number of goals of the evaluation that run now and will count."""
        run = self._running
        return int(bool(run and run.announced.mode == Mode.EVALUATE and not run.cut and not run.announced.goal_id))

    def _may_resume(self) -> bool:
        """The operator did not pause."""
        waited = self._cycle - self._entered_at >= self.schedule.pause
        return self.schedule.auto_resume and self._cause is not StateEvent.PAUSE and waited

    def _awaits_weights(self) -> bool:
        """Learning is over, and the last weights have not arrived."""
        return self._phase is Phase.AWAITING_WEIGHTS

    def _demonstrations_missing(self) -> bool:
        """Demonstrations of the operator are missing."""
        return self._phase is Phase.DEMONSTRATING

    def _evaluation_requested(self) -> bool:
        """An evaluation was requested, and the mode is TRAIN."""
        return self.mode == Mode.TRAIN and OperatorRequest.EVALUATION in self._requests

    def _learning_ends(self) -> bool:
        """The time for learning is over, and no goal is kept."""
        duration = self.schedule.duration
        over = bool(duration) and self.robot_cycles + self._left >= duration
        return self.mode == Mode.TRAIN and over and not self.goals.kept

    def _evaluation_ends(self) -> bool:
        """All goals of the evaluation are over, and no goal is kept."""
        all_over = self.evaluated + self._pending >= self.schedule.evaluations
        return self.mode == Mode.EVALUATE and all_over and not self.goals.kept

    def _learning_resumes(self) -> bool:
        """All goals of a requested evaluation are over, no goal is kept, and time for learning is left."""
        requested = OperatorRequest.EVALUATION in self._requests
        return self._evaluation_ends() and requested and not self._learning_time_over

    def _home_due(self) -> bool:
        """A drive home was requested, or is due and no goal is kept."""
        return OperatorRequest.HOME in self._requests or (
            self._since_reset >= self._reset_every and not self.goals.kept
        )

    @property
    def _reset_every(self) -> int:
        schedule = self.schedule
        return schedule.reset_every if self.mode == Mode.TRAIN else schedule.evaluate_reset_every

    def _begin_evaluation(self) -> None:
        self._phase, self.evaluated, self._learning_over_s = Phase.AWAITING_WEIGHTS, 0, self._around.now_s
        self._since_reset = self._reset_every

    def _resume_learning(self) -> None:
        self._requests.discard(OperatorRequest.EVALUATION)
        self._phase = Phase.LEARNING

    def _hold_for_a_while(self) -> None:
        self._hold_until = self._cycle + self.schedule.pause

    def _fault_cleared(self) -> None:
        self._cleared_at = self._cycle

    # Transitions.

    def _enter(self, event: StateEvent, why: str = "", start: int = 0) -> bool:
        """Make the first transition of the table that applies, from cycle ``start`` on; return whether one did."""
        for row in STATE_TRANSITIONS:
            if row.event is event and self.announced.state in row.sources and (row.guard is None or row.guard(self)):
                self._take(row, why, start)
                return True
        return False

    def _take(self, row: StateTransition, why: str, start: int) -> None:
        if row.effect is not None:
            row.effect(self)
        self._cause, self._entered_at, self._helped_home = row.event, self._cycle, 0
        progress = self.schedule.progress(self.robot_cycles)
        if row.demonstration:
            number, count = self.demonstrated + 1, self.schedule.demonstrations
            reason, episode = row.reason.format(number, count, self.live.instruction), self._episode(start, progress)
            self.announced = replace(episode, state=HOLD, length=0, exploration=0.0, reason=reason)
        elif row.target == RUNNING:
            self.announced = self._episode(start, progress)
        else:
            reason = row.reason.format(why)
            self.announced = Announcement(row.target, self.mode, start_cycle=start, progress=progress, reason=reason)

    def _episode(self, start: int, progress: float) -> Announcement:
        """The next episode, from cycle ``start`` on. One with a requested goal does not explore."""
        self.episode += 1
        self._since_reset += 1
        schedule, goals, train = self.schedule, self.goals, self.mode == Mode.TRAIN
        requested = goals.requested if train else goals.kept
        goal_id = goals.requested_id if requested else ""
        return Announcement(
            RUNNING,
            self.mode,
            self.episode,
            start,
            schedule.episode_steps if train else schedule.evaluate_steps,
            goal=goals.training() if train or requested else goals.evaluation(self.evaluated + self._pending),
            goal_id=goal_id,
            exploration=schedule.exploration * (1.0 - progress) if train and not requested else 0.0,
            progress=progress,
        )


_STOPPABLE = (DISABLED, HOLD, RESETTING, RUNNING, PAUSED)
_EPISODE = (RUNNING, RESETTING, HOLD, DONE)
"""States that may be announced while an episode still runs."""
_M, _E, _T, _REQUESTED = EpisodeMachine, StateEvent, StateTransition, OperatorRequest.EVALUATION.value
_DEMONSTRATION = "demonstration {} of {}: {} (page, keyboard, SpaceMouse), then success; Train skips the missing ones"
STATE_TRANSITIONS = (
    _T((DISABLED, PAUSED), _E.START, HOLD, "starting"),
    _T(_STOPPABLE[1:], _E.PAUSE, PAUSED),
    _T(_STOPPABLE, _E.STOP, DISABLED, "stopped by the operator"),
    _T(_STOPPABLE, _E.FAULT, FAULT),
    _T((*_STOPPABLE, FAULT), _E.TWO_ARMS, FAULT),
    _T((FAULT,), _E.CLEAR_FAULT, DISABLED, "fault cleared, waiting for ~/start", effect=_M._fault_cleared),
    _T(_EPISODE, _E.ARM_HELD, PAUSED),
    _T(_EPISODE, _E.UNRECORDED, PAUSED),
    _T((PAUSED,), _E.TIME_TO_RESUME, HOLD, "resuming", _M._may_resume),
    _T(_EPISODE, _E.VERDICT, HOLD, "verdict of the operator: {}", effect=_M._hold_for_a_while),
    _T(_EPISODE, _E.GIVEN_UP, HOLD, "goal given up: {}", effect=_M._hold_for_a_while),
    _T((RUNNING,), _E.WITHDRAWN, HOLD),
    _T((HOLD,), _E.NO_WEIGHTS, DONE, "no weights were ever published, nothing to evaluate"),
    _T(tuple(State), _E.INTERRUPTIONS, DONE, f"gave up after {PATIENCE} interruptions in a row: {{}}"),
    _T((RESETTING,), _E.AT_HOME, HOLD, "waiting for the last weights", _M._awaits_weights),
    _T((RESETTING,), _E.AT_HOME, HOLD, _DEMONSTRATION, _M._demonstrations_missing, demonstration=True),
    _T((RESETTING,), _E.AT_HOME, RUNNING, ""),
    *(
        _T((HOLD, RUNNING), _E.NEXT, *row)
        for row in (
            (RESETTING, f"{_REQUESTED}, driving home", _M._evaluation_requested, _M._begin_evaluation),
            (RESETTING, "learning is over, driving home", _M._learning_ends, _M._begin_evaluation),
            (RUNNING, "", _M._learning_resumes, _M._resume_learning),
            (DONE, "all done", _M._evaluation_ends),
            (RESETTING, "driving home", _M._home_due),
        )
    ),
    _T((HOLD,), _E.NEXT, HOLD, _DEMONSTRATION, _M._demonstrations_missing, demonstration=True),
    _T((HOLD, RUNNING), _E.NEXT, RUNNING, ""),
)
"""All transitions. Of several rows for a state and an event the first whose guard is true applies."""
