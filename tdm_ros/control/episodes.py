"""State machine of the supervisor: episodes, goals, resets, training, evaluation, interruptions.

::

    DISABLED -> HOLD -> RESETTING -> RUNNING <-> PAUSED        FAULT: latched until a person clears it
                           ^------------|                      DONE: all that was asked for has been done
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.teleop import DISCARD, EVENTS, FAILURE, PAUSE, RESUME, SUCCESS
from tdm_ros.control.timeline import LONGEST_ID, Announcement, Mode, Source, State
from tdm_ros.tasks import SCENES, Scene, TaskSpec
from tdm_ros.tasks.seeds import generator
from tdm_ros.types import CycleRange

MORE_CYCLES = 5
"""Cycles for which the arm may continue an attempt until it receives that it is over; no other begins meanwhile."""

KEPT = 100
"""Newest discarded ranges that are announced. A reader takes each in when it is announced, or reads it from the log."""


@dataclass(frozen=True)
class Attempt:
    """An episode, or what a person did between two of them."""

    episode: int
    cycles: CycleRange
    """Cycles of the first states of its transitions."""


class Attempts:
    """Follows the states of the arm and knows when the newest attempt began and ended."""

    def __init__(self) -> None:
        self._newest: Attempt | None = None
        self._before: tuple[str, int] | None = None
        self.discarded: tuple[CycleRange, ...] = ()
        """Newest ranges that were discarded, `KEPT` at most."""

    def on_sample(self, sample: ArmSample) -> None:
        """Take a state in; its source and episode are those of the cycle that has just ended."""
        ended = sample.cycle - 1
        known, self._before = self._before == (sample.run, ended), (sample.run, sample.cycle)
        acted = sample.episode > 0 or sample.source == Source.HUMAN
        if not known or not acted:
            return
        newest = self._newest
        # What a person does in the cycle in which an episode is cut, or just before one, is a piece of its own.
        begin = ended
        if newest and newest.cycles.run == sample.run and newest.episode == sample.episode:
            begin = newest.cycles.begin if sample.episode or newest.cycles.end == ended else ended
        self._newest = Attempt(sample.episode, CycleRange(sample.run, begin, sample.cycle))

    def discard(self, running: bool) -> str:
        """Discard the newest attempt, which may still be ``running``; return "" or why there is none."""
        newest, self._newest = self._newest, None
        if newest is None:
            return "nothing was done since the last attempt was discarded"
        run, begin, end = newest.cycles
        cycles = CycleRange(run, begin, end + (MORE_CYCLES if running else 0))
        self.discarded = (*self.discarded, cycles)[-KEPT:]
        return ""


@dataclass(frozen=True)
class Schedule:
    """The plan of a run; times are in cycles of the arm.

    Parameters
    ----------
    duration : int
        Cycles of learning; 0: without end.
    evaluations : int
        Goals of the evaluation after learning.
    reset_every : int
        Episodes between two drives home.
    evaluate_reset_every : int
        The same during the evaluation.
    exploration : float
        Standard deviation of the exploration noise at the beginning, in action units; it fades to zero.
    episode_steps, evaluate_steps : int
        Cycles of an episode, of learning and of the evaluation.
    auto_start, auto_resume : bool
        Start, and go on after an interruption, without a person.
    pause : int
        Cycles to wait before an interrupted run is resumed, and after a refused goal.
    reset_timeout : int
        Cycles in which the arm must get home.
    weights_timeout_s : float
        Longest wait for the trainer's last weights before the evaluation [s].
    """

    duration: int = 3600
    evaluations: int = 40
    reset_every: int = 10
    evaluate_reset_every: int = 1
    exploration: float = 0.2
    episode_steps: int = 50
    evaluate_steps: int = 50
    auto_start: bool = True
    auto_resume: bool = True
    pause: int = 10
    reset_timeout: int = 300
    weights_timeout_s: float = 20.0

    def progress(self, robot_cycles: int) -> float:
        """Part of the learning time that is over, in [0, 1]; 0 in a run without end."""
        return min(robot_cycles / self.duration, 1.0) if self.duration else 0.0


class Goals:
    """Goals of training and of evaluation, from streams of random numbers that have nothing in common.

    Parameters
    ----------
    task : TaskSpec
    seed : int
    scene : Scene
        No goal is drawn in one of its regions.
    low, high : (G,) sequence of float, optional
        Corners of a box that all goals are to lie in, beside the task's [goal unit].

    Raises
    ------
    ValueError
        If hardly any goal lies there.
    """

    def __init__(
        self,
        task: TaskSpec,
        seed: int,
        scene: Scene = SCENES["open"],
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        self._task, self._seed, self._scene = task, seed, scene
        self._low = np.maximum(task.goal.low, task.goal.low if low is None else low).astype(np.float32)
        self._high = np.minimum(task.goal.high, task.goal.high if high is None else high).astype(np.float32)
        self._drawn = 0
        self._asked: NDArray[np.float32] | None = None
        self._keeps = False
        self.asked_id = ""
        """Identifier of the goal that somebody asked for; "" if nobody did."""
        self._numbered = 0
        for evaluation in (False, True):
            self._draw(np.random.default_rng(0), evaluation)

    def ask(self, goal: ArrayLike, goal_id: str = "") -> str:
        """Take somebody's goal, (G,), for the next episode; return "" or why it cannot be used.

        Without an identifier it gets a number, or that of such a goal which still stands and which it repeats.
        """
        if len(goal_id) > LONGEST_ID:
            return f"goal_id must have at most {LONGEST_ID} characters, got {len(goal_id)}"
        try:
            asked = self._task.goal.checked(goal, "goal")
        except ValueError as error:
            return str(error)
        if not self._within(asked):
            return f"goal must be within {self._box}, got {asked.tolist()}"
        if not goal_id:
            repeats = self.asked_id == f"{self._numbered}" and np.array_equal(asked, self._asked)  # type: ignore[arg-type]
            self._numbered += not repeats
        self._asked, self.asked_id = asked, goal_id or f"{self._numbered}"
        return ""

    def withdraw(self, goal_id: str) -> None:
        """Let no further episode begin for a goal."""
        if goal_id == self.asked_id:
            self._asked, self.asked_id = None, ""

    def keep(self, on: bool) -> None:
        """Let a person's goal stay for one episode after the other, or go back to drawn ones."""
        self._keeps = on
        if not on:
            self.withdraw(self.asked_id)

    @property
    def asked(self) -> bool:
        """Whether a person asked for the next goal."""
        return self._asked is not None

    @property
    def kept(self) -> NDArray[np.float32] | None:
        """The goal of a person that stays, (G,) float32; None if there is none."""
        return self._asked if self._keeps else None

    def training(self) -> NDArray[np.float32]:
        """The next training goal, (G,) float32: what a person asked for, else a drawn one."""
        if self._asked is not None:
            asked = self._asked
            if not self._keeps:
                self.withdraw(self.asked_id)
            return asked
        self._drawn += 1
        return self._draw(generator("train", self._seed, self._drawn - 1), False)

    def evaluation(self, index: int) -> NDArray[np.float32]:
        """Evaluation goal number ``index``, (G,) float32: the same however often a run is interrupted."""
        return self._draw(generator("evaluate", self._seed, index), True)

    def _draw(self, rng: np.random.Generator, evaluation: bool) -> NDArray[np.float32]:
        for _ in range(1000):
            goal = self._scene.sample_goal(self._task, rng, evaluation)
            if self._within(goal):
                return goal
        raise ValueError(f"hardly any goal of the scene lies within {self._box}: choose a larger box")

    def _within(self, goal: NDArray[np.float32]) -> bool:
        return bool((goal >= self._low).all() and (goal <= self._high).all())

    @property
    def _box(self) -> str:
        return f"{self._low.tolist()} and {self._high.tolist()} {self._task.goal.unit}"


AHEAD = 4
"""Cycles before an episode's end at which the next one is announced: time for everyone to hear of it."""

CLEARING = 10
"""Cycles that the arm has to hear that its fault is cleared, before it counts as a new one. It stands meanwhile."""

LEAST_BEHIND = 20
"""States with lower cycles than the newest, one after the other, after which that one is not believed."""
PATIENCE = 20
"""Interruptions in a row after which the evaluation is given up."""


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode ended.

    Parameters
    ----------
    episode : int
    mode : Mode
    goal, last_hand_m : (G,) array [m]
    final_distance_m : float
        From the hand in the last state to the goal [m].
    end : str
        "time_limit", "refused" (the planner saw no way, which is scored as it stands), "success" or "failure" (a person
        said so), "interrupted" or "discarded" (not scored).
    why : str
        What interrupted it, or why it was refused.
    robot_cycles : int
        Cycles that the arm had moved by then.
    """

    episode: int
    mode: Mode
    goal: NDArray[np.float32]
    last_hand_m: NDArray[np.float64]
    final_distance_m: float
    end: str
    why: str
    robot_cycles: int


@dataclass(frozen=True)
class Surroundings:
    """What the supervisor knows besides the arm's state.

    Parameters
    ----------
    now_s : float
        Steady time [s].
    at_home : bool
        The arm is at rest in the home posture.
    missing : str
        Which nodes are not there; empty when all are.
    any_weights, final_weights : bool
        The trainer has published weights, and its last ones.
    """

    now_s: float
    at_home: bool = False
    missing: str = ""
    any_weights: bool = False
    final_weights: bool = False


class EpisodeMachine:
    """Decides, state by state, what is announced next.

    Parameters
    ----------
    task : TaskSpec
    schedule : Schedule
    goals : Goals
    """

    def __init__(self, task: TaskSpec, schedule: Schedule, goals: Goals) -> None:
        self.task, self.schedule, self.goals = task, schedule, goals
        self.mode = Mode.TRAIN
        self.robot_cycles = 0
        """Cycles of learning in which the arm moved; drives home included."""
        self.episode = 0
        self.evaluated = 0
        # The episode that runs now; `told` may already be the next one.
        self._active: Announcement | None = None
        self._since_reset = schedule.reset_every
        self._interruptions = 0
        self._refused: dict[int, str] = {}
        self._behind = 0
        self._verdict = ""
        self._person_drove = False
        self._helped_home = 0
        self._attempts = Attempts()
        self._cut = ""
        self._reset_asked = self._evaluate_asked = False
        self._for_person: set[int] = set()
        self._hold_until = 0
        self._arm_run: str | None = None
        self._cycle = 0
        self._paused_at = 0
        self._cleared_at = -CLEARING
        self._by_person = False
        self._now_s = 0.0
        self._training_over_s: float | None = None
        self.told = Announcement(State.DISABLED, reason="waiting for ~/start")
        if schedule.auto_start:
            self._tell(State.HOLD, "starting")

    @property
    def done(self) -> bool:
        """All that was asked for has been done."""
        return self.told.state == State.DONE and self.told.start_cycle <= self._cycle

    @property
    def final_weights_wanted(self) -> bool:
        """Learning is over and the evaluation waits for the trainer's last weights."""
        return self._training_over_s is not None

    # What a person, or a service, may do. Each returns "" or why it was not done.

    def start(self) -> str:
        """Begin, or go on after a pause."""
        if self.told.state not in (State.DISABLED, State.PAUSED):
            return f"can start from DISABLED or PAUSED, the state is {self.told.state.name}"
        self._by_person = False
        self._tell(State.HOLD, "starting")
        return ""

    def pause(self, why: str = "paused by a person") -> str:
        """Stop the arm; only `start` goes on."""
        if self.told.state not in (State.RUNNING, State.RESETTING, State.HOLD, State.PAUSED):
            return f"nothing to pause, the state is {self.told.state.name}"
        self._by_person = True
        self._tell(State.PAUSED, why)
        return ""

    def event(self, name: str) -> str:
        """Take in what a person says by a button: how the episode went, or that all shall pause or go on.

        Success and failure end the episode that runs. So does discard; where none runs it means the newest attempt,
        be it an episode or what a person did since.
        """
        if name not in EVENTS:
            return f"an event is one of {', '.join(EVENTS)}, got {name!r}"
        if name == PAUSE:
            return self.pause()
        if name == RESUME:
            return (
                self.start() if self.told.state == State.PAUSED else f"nothing to resume, it is {self.told.state.name}"
            )
        if self._active is None and name in (SUCCESS, FAILURE):
            return "no episode runs"
        if name == DISCARD and (problem := self._attempts.discard(self._active is not None)):
            return problem
        if self._active is not None:
            self._verdict = name
        return ""

    def reset(self) -> str:
        """Drive home now, then go on."""
        if self.told.state not in (State.RUNNING, State.HOLD):
            return f"drives home from RUNNING or HOLD, the state is {self.told.state.name}: start first"
        self._reset_asked = True
        return ""

    def evaluate(self, on: bool) -> str:
        """Evaluate now, or go back to learning."""
        schedule = self.schedule
        if on and not schedule.evaluations:
            return "there are no goals to evaluate on: evaluate_goals is 0"
        if not on and schedule.duration and self.robot_cycles >= schedule.duration:
            return "the time for learning is over: duration_min is larger, or .inf, in a run that learns on"
        if self.told.state in (State.FAULT, State.DONE):
            return f"not now, the state is {self.told.state.name}"
        self._evaluate_asked = on
        if not on and self.mode == Mode.EVALUATE:
            self.mode, self._training_over_s = Mode.TRAIN, None
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
        """Cycles of whose transitions nobody is to learn; the newest of them."""
        return self._attempts.discarded

    def stop(self) -> str:
        """Stop the arm and wait to be started."""
        if self.told.state in (State.FAULT, State.DONE):
            return f"cannot stop, the state is {self.told.state.name}"
        self._tell(State.DISABLED, "stopped by a person")
        return ""

    def fault(self, why: str, instead: bool = False) -> None:
        """Stop the arm until a person clears the fault; of several the first is shown, or this one ``instead``."""
        if self.told.state != State.DONE and (instead or self.told.state != State.FAULT):
            self._tell(State.FAULT, why)

    def refuse(self, episode: int, why: str) -> None:
        """Take in that the planner sees no way to the goal of an episode, which ends it; the arm holds."""
        newest = self._active.episode if self._active is not None else self.told.episode
        self._refused = {number: text for number, text in self._refused.items() if number >= newest} | {episode: why}

    def clear_fault(self) -> str:
        """Leave FAULT; nothing moves before `start`."""
        if self.told.state != State.FAULT:
            return f"there is no fault, the state is {self.told.state.name}"
        self._cleared_at = self._cycle
        self._tell(State.DISABLED, "fault cleared, waiting for ~/start")
        return ""

    # What the arm reports.

    def on_sample(self, sample: ArmSample, around: Surroundings) -> EpisodeResult | None:
        """Take one state of the arm in; return the result of the episode that ended with it."""
        restarted = self._arm_run not in (None, sample.run)
        self._arm_run = sample.run
        if restarted:
            self._count_from(sample.cycle)
            self.fault("another run of the arm than before: it was restarted")
            return None
        if sample.cycle <= self._cycle:
            self._behind += 1  # it was here before
            if self._behind > LEAST_BEHIND:
                self._count_from(sample.cycle)
                self.fault("the cycles of arm_state went back: a state with a cycle far ahead came from somewhere else")
            return None
        self._behind = 0
        self._cycle, self._now_s = sample.cycle, around.now_s
        self._attempts.on_sample(sample)
        if sample.fault and sample.cycle > self._cleared_at + CLEARING:
            self.fault(f"the arm: {sample.fault}")
        elif self.told.state == State.RESETTING and sample.source == Source.SAFETY:
            self._tell(State.PAUSED, sample.hold_reason or "the arm held")
        by_person = sample.source == Source.HUMAN
        self._person_drove |= by_person and self._active is not None
        self._helped_home += int(by_person and self.told.state == State.RESETTING)
        if self.mode == Mode.TRAIN and (sample.episode > 0 or by_person or sample.source == Source.RESET):
            self.robot_cycles += 1
        result = self._end_of_episode(sample)
        if self.told.start_cycle <= sample.cycle:
            if self._active is None and self.told.state == State.RUNNING:
                self._active, self._verdict, self._person_drove, self._cut = self.told, "", False, ""
            self._go_on(around)
        return result

    def _count_from(self, cycle: int) -> None:
        """Go on with lower cycles: what was to be waited for was in the old ones."""
        self._cycle = self._paused_at = cycle
        self._behind = self._hold_until = 0
        self._cleared_at = -CLEARING

    def _end_of_episode(self, sample: ArmSample) -> EpisodeResult | None:
        run = self._active
        if run is None:
            return None
        over = run.start_cycle + run.length
        why, verdict = "", self._verdict
        refused = run.episode in self._refused
        if self.told.state in (State.PAUSED, State.FAULT, State.DISABLED):
            why, refused = self.told.reason, False
        elif verdict:
            refused = False
            self._tell(State.HOLD, f"a person says: {verdict}")
            self._hold_until = self._cycle + self.schedule.pause
        elif refused:
            why = self._refused[run.episode]
            self._tell(State.HOLD, f"goal refused: {why}")
            self._hold_until = self._cycle + self.schedule.pause
        elif sample.source == Source.SAFETY and sample.episode == run.episode:
            why = sample.hold_reason or "the arm held"
            self._tell(State.PAUSED, why)
        elif sample.cycle > over:
            why = "the last state was lost"
        elif sample.cycle < over:
            return None
        else:
            why = self._cut
        asked = run.episode in self._for_person
        self._for_person.discard(run.episode)
        if run.mode == Mode.EVALUATE and (self._person_drove or verdict or asked) and not refused:
            why = why or "a person took part, which is no evaluation of the policy"
        self._active, self._verdict = None, ""
        interrupted = bool(why) and not refused
        end = "interrupted" if interrupted else "refused" if refused else verdict or "time_limit"
        end = "discarded" if verdict == DISCARD else end
        self._interruptions = self._interruptions + 1 if interrupted and not (self._cut or asked) else 0
        if run.mode == Mode.EVALUATE:
            self.evaluated += int(not interrupted and not asked)
            if self._interruptions >= PATIENCE:
                self._tell(State.DONE, f"gave up after {PATIENCE} interruptions in a row: {why}")
        return EpisodeResult(
            run.episode,
            run.mode,
            run.goal,
            sample.hand_m,
            float(self.task.distance(sample.hand_m, run.goal)),
            end,
            why,
            self.robot_cycles,
        )

    def _go_on(self, around: Surroundings) -> None:
        state = self.told.state
        if state == State.HOLD:
            self._from_hold(around)
        elif state == State.RESETTING:
            self._from_resetting(around)
        elif state == State.RUNNING:
            self._from_running()
        elif state == State.PAUSED and self._may_resume():
            self._tell(State.HOLD, "resuming")

    def _may_resume(self) -> bool:
        alone = self.schedule.auto_resume and not self._by_person
        return alone and self._cycle - self._paused_at >= self.schedule.pause

    def _from_hold(self, around: Surroundings) -> None:
        if self._cycle < self._hold_until:
            return
        if self._training_over_s is not None:
            waited_s = around.now_s - self._training_over_s
            if not around.final_weights and waited_s < self.schedule.weights_timeout_s:
                return
            self._training_over_s = None
            if not around.any_weights:
                self._tell(State.DONE, "no weights were ever published, nothing to evaluate")
                return
        if around.missing:
            self.told = replace(self.told, reason=f"waiting for {around.missing}")
            return
        self._next(self._cycle + AHEAD, 0)

    def _from_resetting(self, around: Surroundings) -> None:
        if around.at_home:
            self._since_reset, self._reset_asked = 0, False
            if self.final_weights_wanted:
                self._tell(State.HOLD, "waiting for the last weights")
            else:
                self._run(self._cycle + AHEAD, 0)
        elif self._cycle - self.told.start_cycle - self._helped_home > self.schedule.reset_timeout:
            self.fault(f"the arm did not get home within {self.schedule.reset_timeout} cycles")

    def _from_running(self) -> None:
        end = self.told.start_cycle + self.told.length
        if self._cycle >= end - AHEAD:
            self._next(max(end, self._cycle + 1), max(end - self._cycle, 0))
        elif self._active is not None and (why := self._wish()):
            start = self._cycle + AHEAD
            self._active = replace(self._active, length=start - self._active.start_cycle)
            self._cut = why
            self._next(start, AHEAD)

    def _wish(self) -> str:
        """Why a person wants the episode that runs to end now, or ""."""
        if self.goals.kept is not None and self.goals.asked_id != self.told.goal_id:
            return "a person asked for another goal"
        if self._reset_asked:
            return "a person asked to drive home"
        if self._evaluate_asked and self.mode == Mode.TRAIN:
            return "a person asked for an evaluation"
        return ""

    def _next(self, start: int, left: int) -> None:
        """Announce what comes at cycle ``start``, with ``left`` cycles of an episode still to run."""
        run, schedule, kept = self._active, self.schedule, self.goals.kept is not None
        counts = run is not None and not self._cut and run.episode not in self._for_person
        pending = int(counts and run is not None and run.mode == Mode.EVALUATE)
        over = bool(schedule.duration) and self.robot_cycles + left >= schedule.duration and not kept
        if self.mode == Mode.TRAIN and (over or self._evaluate_asked):
            self._end_training(start)
        elif self.mode == Mode.EVALUATE and self.evaluated + pending >= schedule.evaluations and not kept:
            self._end_evaluation(start)
        elif self._reset_asked or (self._since_reset >= self._reset_every and not kept):
            self._tell(State.RESETTING, "driving home", start)
        else:
            self._run(start, pending)

    @property
    def _reset_every(self) -> int:
        schedule = self.schedule
        return schedule.reset_every if self.mode == Mode.TRAIN else schedule.evaluate_reset_every

    def _end_training(self, start: int) -> None:
        self.mode, self.evaluated = Mode.EVALUATE, 0
        self._since_reset = self._reset_every
        self._training_over_s = self._now_s
        why = "a person asked for an evaluation" if self._evaluate_asked else "learning is over"
        self._tell(State.RESETTING, f"{why}, driving home", start)

    def _end_evaluation(self, start: int) -> None:
        schedule = self.schedule
        if self._evaluate_asked and not (schedule.duration and self.robot_cycles >= schedule.duration):
            self._evaluate_asked, self.mode = False, Mode.TRAIN
            self._run(start, 0)
        else:
            self._tell(State.DONE, "all done", start)

    def _run(self, start: int, pending: int) -> None:
        self.episode += 1
        self._since_reset += 1
        progress = self.schedule.progress(self.robot_cycles)
        train = self.mode == Mode.TRAIN
        asked = self.goals.asked if train else self.goals.kept is not None
        explore = train and not asked  # who asks for a goal wants to see it reached
        goal_id = self.goals.asked_id if asked else ""
        if asked:
            self._for_person.add(self.episode)
        self.told = Announcement(
            State.RUNNING,
            self.mode,
            self.episode,
            start,
            self.schedule.episode_steps if train else self.schedule.evaluate_steps,
            goal=self.goals.training() if train or asked else self.goals.evaluation(self.evaluated + pending),
            goal_id=goal_id,
            exploration=self.schedule.exploration * (1.0 - progress) if explore else 0.0,
            progress=progress,
        )

    def _tell(self, state: State, reason: str, start: int = 0) -> None:
        if state == State.PAUSED:
            self._paused_at = self._cycle
        self._helped_home = 0
        progress = self.schedule.progress(self.robot_cycles)
        self.told = Announcement(state, self.mode, start_cycle=start, progress=progress, reason=reason)
