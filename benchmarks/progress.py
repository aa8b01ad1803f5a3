"""Progress of many runs: a line for each that is under way, and a bar over all."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from benchmarks.cases import Run
from benchmarks.fan_out import Event

BAR = 30


class Progress:
    """Shows `Event`s.

    Parameters
    ----------
    runs : sequence of Run
        All that are to be measured now.
    stream : TextIO
        On a terminal the lines are renewed in place, otherwise they are printed once a minute.
    """

    def __init__(self, runs: Sequence[Run], stream: TextIO = sys.stderr) -> None:
        self._total = sum(run.steps for run in runs)
        self._count, self._finished = len(runs), 0
        self._stream, self._live = stream, stream.isatty()
        self._pause_s = 0.5 if self._live else 60.0
        self._began_s = self._shown_s = time.monotonic()
        self._seen: dict[Run, tuple[float, int, int]] = {}
        """First sight [s], steps then, steps now; a run that is resumed does not begin with 0."""
        self._over, self._height = 0, 0

    def hear(self, event: Event) -> None:
        """Take an event in, and show how things stand if it is time to."""
        run, now = event.run, time.monotonic()
        if event.done:
            self._seen.pop(run, None)
            self._over += run.steps
            self._finished += 1
            self._print(f"{run.label}: " + (f"FAILED, {event.error}" if event.error else "done"))
        elif event.steps:
            first_s, first, _ = self._seen.get(run, (now, event.steps, 0))
            self._seen[run] = (first_s, first, event.steps)
        if now - self._shown_s > self._pause_s or event.done:
            self._shown_s = now
            self._show(now)

    def lines(self, now: float) -> list[str]:
        """What is shown: the runs under way, then the bar."""
        lines = []
        for run, (first_s, first, steps) in self._seen.items():
            rate = (steps - first) / max(now - first_s, 1e-9)
            left = f"{rate:.0f} steps/s, {_clock((run.steps - steps) / rate)} left" if rate > 0 else ""
            lines.append(f"  {run.label}: {steps}/{run.steps} {left}")
        done = self._over + sum(steps for _, _, steps in self._seen.values())
        fresh = self._over + sum(steps - first for _, first, steps in self._seen.values())
        share = done / max(self._total, 1)
        filled = round(BAR * share)
        left = f", about {_clock((now - self._began_s) * (self._total - done) / fresh)} left" if fresh else ""
        bar = "#" * filled + "." * (BAR - filled)
        lines.append(f"[{bar}] {self._finished}/{self._count} runs, {100 * share:.0f} %{left}")
        return lines

    def _print(self, line: str) -> None:
        self._clear()
        print(line, file=self._stream, flush=True)

    def _show(self, now: float) -> None:
        self._clear()
        lines = self.lines(now)
        print("\n".join(lines), file=self._stream, flush=True)
        self._height = len(lines) if self._live else 0

    def _clear(self) -> None:
        if self._height:
            print(f"\x1b[{self._height}A\x1b[J", end="", file=self._stream)
            self._height = 0


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"
