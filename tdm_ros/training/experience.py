"""Recordings as experience: transitions of one task, each once, in trajectories without gaps.

A transition is identified by its run and cycle. Recordings of older versions do not contain the run: there two
transitions are consecutive if the cycle is the next one and the state is the one that the other led to, which separates
the arms of one recording, and transitions with the same content are the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data.log import discarded_of, from_message
from tdm_ros.data.pairing import TransitionFilter, chains
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, DataError, Recording, tasks_in
from tdm_ros.data.sources import read_nonempty
from tdm_ros.replay.store import check_step
from tdm_ros.tasks import TaskSpec
from tdm_ros.types import CycleRange, CycleSet, LoggedTransition, Step, TimeSpan


@dataclass
class RecordedExperience:
    """Transitions of recordings; each with whether its trajectory ends there, and whether the operator made it."""

    steps: list[tuple[Step, bool, bool]] = field(default_factory=list)
    repeated: int = 0  # transitions that occur in several recordings
    discarded: int = 0  # transitions that the operator discarded; they are left out
    problems: list[str] = field(default_factory=list)  # what was left out because it is damaged or not finite


def read_experience(paths: Sequence[Path], task: TaskSpec, progress: bool = False) -> RecordedExperience:
    """Read the commanded transitions of recordings, in order; each run in the order of its cycles.

    Raises DataError if a recording has none, is damaged entirely, or belongs to another task.
    """
    found, seen = RecordedExperience(), set[Hashable]()
    for path in paths:
        recording = read_nonempty(path, progress)
        found.problems += recording.problems
        _read(recording, path, task, found, seen)
    return found


def _read(recording: Recording, path: Path, task: TaskSpec, found: RecordedExperience, seen: set[Hashable]) -> None:
    discarded = _Discarded(recording, task)
    runs: defaultdict[str, list[LoggedTransition]] = defaultdict(list)
    older: defaultdict[str, list[LoggedTransition]] = defaultdict(list)
    decoded = commanded = unusable = 0
    why = ""
    tasks: Counter[str] = Counter()
    for arm, message in _of_type(recording, TRANSITION_TYPE):
        decoded += 1
        tasks[message.task] += 1
        if message.task != task.fingerprint:
            if tasks[message.task] > 1:
                break
            commanded, unusable, why = commanded + 1, unusable + 1, why or f"its task is {message.task!r}"
            continue
        transition = from_message(message)
        is_commanded, key = transition.source in COMMANDED, _identity(transition)
        commanded += is_commanded
        if key in seen:
            found.repeated += is_commanded
            continue
        seen.add(key)
        if not is_commanded:
            continue
        if discarded.has(arm, transition):
            found.discarded += 1
            continue
        try:
            check_step(transition.step, task)
        except ValueError as error:
            unusable, why = unusable + 1, why or str(error)
            continue
        (runs[transition.run] if transition.run else older[arm]).append(transition)
    if others := tasks_in(tasks) - {task.fingerprint}:
        raise DataError(
            f"{path} was recorded for task {min(others)}, expected {task.fingerprint}: give recordings of this "
            "task, or train the recorded one"
        )
    for transitions in [*runs.values(), *(chain for one in older.values() for chain in _chains(one))]:
        found.steps += _in_pieces(transitions)
    if undecoded := recording.count(TRANSITION_TYPE) - decoded:
        found.problems.append(f"{path}: {undecoded} transitions cannot be decoded and are left out")
    if unusable:
        found.problems.append(f"{path}: {unusable} transitions cannot be used and are left out, the first: {why}")
    if commanded == unusable:
        raise DataError(f"{path} has no commanded transition of tdm_ros to learn from")


def _of_type(recording: Recording, type_name: str) -> Iterator[tuple[str, Any]]:
    """Namespace of the topic and content of each message of a type."""
    for position, message in recording.of_type(type_name):
        topic = recording.channels[recording.messages[position].channel].topic
        yield topic.rpartition("/")[0], message


def _identity(transition: LoggedTransition) -> Hashable:
    """Key that two transitions share only if one is a copy of the other."""
    if transition.run:
        return transition.run, transition.cycle
    step = transition.step
    arrays = (step.observation, step.action, step.next_observation, step.desired)
    return hash((transition.cycle, transition.stamp_ns, *(array.tobytes() for array in arrays)))


class _Discarded:
    """Transitions of a recording that the operator discarded."""

    def __init__(self, recording: Recording, task: TaskSpec) -> None:
        self._cycles = CycleSet()
        self._times: defaultdict[str, set[TimeSpan]] = defaultdict(set)
        for arm, message in _of_type(recording, EPISODE_TYPE):
            for one in discarded_of(message) if message.task == task.fingerprint else ():
                if isinstance(one, CycleRange):
                    self._cycles.add(one)
                else:
                    self._times[arm].add(one)

    def has(self, arm: str, transition: LoggedTransition) -> bool:
        """Whether a transition from the topics of an arm is discarded."""
        if transition.run:
            return self._cycles.has(transition.run, transition.cycle)
        return any(begin <= transition.stamp_ns < end for begin, end in self._times[arm])


def _chains(transitions: list[LoggedTransition]) -> Iterator[list[LoggedTransition]]:
    """Chains of transitions without run: the next cycle, from the state that the previous one led to."""
    begins = [(one.cycle, one.step.observation.tobytes()) for one in transitions]
    ends = [(one.cycle + 1, one.step.next_observation.tobytes()) for one in transitions]
    for chain in chains(begins, ends):
        yield [transitions[position] for position in chain]


def _in_pieces(transitions: list[LoggedTransition]) -> Iterator[tuple[Step, bool, bool]]:
    """Transitions of one run in the order of their cycles: each with whether its trajectory ends, and its source."""
    joining = TransitionFilter()
    ordered = sorted(transitions, key=lambda transition: transition.cycle)
    for ready in (*map(joining.add, ordered), joining.flush()):
        if ready is not None:
            yield ready.step, ready.last, ready.source == Source.HUMAN
