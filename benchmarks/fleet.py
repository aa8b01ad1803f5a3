"""How much faster do several arms learn from one trainer? Time until the median goal is reached within 2, and 1, cm.

    python -m benchmarks.fleet --seeds 5 --out docs/results/fleet

The cost is simulated: learner, physics and the joining of the arms' transitions are the genuine ones, the clock is not.
In each robot cycle of 50 ms every arm makes a step, and the learner as many updates as it can make in 50 ms with a core
of its own: at the rate that is measured first, or given. So it says what enough cores would give, whatever this machine
has. One run after the other, one thread; a finished run is kept, each is a JSON file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import EVALUATION_SEED, GOALS
from benchmarks.fleet_report import TARGETS_M, draw, markdown, reached_s
from benchmarks.trial import write_json
from tdm_ros.control.timeline import Source
from tdm_ros.envs.goal_env import GoalEnv, make_goal_env
from tdm_ros.live.learner import PORTION, OnlineLearner
from tdm_ros.replay import Step
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import generator, reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.decision import Exploration
from tdm_ros.training.evaluation import PolicyInput, actor_policy, evaluate, rollout
from tdm_ros.training.learner import Learner
from tdm_ros.types import LoggedTransition

TASK = "sawyer_reach"
DURATION_MIN = 3.0
"""Length of the schedules of noise and learning rate, as in `tdm_ros up`; a run need not go on for so long."""
PUBLISH_S = 1.0
"""Time between two publications of weights, as of the node `trainer`."""
JUDGE_S = 1.0
"""Time between two judgements."""
MAX_ARMS = 100


class SimulatedArm:
    """One arm: plays episode after episode with the newest actor and what is left of the noise.

    Parameters
    ----------
    name : str
    seed : int
        Of goals, starts and noise.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.seed = name, seed
        self.env, self.task = make_goal_env(TASK)
        self.actor: NumpyActor | None = None
        self.noise = 0.0
        self._explore = Exploration(self.task.action.size, generator("train", seed))
        self._steps = self._play()

    def step(self, cycle: int) -> LoggedTransition:
        """Make the step of a cycle."""
        step, episode, number, last = next(self._steps)
        stamp_ns = cycle * 50_000_000
        return LoggedTransition(step, episode, number, cycle, stamp_ns, int(Source.POLICY), False, last)

    def _play(self) -> Iterator[tuple[Step, int, int, bool]]:
        episode = 0
        while True:
            episode += 1
            steps = rollout(self.env, self.task, self._act, reset_seed("train", self.seed, episode))
            for number, (step, last) in enumerate(steps):
                yield step, episode, number, last

    def _act(self, now: PolicyInput) -> NDArray[np.float32]:
        if self.actor is None:
            return self._explore.random()
        return self._explore.noisy(actor_policy(self.actor)(now), self.noise)


class Fleet:
    """So many arms and one trainer, on a clock of our own.

    Parameters
    ----------
    arms : int
    seed : int
    rate : float
        Updates that the trainer can make [1/s].
    compiled : bool
        As `Learner` takes it.
    """

    def __init__(self, arms: int, seed: int, rate: float, compiled: bool = True) -> None:
        self.arms = [SimulatedArm(f"arm{number}", MAX_ARMS * seed + number) for number in range(1, arms + 1)]
        self.task: TaskSpec = self.arms[0].task
        self._duration = round(DURATION_MIN * 60 * self.task.rate_hz)
        config = TdmConfig(total_timesteps=self._duration * arms)
        self.learner = Learner(self.task, config, seed, compiled)
        self._live = OnlineLearner(self.learner)
        self._rate, self._saved, self.cycle = rate, 0.0, 0

    @property
    def robot_s(self) -> float:
        """Time that is over, of the clock and of each arm [s]."""
        return self.cycle / self.task.rate_hz

    def step(self) -> None:
        """One cycle: a step of every arm, the updates that fit into it, weights when it is time."""
        self.cycle += 1
        for arm in self.arms:
            arm.noise = self.learner.config.action_noise_std * (1 - min(self.cycle / self._duration, 1.0))
            self._live.add(arm.step(self.cycle), arm.name)
        self._saved += self._rate / self.task.rate_hz
        made = min(int(self._saved), self.learner.updates_due())
        for count in [PORTION] * (made // PORTION) + [made % PORTION]:
            self.learner.update(count)
        self._saved = min(self._saved - made, 1.0)  # time that was not used is gone
        if self.learner.agent is not None and self.cycle % round(PUBLISH_S * self.task.rate_hz) == 0:
            actor = NumpyActor.from_bytes(self.learner.actor_bytes())
            for arm in self.arms:
                arm.actor = actor


def measure(arms: int, seed: int, rate: float, limit_s: float, compiled: bool = True) -> dict[str, Any]:
    """Learn for ``limit_s`` [s of robot time], or until two marks in a row are within every target.

    Returns
    -------
    dict
        ``rows`` with the median and mean final distance [m] at each mark, and how many transitions and updates there
        were.
    """
    fleet, judge_env = Fleet(arms, seed, rate, compiled), make_goal_env(TASK)[0]
    rows: list[dict[str, Any]] = []
    every = round(JUDGE_S * fleet.task.rate_hz)
    while fleet.robot_s < limit_s and reached_s(rows, min(TARGETS_M)) is None:
        fleet.step()
        if fleet.cycle % every == 0 and fleet.arms[0].actor is not None:
            rows.append({"robot_s": fleet.robot_s, **judged(fleet, judge_env)})
            print(f"{arms} arms, seed {seed}: {rows[-1]}", file=sys.stderr, flush=True)
    return {"arms": arms, "seed": seed, "rate": rate, "compiled": compiled, "rows": rows}


def judged(fleet: Fleet, env: GoalEnv) -> dict[str, Any]:
    """How well the policy that the arms have now does on the evaluation's goals, without noise."""
    actor = fleet.arms[0].actor
    assert actor is not None
    finals = evaluate(actor_policy(actor), env, fleet.task, GOALS, EVALUATION_SEED).final_distance
    learner = fleet.learner
    counts = {"transitions": learner.transitions, "updates": learner.updates, "due": learner.updates_due()}
    return {"median_m": float(np.median(finals)), "mean_m": float(np.mean(finals)), **counts}


def updates_per_second(compiled: bool, rounds: int = 200) -> float:
    """Updates that this machine makes in a second of one core's time, in portions as the trainer makes them [1/s]."""
    fleet = Fleet(1, 0, 0.0, compiled)
    while fleet.learner.updates_due() == 0:
        fleet.step()
    fleet.learner.update(PORTION)  # compiles
    begin_s = time.process_time()
    for _ in range(rounds):
        fleet.learner.update(PORTION)
    return rounds * PORTION / (time.process_time() - begin_s)


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write the table, the CSV file and the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on (default 5)")
    parser.add_argument("--limit-s", type=float, default=90.0, help="longest run [s of robot time] (default 90)")
    parser.add_argument("--rate", type=float, help="updates a second of the trainer; by default it is measured here")
    parser.add_argument("--plain", action="store_true", help="updates that are not compiled")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(words)
    kind = "plain" if asked.plain else "compiled"
    rate_path = asked.out / f"rate-{kind}.json"
    if asked.rate is None and not rate_path.exists():
        rate = {"updates_per_cpu_s": updates_per_second(not asked.plain), "processors": os.cpu_count()}
        write_json(rate_path, rate)
    rate_s = asked.rate or json.loads(rate_path.read_text(encoding="utf-8"))["updates_per_cpu_s"]
    for seed in range(asked.seeds):
        for arms in asked.arms:
            path = asked.out / f"{kind}-{arms}-{seed}.json"
            if not path.exists():
                write_json(path, measure(arms, seed, rate_s, asked.limit_s, not asked.plain))
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(asked.out.glob("*-*-*.json"))]
    write_csv(results, asked.out / "fleet.csv")
    table = markdown(results)
    (asked.out / "table.md").write_text(table, encoding="utf-8")
    draw(results, asked.out / "curves.png")
    print(table)
    return 0


def write_csv(results: Sequence[dict[str, Any]], path: Path) -> None:
    """A row for each run and mark."""
    rows = [
        {**{key: result[key] for key in ("arms", "seed", "rate", "compiled")}, **row}
        for result in results
        for row in result["rows"]
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
