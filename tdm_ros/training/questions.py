"""Queries to a trained model: actions, evaluation, reachability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from tdm_ros.sim.goal_env import GoalEnv, make_env
from tdm_ros.sim.noise import Noise
from tdm_ros.sim.unit_actions import to_box
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.training.calibration import Calibration, calibration
from tdm_ros.training.calibration_plot import draw_calibration
from tdm_ros.training.environment import adopted
from tdm_ros.training.episode import Policy
from tdm_ros.training.evaluation import Evaluation, actor_policy, evaluate
from tdm_ros.training.learner import Learner
from tdm_ros.training.outcomes import outcomes
from tdm_ros.training.race import Way
from tdm_ros.training.reachability import Reachability, reachability
from tdm_ros.training.saved import CALIBRATION, write_json
from tdm_ros.training.states import as_states


class Questions:
    """The asking half of `TDM`, which makes, teaches, saves and loads what answers."""

    env: GoalEnv
    """With actions in [-1, 1]."""
    task: TaskSpec
    learner: Learner
    calibration: Calibration | None = None
    """The result of `calibrate`, until the agent learns on."""
    task_name: str | None
    """What the environment was made from, if not an object."""
    noise: Noise | None
    _box: Box
    _test_env: GoalEnv | None
    _learning: bool = False
    _actor: tuple[tuple[int, Way | None], NumpyActor] | None = None

    @property
    def steps(self) -> int:
        """Environment steps taken, over all calls; what was learned from recordings does not count."""
        return self.learner.steps

    @property
    def updates(self) -> int:
        """Gradient updates made, over all calls."""
        return self.learner.updates

    def predict(
        self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None, steps_left: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Choose what to do, without noise.

        Parameters
        ----------
        observation : dict
            As the environment gives it: ``observation`` (O,), ``achieved_goal`` (G,), ``desired_goal`` (G,); or a
            batch of each, (B, ...).
        goal : (G,) or (B, G) [goal unit], optional
            Where to be; by default the ``desired_goal``.
        steps_left : int or (B,), optional
            Be there after ``steps_left + 1`` more steps, 0 means at the very next state [steps]; it may be longer than
            the horizon that was learned. By default the policy chooses the horizon that promises most. A one-step model
            that acts (`TdmConfig.race`) goes for the goal at once, whatever this is.

        Returns
        -------
        (A,) or (B, A)
            In the units and the dtype of the environment that was given (a name: [-1, 1], float32).

        Raises
        ------
        ValueError
            If a size is not the task's, or a number is not finite.
        RuntimeError
            Before the first update.
        """
        actor, most = self.actor(), self.task.horizon
        states, single = as_states(self.task, observation, goal, most if steps_left is None else steps_left)
        if steps_left is None and actor.critic is not None:
            rows = [actor.options(*state[:3], actor.features.horizon)[0] for state in zip(*states, strict=True)]
        else:
            rows = [actor.act(*state[:3], int(state[3])) for state in zip(*states, strict=True)]
        actions = np.stack(rows)
        actions = to_box(self._box, actions)
        return actions[0] if single else actions

    def actor(self) -> NumpyActor:
        """The policy as it is now, in numpy; ``NumpyActor.from_bytes(agent.learner.actor_bytes())`` elsewhere.

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        self._learned()
        race = self.learner.race
        version = self.updates, race.acts if race else None
        if self._actor is None or self._actor[0] != version:
            self._actor = version, NumpyActor.from_bytes(self.learner.actor_bytes())
        return self._actor[1]

    def policy(self) -> Policy:
        """The policy as `evaluate` and `play` take it: its actions are in [-1, 1]."""
        return actor_policy(self.actor())

    def evaluate(self, episodes: int = 50, seed: int = 0) -> Evaluation:
        """Reach for ``episodes`` fresh goals without noise; the goals of ``seed`` are never those of training.

        Raises
        ------
        ValueError
            While `learn` runs, if the environment is an object and there is no ``test_env``: two episodes cannot run
            in one environment.
        RuntimeError
            Before the first update.
        """
        return evaluate(self.policy(), self._separate_env(), self.task, episodes, seed)

    def reachability(
        self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None, steps: ArrayLike | None = None
    ) -> Reachability:
        """How close can it get to a goal in ``steps`` steps, and how sure is that?

        Parameters
        ----------
        observation : dict
            As for `predict`: one state or B of them.
        goal : (G,) or (B, G) [goal unit], optional
            By default the ``desired_goal``.
        steps : int or (B,), optional
            Actions from now on, 1 to the horizon plus 1 (``steps_left`` + 1) [steps]; by default the most.

        Returns
        -------
        Reachability
            Numbers for one state, (B,) arrays for a batch.

        Raises
        ------
        ValueError
            If an input does not fit, ``steps`` is beyond what was learned, or the critics predict no points.
        RuntimeError
            Before the first update.
        """
        most = self.task.horizon + 1
        steps = np.asarray(most if steps is None else steps)
        if (steps < 1).any() or (steps > most).any():
            raise ValueError(f"steps must be 1 to {most}, the horizon that was learned plus one, got {steps.tolist()}")
        states, single = as_states(self.task, observation, goal, steps - 1)
        bounds = self.calibration.bounds if self.calibration else None
        result = reachability(self._learned(), self.task, states, bounds)
        return result.single() if single else result

    def calibrate(
        self,
        episodes: int = 100,
        seed: int = 0,
        directory: Path | str | None = None,
        each: Callable[[], object] = lambda: None,
    ) -> Calibration:
        """Compare what is predicted with what is reached, so that `reachability` knows how sure it may be.

        It holds until the agent learns on, and is saved with it.

        Parameters
        ----------
        episodes, seed : int
            Of the stream of goals "evaluate", as for `evaluate`.
        directory : Path or str, optional
            Where to write ``calibration.png`` and ``calibration.json`` at once.
        each : callable
            Called after each episode.

        Raises
        ------
        ValueError
            If there are too few episodes, or the critics predict no points.
        RuntimeError
            Before the first update.
        """
        found = outcomes(self._learned(), self._separate_env(), self.task, episodes, seed, each)
        self.calibration = result = calibration(found, self.task, self.updates, seed)
        if directory is not None:
            write_json(Path(directory) / CALIBRATION, result.to_json())
            draw_calibration(Path(directory), result, found, f"{self.task.name}, {self.updates} updates")
        return result

    def _separate_env(self) -> GoalEnv:
        """An environment in which nothing is learned; of an object, between two calls of `learn`, that object."""
        if self._test_env is None:
            if self.task_name is None:
                if not self._learning:
                    return self.env
                raise ValueError(
                    "evaluation while learning needs an environment of its own, so as not to disturb learning: "
                    "give TDM a test_env"
                )
            self._test_env = adopted((make_env(self.task_name), self.task), self.task.horizon, self.noise).env
        return self._test_env

    def _learned(self) -> TdmAgent:
        if self.learner.agent is None:
            least = self.learner.config.random_steps
            raise RuntimeError(
                f"this TDM has learned nothing yet ({self.steps} steps): call learn() with more than {least} steps"
            )
        return self.learner.agent
