"""One picture of all tasks, or with ``--robots`` of all arms, each with its goal.

python -m benchmarks.contact_sheet docs/images/tasks.png
python -m benchmarks.contact_sheet --robots docs/images/robots.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.robots.description import robot_files

SHOWN = (
    ("reacher", 5, 15),
    ("pusher", 2, 10),
    ("cheetah", 0, 25),
    ("ant_position", 8, 20),
    ("ant_position_velocity", 1, 20),
    ("sawyer_reach", 2, 5),
    ("sawyer_push", 4, 0),
    ("fetch_push", 3, 0),
)
"""Task, seed of its start and goal, and for how many steps it has been acting at random."""

ROBOTS = tuple((f"reach:{name}", seed, 3) for seed, name in enumerate(sorted(robot_files())))
"""The same of all arms that have a description."""

COLUMNS = 4


def picture(name: str, seed: int, steps: int) -> NDArray[np.uint8]:
    """Render a task, (240, 320, 3) uint8, after ``steps`` random actions.

    Raises
    ------
    RuntimeError
        If no OpenGL library can be used; the message names the remedy.
    """
    env, task = make_goal_env(name, render_mode="rgb_array")
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    action = np.zeros(task.action.size)
    for _ in range(steps):
        action = np.clip(0.85 * action + 0.4 * rng.normal(size=action.shape), -1, 1)
        env.step(action.astype(np.float32))
    image = np.asarray(env.render(), np.float64)
    env.close()
    halves = image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2, 3)
    small: NDArray[np.uint8] = halves.mean(axis=(1, 3)).astype(np.uint8)
    return small


def draw(path: Path, shown: Sequence[tuple[str, int, int]] = SHOWN, columns: int = COLUMNS) -> None:
    """Write the sheet as a PNG with few colours."""
    from PIL import Image

    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.65 * rows), dpi=100, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, seed, steps) in zip(axes.flat, shown, strict=False):
        axis.imshow(picture(name, seed, steps), interpolation="none")
        axis.set_title(name.removeprefix("reach:"), fontsize=10)
    figure.tight_layout(pad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.canvas.draw()
    sheet = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    Image.fromarray(sheet).quantize(256, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description="Draw all simulated tasks with their goals.")
    parser.add_argument("path", nargs="?", default="tasks.png", help="PNG to write (default: %(default)s)")
    parser.add_argument("--robots", action="store_true", help="all arms, instead of all tasks")
    given = parser.parse_args(argv)
    try:
        draw(Path(given.path), *((ROBOTS, 3) if given.robots else ()))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
