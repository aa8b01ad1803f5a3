"""Animation of the simulated Sawyer before learning, after 20 s and after 60 s: the picture at the top of the README.

python -m benchmarks.learning_animation docs/images/learning.gif
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tdm_ros import TDM
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.training.callbacks import Callback, ProgressBar
from tdm_ros.training.metrics import EpisodeRow

TASK = "sawyer_reach"
MOMENTS = {0: "before learning: random", 400: "after 20 s", 1200: "after 60 s"}
"""Environment steps, at 20 Hz, after which the policy is shown, and the caption."""
GOALS, WIDTH, HEIGHT, EVERY, PAUSE_FRAMES = 4, 300, 240, 2, 6


class Snapshots(Callback):
    """Saves the agent at each of `MOMENTS`.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Save, if it is time."""
        if agent.steps in MOMENTS:
            agent.save(self._folder / str(agent.steps))


def rollouts(agent: TDM | None, caption: str) -> list[NDArray[np.uint8]]:
    """Pictures of a policy (None: random actions) on the first evaluation goals, each (HEIGHT, WIDTH, 3)."""
    env, task = make_goal_env(TASK, render_mode="rgb_array")
    env.action_space.seed(0)
    pictures = []
    for number in range(GOALS):
        observation, _ = env.reset(seed=reset_seed("evaluate", 0, number))
        state = None
        for time in range(task.episode_steps):
            action = env.action_space.sample()
            if agent:
                action, state = agent.predict(observation, state)
            observation, *_ = env.step(action)
            if time % EVERY == 0:
                pictures.append(captioned(env.render(), caption))
        pictures += pictures[-1:] * PAUSE_FRAMES
    env.close()
    return pictures


def captioned(picture: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """A smaller picture with a caption, (HEIGHT, WIDTH, 3)."""
    image = Image.fromarray(picture).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    ImageDraw.Draw(image).text((8, 6), caption, fill=(20, 20, 20), font=ImageFont.load_default(18))
    return np.asarray(image)


def main() -> int:
    """Train, roll out, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .gif")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        agent = TDM(TASK, seed=arguments.seed)
        agent.learn(max(MOMENTS), [ProgressBar(), Snapshots(Path(folder))])
        columns = [
            rollouts(TDM.load(Path(folder) / str(step)) if step else None, caption) for step, caption in MOMENTS.items()
        ]
    frames = [np.concatenate(row, axis=1) for row in zip(*columns, strict=True)]
    images = [
        Image.fromarray(frame).quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE) for frame in frames
    ]
    images[0].save(arguments.out, save_all=True, append_images=images[1:], duration=100, loop=0, optimize=True)
    print(f"{arguments.out}: {len(frames)} pictures, {arguments.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
