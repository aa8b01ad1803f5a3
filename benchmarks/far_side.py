"""Pushing from the far side: the tip starts between object and target, and must go around the object first.

    python -m benchmarks.far_side runs/latest --goals 50

Takes the newest checkpoint of a live run of `push`, or of `tdm_ros train --task push:ROBOT`, and judges its policy
without noise and without ROS on starts that it did not train on. With `--live` nothing is run: it takes the targets of
the run's own evaluation that began with the tip ahead of the object.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.cases import EVALUATION_SEED, GOALS
from tdm_ros.control.push_motion import push_posture
from tdm_ros.data.log import LOG_FOLDER, TransitionLog
from tdm_ros.envs.push_env import PushEnv
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.training.evaluation import Policy, PolicyInput, actor_policy
from tdm_ros.training.metrics import UNSCORED, read_metrics
from tdm_ros.training.session import load_run

KEYS = ("observation", "achieved_goal", "desired_goal")
RADII_M = (0.02, 0.05)


def begin(env: PushEnv, seed: int) -> dict[str, np.ndarray]:
    """Draw object and target, and stand low behind the object on the side of the target; return the observation."""
    env.reset(seed=seed)
    target_m, object_m = env.evaluation_goal[3:].astype(np.float64), env.sim.object_m()
    setup, ahead_m = env.setup, target_m - object_m
    tip_m = object_m + setup.approach.behind_m * ahead_m / np.linalg.norm(ahead_m)
    env.sim.reset(push_posture((*tip_m, setup.half_height_m), env.robot))
    env.cycle.restart()
    env.data.qpos[env.sim.joints :] = object_m
    goal = (*target_m, setup.half_height_m, *target_m)
    seen: dict[str, np.ndarray] = env.reset(options={"goal": goal, "continued": True})[0]
    return seen


def final_distance(env: PushEnv, policy: Policy, seed: int) -> float:
    """Distance of the object from its target after one episode [m]."""
    seen, steps, info = begin(env, seed), env.task.episode_steps, {}
    for time in range(steps):
        now = PolicyInput(*(seen[key] for key in KEYS), steps - 1 - time, time)
        seen, _, _, _, info = env.step(policy(now))
    return float(info["distance"])


def is_ahead(achieved: np.ndarray, target_m: np.ndarray) -> bool:
    """Whether the tip is on the target's side of the object: tip and object (5,), target (2,) [m]."""
    tip_m, object_m = achieved[:2], achieved[3:]
    return float((tip_m - object_m) @ (target_m - object_m)) > 0


def live_finals(run_dir: Path, task: TaskSpec) -> list[float]:
    """Final distances [m] of the targets that a live run was evaluated on, and began ahead of the object."""
    rows = [row for row in read_metrics(run_dir) if row.mode == "evaluate" and row.end not in UNSCORED]
    finals, found = {row.episode: row.final_distance for row in rows}, {}
    for one in TransitionLog(run_dir / LOG_FOLDER, task.fingerprint).read():
        if one.episode in finals and one.episode not in found:
            found[one.episode] = is_ahead(one.step.achieved, one.step.desired[3:])
    return [finals[episode] for episode, ahead in found.items() if ahead]


def main() -> int:
    """Judge the policy of a run and print one line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run_dir", type=Path, help="run folder")
    words.add_argument("--goals", type=int, default=GOALS, help=f"number of starts ({GOALS})")
    words.add_argument("--live", action="store_true", help="judge the run's own evaluation")
    asked = words.parse_args()
    try:
        made, task, actor = load_run(asked.run_dir)
        env = made.unwrapped
        if not isinstance(env, PushEnv):
            raise ValueError(f"{asked.run_dir} must be a run of push:ROBOT, got {task.name}: give another run folder")
    except (OSError, ValueError) as error:
        print(f"far_side: {error}", file=sys.stderr)
        return 1
    if asked.live:
        finals = live_finals(asked.run_dir, task)
    else:
        policy, seeds = actor_policy(actor), (reset_seed("evaluate", EVALUATION_SEED, k) for k in range(asked.goals))
        finals = [final_distance(env, policy, seed) for seed in seeds]
    if not finals:
        print(f"far_side: {asked.run_dir} has no target that began on the far side: evaluate it", file=sys.stderr)
        return 1
    shares = ", ".join(f"{100 * np.mean(np.array(finals) <= r):.0f} % within {100 * r:g} cm" for r in RADII_M)
    print(f"{env.robot.name}, {len(finals)} starts on the far side: median {100 * np.median(finals):.2f} cm, {shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
