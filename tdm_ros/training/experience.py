"""Recordings as experience to learn from: of the right task, each transition once, no piece across a hole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, DataError
from tdm_ros.data.sources import read_whole
from tdm_ros.replay import Step
from tdm_ros.replay.log import LoggedTransition, from_message, spans_of
from tdm_ros.replay.pairing import Joining
from tdm_ros.tasks import TaskSpec
from tdm_ros.training.live_learning import check_step


@dataclass
class Experience:
    """What recordings have to teach.

    Parameters
    ----------
    steps : list of (Step, bool, bool)
        Each with whether its piece ends there, and whether a person made it.
    repeated : int
        Transitions that another of the recordings has, too.
    discarded : int
        Transitions that a person discarded; they are left out.
    problems : list of str
        A sentence for all that was left out because it is damaged or not finite.
    """

    steps: list[tuple[Step, bool, bool]] = field(default_factory=list)
    repeated: int = 0
    discarded: int = 0
    problems: list[str] = field(default_factory=list)


def read_experience(paths: Sequence[Path], task: TaskSpec, progress: bool = False) -> Experience:
    """Read the commanded transitions of recordings, one recording after the other.

    Raises
    ------
    DataError
        If there is none in one of them, nothing in it is whole, or it is of another task.
    """
    found, seen = Experience(), set[tuple[int, int]]()
    for path in paths:
        _read(path, task, found, seen, progress)
    return found


def _read(path: Path, task: TaskSpec, found: Experience, seen: set[tuple[int, int]], progress: bool) -> None:
    recording = read_whole(path, progress)
    found.problems += recording.problems
    told = (message for _, message in recording.of_type(EPISODE_TYPE) if message.task == task.fingerprint)
    discarded = {span for message in told for span in spans_of(message)}
    joining, decoded, unusable, why, before = Joining(), 0, 0, "", len(seen)
    for _, message in recording.of_type(TRANSITION_TYPE):
        decoded += 1
        if message.task != task.fingerprint:
            raise DataError(
                f"{path} was recorded for task {message.task}, this is {task.fingerprint}: give recordings of this "
                "task, or learn the one that they are of"
            )
        transition = from_message(message)
        if transition.source not in COMMANDED:
            _keep(joining.add(transition), found)
            continue
        key = (transition.stamp_ns, transition.cycle)
        if key in seen:
            found.repeated += 1
            continue
        if any(begin <= transition.stamp_ns < end for begin, end in discarded):
            found.discarded += 1
            seen.add(key)
            continue
        try:
            check_step(transition.step, task)
        except ValueError as error:
            unusable, why = unusable + 1, why or str(error)
            continue
        seen.add(key)
        _keep(joining.add(transition), found)
    _keep(joining.flush(), found)
    if undecoded := recording.count(TRANSITION_TYPE) - decoded:
        found.problems.append(f"{path}: {undecoded} transitions can not be decoded and are left out")
    if unusable:
        found.problems.append(f"{path}: {unusable} transitions can not be used and are left out, the first: {why}")
    if len(seen) == before and not found.repeated:
        raise DataError(f"{path} has no commanded transition of tdm_ros: there is nothing to learn from")


def _keep(transition: LoggedTransition | None, found: Experience) -> None:
    if transition is not None:
        found.steps.append((transition.step, transition.last, transition.source == Source.HUMAN))
