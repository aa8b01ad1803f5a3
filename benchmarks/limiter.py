"""What does the limiter cost? A call with the limits of simulation and of a real arm, beside one forward kinematics.

    python -m benchmarks.limiter            # some seconds, one thread

All are timed in turns, in one process, over the same commands and readings, so that a busy machine is busy for all;
ratios to the forward kinematics can be compared between machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.limits import REAL_LIMITS
from tdm_ros.robots.sawyer import NEUTRAL_RAD

LimiterCase = tuple[np.ndarray, ArmReading]


def cases(count: int, rng: np.random.Generator) -> list[LimiterCase]:
    """Full actions and readings around neutral, the arm moving at random."""
    scale, made = ACTUATIONS["velocity"].scale, []
    for _ in range(count):
        q_rad, before = NEUTRAL_RAD + rng.uniform(-0.2, 0.2, 7), 0.2 * scale * rng.uniform(-1, 1, 7)
        reading = ArmReading(q_rad, before, forward(q_rad).position_m, commanded_rad_s=before)
        made.append((scale * rng.uniform(-1, 1, 7), reading))
    return made


def timed(subjects: dict[str, Callable[[LimiterCase], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile of a call of each, (2,) [us]."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for case in cases(rounds, np.random.default_rng(0)):
        for name, call in subjects.items():
            began = time.perf_counter_ns()
            call(case)
            taken[name].append((time.perf_counter_ns() - began) / 1000)
    return {name: (float(np.median(us)), float(np.percentile(us, 99))) for name, us in taken.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    kind = ACTUATIONS["velocity"]
    plain, real = Limiter(kind, Limits()), Limiter(kind, REAL_LIMITS)
    found = timed(
        {
            "forward kinematics": lambda case: forward(case[1].q_rad),
            "limits of simulation": lambda case: plain.apply(*case),
            "limits of a real arm": lambda case: real.apply(*case),
        },
        arguments.rounds,
    )
    unit = found["forward kinematics"][0]
    print("| call | median [us] | p99 [us] | in forward kinematics |\n|---|---|---|---|")
    for name, (median, p99) in found.items():
        print(f"| {name} | {median:.0f} | {p99:.0f} | {median / unit:.1f} |")


if __name__ == "__main__":
    main()
