"""Learned policy with subgoals of a planner, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.wrappers import to_box
from tdm_ros.planning import (
    GoalSpace,
    KeepOut,
    Plan,
    PlannerSettings,
    Pursuer,
    PursuitSettings,
    ReachModel,
    SeenStates,
    SubgoalPlanner,
)
from tdm_ros.replay import TrajectoryStore
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.training.arguments import check_type
from tdm_ros.training.environment import one_state
from tdm_ros.training.evaluation import PolicyInput

STATES = 1000
"""States of the replay buffer that a plan may pass through."""


class PlanningPolicy:
    """Pursues the subgoals of a plan one after the other, and makes a new plan by `PursuitSettings`.

    Without a plan, the goal itself is pursued; where that would enter a keep-out box, the present point.

    Parameters
    ----------
    actor : NumpyActor
    task : TaskSpec
    store : TrajectoryStore
        Replay buffer.
    actions : gymnasium.spaces.Box
        Action space of `act`.
    settings : PlannerSettings, optional
    keep_out : KeepOut, optional

    Attributes ``planner`` (`SubgoalPlanner`) and ``newest_plan`` (`Plan`; None before the first one).

    Raises
    ------
    ValueError
        If ``settings`` or ``keep_out`` has another type, or the policy has no critics that predict points.
    """

    def __init__(
        self,
        actor: NumpyActor,
        task: TaskSpec,
        store: TrajectoryStore,
        actions: gym.spaces.Box,
        settings: PlannerSettings | None = None,
        keep_out: KeepOut | None = None,
    ) -> None:
        check_type("settings", settings, PlannerSettings)
        check_type("keep_out", keep_out, KeepOut)
        self.planner = SubgoalPlanner(task, settings)
        if keep_out is not None:
            self.planner.keep_out = keep_out
        states = SeenStates.from_store(store, STATES, np.random.default_rng(self.planner.settings.seed))
        self.planner.learn(ReachModel(actor), states)
        self._actor, self._task, self._actions = actor, task, actions
        self.reset()

    def reset(self) -> None:
        """Start a new episode: the next action is that of a new plan."""
        self._pursuer = Pursuer(GoalSpace.of(self._task), PursuitSettings.for_task(self._task), self.planner.free)
        self._goal: NDArray[np.float32] | None = None
        self._time = 0
        self.newest_plan: Plan | None = None
        self.planner.forget()

    def act(self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None) -> NDArray[Any]:
        """Compute the action of the next step of an episode.

        Parameters
        ----------
        observation : dict
            Of the environment, as for `TDM.predict`; one state.
        goal : (G,) [goal unit], optional
            By default the ``desired_goal``.

        Returns
        -------
        (A,)
            In the units of the environment.

        Raises
        ------
        ValueError
            If there is more than one state, a size does not match the task, or a number is not finite.
        """
        states = one_state(self._task, observation, goal)
        left = max(self._task.episode_steps - 1 - self._time, 0)
        now = PolicyInput(states.observation[0], states.achieved[0], states.goal[0], left, self._time)
        return to_box(self._actions, self(now))

    def __call__(self, now: PolicyInput) -> NDArray[np.float32]:
        """Action in [-1, 1], (A,), for `tdm_ros.training.evaluation`; time 0 and a different goal start anew."""
        if now.time == 0 or self._goal is None or not np.array_equal(now.goal, self._goal):
            self.reset()
        self._goal, self._time = now.goal, now.time + 1
        planner, pursuer = self.planner, self._pursuer
        for segment in pursuer.advance(now.time, now.achieved):
            planner.executed(segment.knot, segment.reached)
        if pursuer.replan_reason(now.time, now.achieved):
            self.newest_plan = plan = planner.plan(now.observation, now.achieved, now.goal)
            if plan.usable or pursuer.plan is None:  # otherwise the plan before remains
                pursuer.begin(plan, now.time, now.achieved)
        if target := pursuer.target(now.time):
            return self._actor.act(now.observation, now.achieved, target.knot, target.steps_left)
        goal = now.goal if planner.free(now.achieved, now.goal) else now.achieved
        return self._actor.act(now.observation, now.achieved, goal, self._actor.steps_left(now.time, now.steps_left))
