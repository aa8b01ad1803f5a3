"""Recordings that a training run begins with: read once, learned from once, noted in the run folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tdm_ros.training.experience import read_experience
from tdm_ros.training.library import TDM
from tdm_ros.training.saved import write_json

FILE = "recordings.json"


class Recordings:
    """What to learn from before the first step of a run.

    Parameters
    ----------
    paths : sequence of Path
    updates : int, optional
        As `TDM.learn_from` takes it.
    """

    def __init__(self, paths: Sequence[Path], updates: int | None = None) -> None:
        self._paths, self._updates = [str(path.resolve()) for path in paths], updates

    def refuse_others(self, out: Path) -> None:
        """Raise unless the run in a folder began with the very same.

        Raises
        ------
        ValueError
            If it did not.
        """
        record = out / FILE
        found = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {"paths": [], "updates": None}
        if (found["paths"], found["updates"]) != (self._paths, self._updates):
            raise ValueError(
                f"{out} was trained with recordings {found['paths']} and updates {found['updates']}, asked for "
                f"{self._paths} and {self._updates}; give another --out"
            )

    def learn(self, agent: TDM, out: Path) -> bool:
        """Learn from them and save the agent, unless that was done before; False after Ctrl-C.

        Raises
        ------
        ValueError
            If they cannot be learned from.
        """
        if not self._paths or agent.learner.transitions:
            return True
        from tqdm import tqdm

        found = read_experience([Path(path) for path in self._paths], agent.task, progress=True)
        for problem in found.problems:
            print(f"left out: {problem}", file=sys.stderr)
        count = len(found.steps)
        updates = agent.learner.config.updates_per_step * count if self._updates is None else self._updates
        print(f"{count} transitions from {len(self._paths)} recordings, {updates} updates", file=sys.stderr)
        pause_s = 0.1 if sys.stderr.isatty() else 10.0
        try:
            with tqdm(total=updates, unit="update", smoothing=0.05, mininterval=pause_s) as bar:
                agent.learn_from(found, updates, bar.update)
        except KeyboardInterrupt:
            print("stopped while learning from recordings; the same command begins anew", file=sys.stderr)
            return False
        out.mkdir(parents=True, exist_ok=True)
        content = {"paths": self._paths, "updates": self._updates, "transitions": count, "repeated": found.repeated}
        write_json(out / FILE, content)
        agent.save(out)
        return True
