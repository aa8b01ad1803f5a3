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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.agents.sb3 import Baseline, policy_of
from tdm_ros.replay import sample_batches
from tdm_ros.sim.goal_env import make_goal_env
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.episode import Policy, Situation, play
from tdm_ros.training.evaluation import actor_policy
from tdm_ros.training.learner import CHUNK, Learner
from tdm_ros.training.online import OnlineTrainer, Schedule

UPDATES = 4 * CHUNK
"""Updates that are timed at a time."""
AIM_FLOOR, AIM_SAMPLE_US, AIM_INFERENCE_US = 3.0, 100.0, 100.0


class Product(NamedTuple):
    """``count`` products of an (m, k) and a (k, n) matrix in each update."""

    m: int
    k: int
    n: int
    count: int


def products(inputs: int, actions: int, goals: int, hidden: int, batch: int) -> list[Product]:
    """Matrix products of one update with twin critics and one actor, two hidden layers each.

    Forwards: target actor, both target critics, both critics, actor, first critic. Backwards: weights and activations
    of both critics and the actor, and through the first critic down to its action.
    """
    shapes: dict[tuple[int, int, int], int] = {}

    def add(m: int, k: int, n: int, count: int) -> None:
        shapes[m, k, n] = shapes.get((m, k, n), 0) + count

    critic = [(inputs + actions, hidden), (hidden, hidden), (hidden, goals)]
    actor = [(inputs, hidden), (hidden, hidden), (hidden, actions)]
    for layers, forwards, backwards in ((critic, 5, 2), (actor, 2, 1)):
        for number, (fan_in, fan_out) in enumerate(layers):
            add(batch, fan_in, fan_out, forwards)
            add(fan_in, batch, fan_out, backwards)
            if number:
                add(batch, fan_out, fan_in, backwards)
    add(batch, goals, hidden, 1)
    add(batch, hidden, hidden, 1)
    add(batch, hidden, actions, 1)
    return [Product(*shape, count) for shape, count in shapes.items()]


def arithmetic(wanted: Sequence[Product], device: str) -> Callable[[], None]:
    """Make a function that does the products of one update, and nothing else."""
    generator = torch.Generator().manual_seed(0)

    def filled(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    ready = [(filled(p.m, p.k), filled(p.k, p.n), filled(p.m, p.n)) for p in wanted for _ in range(p.count)]

    def run() -> None:
        for a, b, out in ready:
            torch.mm(a, b, out=out)

    return run


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


def inference(policies: dict[str, Policy], now: Situation, count: int) -> dict[str, dict[str, float]]:
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

    ``config.random_steps`` is how much experience there is.
    """
    torch.set_num_threads(1)
    learner, models, now = _prepare(task_name, config, compiled, device)
    agent, store = learner.agent, learner.store
    assert agent is not None
    shape = (CHUNK, config.batch_size)
    batches = sample_batches(store, config.goals, shape, learner.rng)
    task = learner.task
    wanted = products(agent.features.size, task.action.size, task.goal.size, config.hidden, config.batch_size)
    floor = arithmetic(wanted, device)
    subjects = {
        "floor": Subject(lambda: [floor() for _ in range(UPDATES)], UPDATES),
        "tdm update": Subject(lambda: [agent.update(batches) for _ in range(UPDATES // CHUNK)], UPDATES),
        "tdm sample": Subject(lambda: sample_batches(store, config.goals, shape, learner.rng), CHUNK),
        "tdm both": Subject(lambda: learner.update(UPDATES), UPDATES),
    }
    for name, model in models.items():
        buffer, batch = model.replay_buffer, config.batch_size
        subjects[f"{name} sample"] = Subject(lambda b=buffer, n=batch: [b.sample(n) for _ in range(CHUNK)], CHUNK)
        subjects[f"{name} both"] = Subject(lambda m=model, n=batch: m.train(UPDATES, n), UPDATES)
    us = {name: 1e6 * seconds for name, seconds in in_turns(subjects, rounds, device).items()}
    for name in models:
        us[f"{name} update"] = us[f"{name} both"] - us[f"{name} sample"]
    actor = actor_policy(NumpyActor.from_bytes(learner.actor_bytes()))
    policies = {"tdm": actor, **{name: policy_of(model) for name, model in models.items()}}
    flop = sum(2 * p.m * p.k * p.n * p.count for p in wanted)
    return {
        "task": task_name,
        "hidden": config.hidden,
        "batch_size": config.batch_size,
        "device": device,
        "compiled": compiled,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "floor_gflop_s": flop / us["floor"] / 1e3,
        "us": us,
        "inference": inference(policies, now, 50 * rounds),
    }


def _prepare(
    task_name: str, config: TdmConfig, compiled: bool, device: str
) -> tuple[Learner, dict[str, Any], Situation]:
    env, task = make_goal_env(task_name)
    learner = Learner(task, config, 0, compiled, device)
    OnlineTrainer(env, env, learner, Schedule(config.random_steps, 0)).run()
    learner.update(CHUNK)
    seen: list[Situation] = []
    moves = play(env, task, lambda now: (seen.append(now), np.zeros(task.action.size, np.float32))[1], seed=0)
    next(moves)
    models = {}
    for kind in ("td3", "sac"):
        model = Baseline(kind, config=config).algorithm(make_goal_env(task_name)[0], task, 0, config.random_steps)
        model.learn(config.random_steps, log_interval=None)
        model.course.random_steps = 0  # from here on `train` makes as many updates as it is asked for
        models[kind] = model
    return learner, models, seen[0]


def table(result: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    us, deciding = result["us"], result["inference"]
    baselines = sorted({name.split()[0] for name in us} - {"tdm", "floor"}, reverse=True)
    head = ["", "tdm", *(f"SB3 {name.upper()}" for name in baselines)]
    head += [f"tdm / {name.upper()}" for name in baselines] + ["floor", "tdm / floor", "aim", "met"]
    lines = [
        f"{result['task']}, 2x{result['hidden']}, batch {result['batch_size']}, {result['device']}"
        + (", compiled" if result["compiled"] else "")
        + f"; matrix products run at {result['floor_gflop_s']:.0f} GFLOP/s",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]

    def line(label: str, own: float, others: list[float], floor: float | None, aim: str, met: bool | None) -> None:
        cells = [
            label,
            f"{own:.0f}",
            *(f"{other:.0f}" for other in others),
            *(f"{own / other:.2f}" for other in others),
        ]
        cells += ["", ""] if floor is None else [f"{floor:.0f}", f"{own / floor:.1f}"]
        cells += [aim, "" if met is None else "yes" if met else "no"]
        lines.append(f"| {' | '.join(cells)} |")

    floor, update, sample = us["floor"], us["tdm update"], us["tdm sample"]
    for label, own, key, aim, met in (
        ("gradient update, us", update, "update", f"<= {AIM_FLOOR:g} x floor", update <= AIM_FLOOR * floor),
        ("sample and relabel a batch, us", sample, "sample", f"<= {AIM_SAMPLE_US:g} us", sample <= AIM_SAMPLE_US),
        ("both, us", us["tdm both"], "both", "", None),
    ):
        line(label, own, [us[f"{n} {key}"] for n in baselines], None if key == "sample" else floor, aim, met)
    for quantile in ("p50_us", "p99_us"):
        own = deciding["tdm"][quantile]
        first = quantile == "p50_us"
        aim, met = (f"<= {AIM_INFERENCE_US:g} us", own <= AIM_INFERENCE_US) if first else ("", None)
        line(f"one decision, {quantile[:3]}, us", own, [deciding[n][quantile] for n in baselines], None, aim, met)
    return "\n".join(lines) + "\n"


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
    config = replace(TdmConfig(), random_steps=asked.steps, catch_up_updates=CHUNK)
    result = measure(asked.task, config, asked.rounds, asked.compiled, asked.device)
    print(table(result))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
