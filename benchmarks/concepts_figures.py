"""Figures of docs/concepts.md, from a TDM that is trained in the maze.

python -m benchmarks.concepts_figures docs/images
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tdm_ros import TDM
from tdm_ros.planning.plan import Plan
from tdm_ros.replay import GoalMix, sample_batches
from tdm_ros.tasks.registry import FENCE_M, WALLS_M

STEPS, SEED = 15_000, 0
CELLS = 81
LEFT, RIGHT = np.array([-0.75, -0.72], np.float32), np.array([0.75, 0.72], np.float32)
"""Lower left and upper right end of the S-shaped maze [m]."""
ALONG = np.array([0.75, -0.62], np.float32)
"""Goal in the lower corridor, on a straight line from `LEFT` [m]."""
GREY, BLUE, ORANGE, GREEN = "#8a8f98", "#1565c0", "#e65100", "#2e7d32"
State = dict[str, NDArray[Any]]


def at(point: NDArray[np.float32]) -> State:
    """State of the ball at rest at a point, (2,) [m]."""
    return {"observation": np.array([*point, 0, 0], np.float32), "achieved_goal": point, "desired_goal": point}


def draw_maze(ax: Axes) -> None:
    """Walls and equal axes."""
    for low, high in (*WALLS_M, *FENCE_M):
        ax.add_patch(Rectangle(tuple(low), *(high - low), color="#3a3f47", zorder=3))
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xticks=[], yticks=[])


def horizons(agent: TDM) -> Figure:
    """Predicted distance to every goal of the maze, for four horizons."""
    line = np.linspace(-1.0, 1.0, CELLS, dtype=np.float32)
    goals = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    start = np.array([-0.75, 0.0], np.float32)
    states = {key: np.tile(value, (len(goals), 1)) for key, value in at(start).items()}
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.3), layout="constrained")
    for ax, left in zip(axes, (0, 3, 7, 15), strict=True):
        distance = np.asarray(agent.reachability(states, goals, left + 1).distance).reshape(CELLS, CELLS)
        mesh = ax.pcolormesh(line, line, distance, cmap="viridis_r", vmin=0, vmax=1.2, shading="gouraud")
        ax.contour(line, line, distance, [0.05], colors=ORANGE, linewidths=2)
        draw_maze(ax)
        ax.plot(*start, "o", color="white", markeredgecolor="black", markersize=8, zorder=4)
        ax.set_title(f"steps_left = {left}  ({(left + 1) * 0.05:g} s)")
    bar = figure.colorbar(mesh, ax=axes, shrink=0.9, pad=0.01)
    bar.set_label("predicted distance to g [m]")
    return figure


def relabelling(agent: TDM) -> Figure:
    """One stored transition, and the goals and horizons with which it was drawn for training."""
    store = agent.learner.store
    index = np.arange(300, store.total - 60)
    index = index[store.end_of(index) - index > 40]
    moved = store.column("achieved", index + 24) - store.column("achieved", index)
    chosen = int(index[np.linalg.norm(moved, axis=1).argmax()])
    end = int(store.end_of(np.array([chosen]))[0])
    path = store.column("achieved", np.arange(max(chosen - 40, end - agent.task.episode_steps), end))
    here, after = store.column("achieved", np.array([chosen]))[0], store.column("next_achieved", np.array([chosen]))[0]
    figure, ax = plt.subplots(figsize=(9, 5), layout="constrained")
    draw_maze(ax)
    ax.plot(*path.T, "-", color=GREY, lw=1.5, label="stored trajectory")
    ax.plot(*path[0], "o", color=GREY)
    pursued = store.column("desired", np.array([chosen]))[0]
    ax.plot(*pursued, "*", color="black", ms=15, label="goal that was pursued (not used)")
    rng = np.random.default_rng(SEED)
    kinds = {"future": BLUE, "buffer": GREEN, "box": "#8e24aa", "near": ORANGE}
    meaning = {
        "future": "reached later in this trajectory (40 %)",
        "buffer": "reached in any stored step (10 %)",
        "box": "uniform in the goal box (30 %)",
        "near": "next state plus noise (20 %)",
    }
    for kind, colour in kinds.items():
        mix = GoalMix(**{name: float(name == kind) for name in kinds})
        batch = sample_batches(store, mix, (1, 40 * len(store)), rng)
        rows = np.flatnonzero((batch.achieved[0] == here).all(axis=1))[8:11]
        for number, row in enumerate(rows):
            goal, left = batch.goal[0, row], int(batch.steps_left[0, row])
            label = meaning[kind] if number == 0 else None
            ax.plot(*goal, "o", color=colour, ms=9, markeredgecolor="white", label=label, zorder=5)
            offset = (-16, -12) if kind == "near" else (7, 5)
            ax.annotate(
                f"{left}", goal, xytext=offset, textcoords="offset points", color=colour, weight="bold", zorder=6
            )
    arrow = {"arrowstyle": "-|>", "color": "black", "lw": 2.5, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", here + 2.5 * (after - here), here, arrowprops=arrow, zorder=6)
    ax.plot(*here, "s", color="black", ms=7, zorder=6, label="stored transition, from s to s'")
    ax.set_title("one transition, relabelled twelve times", fontsize=11)
    figure.legend(loc="outside right upper", fontsize=9, frameon=False, title="numbers: steps_left")
    return figure


def countdown(agent: TDM) -> Figure:
    """Horizon, distance and prediction in one episode."""
    env, task, actor = agent.env, agent.task, agent.actor()
    steps = task.episode_steps
    seen, goal = _begin(env, LEFT, ALONG)
    left, distance, predicted = [], [], []
    for time in range(steps):
        left.append(actor.steps_left(time, steps - 1 - time))
        distance.append(float(task.distance(seen["achieved_goal"], goal)))
        predicted.append(float(agent.reachability(seen, goal, left[-1] + 1).distance))
        seen = env.step(agent.predict(seen, goal=goal, steps_left=left[-1])[0])[0]
    ends = [time + 1 for time, value in enumerate(left) if value == 0]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True, layout="constrained")
    top.step(range(steps), left, where="post", color=BLUE)
    top.set(ylabel="steps_left", yticks=[0, 5, 10, 15], title=f"episode of {steps} steps")
    bottom.plot(distance, color="black", label="distance to the goal now")
    bottom.plot(predicted, "--", color=ORANGE, label="predicted distance at the end of the segment")
    bottom.set(xlabel="step of the episode (50 ms)", ylabel="[m]", ylim=(0, None), xlim=(0, steps))
    bottom.legend(frameon=False)
    for ax in (top, bottom):
        for end in ends[:-1]:
            ax.axvline(end, color=GREY, lw=0.8, ls=":")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _begin(env: Any, start: NDArray[np.float32], goal: NDArray[np.float32]) -> tuple[State, NDArray[np.float32]]:
    """Reset the maze with the ball at ``start``."""
    env.reset(seed=SEED, options={"goal": goal})
    env.unwrapped.data.qpos[:], env.unwrapped.data.qvel[:] = start, 0.0
    return at(start) | {"desired_goal": goal}, goal


def planned(agent: TDM) -> tuple[NDArray[np.float32], Plan]:
    """Path of the ball with the graph planner, (n, 2) [m], and the first plan."""
    policy, env = agent.planner(), agent.env
    seen, goal = _begin(env, LEFT, RIGHT)
    path = [LEFT]
    first = agent.plan(seen, goal)
    assert first.usable, f"the planner found no path through the maze: {first.reason}"
    for _ in range(agent.task.episode_steps):
        seen = env.step(policy.act(seen, goal))[0]
        path.append(seen["achieved_goal"])
    return np.array(path), first


def planning(agent: TDM) -> Figure:
    """The policy alone, and with the planner."""
    env, task = agent.env, agent.task
    seen, goal = _begin(env, LEFT, RIGHT)
    alone, state = [LEFT], None
    for _ in range(task.episode_steps):
        action, state = agent.predict(seen, state, goal=goal)
        seen = env.step(action)[0]
        alone.append(seen["achieved_goal"])
    path, plan = planned(agent)
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.4), layout="constrained")
    for ax, points, title in (
        (axes[0], np.array(alone), "policy alone"),
        (axes[1], path, f"with the planner, {len(plan.knots)} subgoals"),
    ):
        draw_maze(ax)
        ax.plot(*points.T, color=BLUE, lw=2, label="path of the ball", zorder=4)
        ax.plot(*LEFT, "o", color="white", markeredgecolor="black", ms=9, zorder=5, label="start")
        ax.plot(*RIGHT, "*", color=GREEN, ms=17, markeredgecolor="white", zorder=6, label="goal")
        ax.set_title(title, fontsize=11)
    seen_points = agent.learner.store.column("achieved", np.arange(0, agent.learner.store.total, 12))
    axes[1].plot(*seen_points.T, ".", color=GREY, ms=1.5, alpha=0.6, zorder=1, label="seen states")
    axes[1].plot(
        *plan.knots.T, "D", color=ORANGE, ms=7, markeredgecolor="white", zorder=5, label="subgoals, first plan"
    )
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


FIGURES = {"horizons": horizons, "relabelling": relabelling, "countdown": countdown, "planning": planning}


def main() -> int:
    """Train, or load what an earlier call trained, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the figures, concepts_*.png")
    parser.add_argument("--model", type=Path, help="folder of the trained agent: loaded if it exists, else written")
    arguments = parser.parse_args()
    if arguments.model and arguments.model.exists():
        agent = TDM.load(arguments.model)
    else:
        agent = TDM("maze", seed=SEED)
        agent.learn(STEPS)
        if arguments.model:
            agent.save(arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        figure = draw(agent)
        figure.savefig(arguments.out / f"concepts_{name}.png", dpi=110, metadata={"Software": ""})
        plt.close(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
