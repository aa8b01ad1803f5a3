"""Several arms move at the same time; the store holds one trajectory after the other, each in one piece."""

from __future__ import annotations

from collections.abc import Callable

from tdm_ros.replay.log import LoggedTransition

PATIENCE = 200
"""Steps of one arm that wait for the end of another one's trajectory; that arm may be gone for ever."""


class Interleave:
    """Passes the steps of one arm on as they come, and keeps those of the others until its trajectory has ended.

    Of a single arm nothing ever waits. Of several, steps wait about as long as an episode lasts.

    Parameters
    ----------
    write : callable
        Takes an arm's name and its next step.
    close : callable
        Ends the trajectory that is open.
    """

    def __init__(self, write: Callable[[str, LoggedTransition], None], close: Callable[[], None]) -> None:
        self._write, self._close = write, close
        self._open: str | None = None
        self._waiting: dict[str, list[LoggedTransition]] = {}

    @property
    def waiting(self) -> int:
        """How many steps wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, arm: str, step: LoggedTransition) -> None:
        """Take the next step of an arm; ``last`` says that its trajectory ends with it."""
        if self._open in (None, arm):
            self._put(arm, step)
        else:
            waiting = self._waiting.setdefault(arm, [])
            waiting.append(step)
            if len(waiting) > PATIENCE:
                self._close()
                self._open = None
        self._go_on()

    def settle(self) -> None:
        """Let nothing wait any more: end trajectories that are open."""
        while self._waiting:
            if self._open is not None:
                self._close()
                self._open = None
            self._go_on()

    def _put(self, arm: str, step: LoggedTransition) -> None:
        self._write(arm, step)
        self._open = None if step.last else arm

    def _go_on(self) -> None:
        """While no trajectory is open, pass on one that waits; one that has ended, if there is one."""
        while self._open is None and self._waiting:
            whole = (arm for arm, steps in self._waiting.items() if any(step.last for step in steps))
            arm = next(whole, next(iter(self._waiting)))
            steps = self._waiting.pop(arm)
            count = next((number for number, step in enumerate(steps, start=1) if step.last), len(steps))
            for step in steps[:count]:
                self._put(arm, step)
            if steps[count:]:
                self._waiting[arm] = steps[count:]
