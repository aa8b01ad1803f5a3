"""Time to rebuild the replay from the log, as a trainer does at its start.

    python -m benchmarks.rebuild                       # 20,000 transitions of sawyer_reach
    python -m benchmarks.rebuild --transitions 1e6 --profile

Writes a log as the collector does, transition, joint states and frames in each cycle. The files are in the page cache.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tdm_ros.bringup.environment import ros_environment
from tdm_ros.data.log import TRANSITION_TOPIC, TransitionLog
from tdm_ros.data.log_writer import LogWriter
from tdm_ros.data.recording import TRANSITION_TYPE, Channel
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner
from tdm_ros.types import LoggedTransition, Step

TASK = SAWYER_REACH["velocity"]
OTHERS = {"/joint_states": 300, "/tf": 150}
"""Size of the other messages of a cycle [bytes]."""
EPISODE = 100
"""Steps of an episode."""


def make_log(folder: Path, count: int) -> None:
    """Write a log of ``count`` transitions."""
    from rclpy.serialization import serialize_message

    from tdm_ros.nodes.convert import definition, to_transition

    channels = [Channel.of_ros(TRANSITION_TOPIC, TRANSITION_TYPE, definition(TRANSITION_TYPE))]
    channels += [Channel.of_ros(topic, f"package/msg/Type{i}", "uint8[] data\n") for i, topic in enumerate(OTHERS)]
    rng = np.random.default_rng(0)
    sizes = (TASK.observation.size, TASK.action.size, TASK.observation.size, *[TASK.goal.size] * 3)
    steps = [Step(*(rng.uniform(-0.5, 0.5, size).astype(np.float32) for size in sizes), False) for _ in range(50)]
    writer = LogWriter(folder, channels)
    for number in range(count):
        stamp_ns, episode = 50_000_000 * number, 1 + number // EPISODE
        for topic, size in OTHERS.items():
            writer.write(topic, bytes(size), stamp_ns, flush=False)
        last = number % EPISODE == EPISODE - 1
        step = steps[number % len(steps)]
        made = LoggedTransition(step, episode, number % EPISODE, number, stamp_ns, 1, False, last, "run", "")
        writer.write(TRANSITION_TOPIC, bytes(serialize_message(to_transition(made, TASK))), stamp_ns)
    writer.close()


def rebuild(folder: Path) -> Learner:
    """Learner with the replay of a log."""
    learner = Learner(TASK, TdmConfig(total_timesteps=1000), 0)
    OnlineLearner(learner).rebuild_from({"": TransitionLog(folder, TASK.fingerprint)})
    return learner


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rebuild", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transitions", type=float, default=2e4, help="transitions in the log (default: 2e4)")
    parser.add_argument("--profile", action="store_true", help="print where the time is spent, too")
    arguments = parser.parse_args(argv)
    count = round(arguments.transitions)
    os.environ.update(ros_environment(os.environ))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "log_mcap"
        make_log(folder, count)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        found = rebuild(folder).transitions
        seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        rate = f"{found / cpu_s:,.0f} per second of it"
        print(f"{found:,} transitions: {seconds:.2f} s, {cpu_s:.2f} s of a processor, {rate}")
        if arguments.profile:
            profile = cProfile.Profile()
            profile.runcall(rebuild, folder)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    return 0


if __name__ == "__main__":
    sys.exit(main())
