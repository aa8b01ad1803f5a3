"""How fast is learning? Update, sampling and inference, beside the machine's arithmetic and Stable-Baselines3.

    python -m benchmarks.speed                     # one thread, a minute; --json FILE keeps the numbers
    python -m benchmarks.speed --compiled --device cuda

Everything is measured in one process, in turns, so that a busy machine is busy for all. The floor is the time of the
update's matrix products alone, measured here on the very same shapes: no update with these networks can be faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.agents.sb3 import Baseline, policy_of
from benchmarks.floor import arithmetic, products
from benchmarks.speed_table import table
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.replay import sample_batches
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.evaluation import Policy, PolicyInput, actor_policy, rollout
from tdm_ros.training.learner import CHUNK, Learner
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

UPDATES = 4 * CHUNK
"""Updates that are timed at a time."""


class Subject(NamedTuple):
    """Something that is timed: ``call`` does ``per`` units."""

    call: Callable[[], Any]
    per: int


def in_turns(subjects: dict[str, Subject], rounds: int, device: str) -> dict[str, float]:
    """Time each subject once a round; return the median seconds of one unit."""

    def finish() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            finish()
            began = time.perf_counter()
            subject.call()
            finish()
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - began) / subject.per)
    return {name: float(np.median(values)) for name, values in taken.items()}


def inference(policies: dict[str, Policy], now: PolicyInput, count: int) -> dict[str, dict[str, float]]:
    """Time single decisions in turns: median and 99th percentile [us] for each policy."""
    taken: dict[str, list[float]] = {name: [] for name in policies}
    for _ in range(count):
        for name, policy in policies.items():
            began = time.perf_counter_ns()
            policy(now)
            taken[name].append((time.perf_counter_ns() - began) / 1000)
    return {
        name: {"p50_us": float(np.percentile(us, 50)), "p99_us": float(np.percentile(us, 99))}
        for name, us in taken.items()
    }


def measure(
    task_name: str, config: TdmConfig, rounds: int, compiled: bool = False, device: str = "cpu"
) -> dict[str, Any]:
    """Measure everything on experience of random actions in ``task_name``; plain data, times in microseconds.

    ``config.learning_starts`` is how much experience there is.
    """
    torch.set_num_threads(1)
    learner, models, now = _prepare(task_name, config, compiled, device)
    agent, store = learner.agent, learner.store
    assert agent is not None
    shape = (CHUNK, config.batch_size)
    batches = sample_batches(store, config.goals, shape, learner.rng)
    task = learner.task
    wanted = products(agent.features.size, task.action.size, task.goal.size, config.hidden_size, config.batch_size)
    floor = arithmetic(wanted, device)
    subjects = {
        "floor": Subject(lambda: [floor() for _ in range(UPDATES)], UPDATES),
        "tdm update": Subject(lambda: [agent.update(batches) for _ in range(UPDATES // CHUNK)], UPDATES),
        "tdm sample": Subject(lambda: sample_batches(store, config.goals, shape, learner.rng), CHUNK),
        "tdm both": Subject(lambda: learner.update(UPDATES), UPDATES),
    }
    for name, model in models.items():
        subjects |= _subjects_of(name, model, config.batch_size)
    us = {name: 1e6 * seconds for name, seconds in in_turns(subjects, rounds, device).items()}
    for name in models:
        us[f"{name} update"] = us[f"{name} both"] - us[f"{name} sample"]
    actor = actor_policy(NumpyActor.from_bytes(learner.actor_bytes()))
    policies = {"tdm": actor, **{name: policy_of(model) for name, model in models.items()}}
    flop = sum(2 * p.m * p.k * p.n * p.times for p in wanted)
    return {
        "task": task_name,
        "hidden_size": config.hidden_size,
        "batch_size": config.batch_size,
        "device": device,
        "compiled": compiled,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "floor_gflop_s": flop / us["floor"] / 1e3,
        "us": us,
        "inference": inference(policies, now, 50 * rounds),
    }


def _subjects_of(name: str, model: Any, batch_size: int) -> dict[str, Subject]:
    def sample() -> None:
        for _ in range(CHUNK):
            model.replay_buffer.sample(batch_size)

    both = partial(model.train, UPDATES, batch_size)
    return {f"{name} sample": Subject(sample, CHUNK), f"{name} both": Subject(both, UPDATES)}


def _prepare(
    task_name: str, config: TdmConfig, compiled: bool, device: str
) -> tuple[Learner, dict[str, Any], PolicyInput]:
    env, task = make_goal_env(task_name)
    learner = Learner(task, config, 0, compiled, device)
    OnlineTrainer(env, env, learner, TrainingSchedule(config.learning_starts, 0)).run()
    learner.update(CHUNK)
    seen: list[PolicyInput] = []

    def rest(now: PolicyInput) -> NDArray[np.float32]:
        seen.append(now)
        return np.zeros(task.action.size, np.float32)

    next(rollout(env, task, rest, seed=0))
    models = {}
    for kind in ("td3", "sac"):
        model = Baseline(kind, config=config).algorithm(make_goal_env(task_name)[0], task, 0, config.learning_starts)
        model.learn(config.learning_starts, log_interval=None)
        model.course.learning_starts = 0  # from here on `train` makes as many updates as it is asked for
        models[kind] = model
    return learner, models, seen[0]


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="sawyer_reach")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=2000, help="experience that batches are drawn from")
    parser.add_argument("--compiled", action="store_true", help="let torch.compile make the update")
    parser.add_argument("--device", default="cpu", help="where the TDM learns; SB3 stays on the CPU")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(words)
    config = replace(TdmConfig(), learning_starts=asked.steps, initial_gradient_steps=CHUNK)
    result = measure(asked.task, config, asked.rounds, asked.compiled, asked.device)
    print(table(result))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
