"""Evaluation: episodes with goals that were not trained on, without noise, and their final distances."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.replay import Step
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import Purpose, reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.training.arguments import described, whole_number
from tdm_ros.training.metrics import statistics, success_rates


class PolicyInput(NamedTuple):
    """Input of a policy: state, goal and remaining time."""

    observation: NDArray[np.float32]
    """(O,)"""
    achieved: NDArray[np.float32]
    """(G,) [goal unit]"""
    goal: NDArray[np.float32]
    """(G,) [goal unit]"""
    steps_left: int
    """Steps of the episode after the next state [steps]."""
    time: int
    """Steps since the start of the episode [steps]."""


Policy = Callable[[PolicyInput], NDArray[np.float32]]


def rollout(env: GoalEnv, task: TaskSpec, policy: Policy, seed: int) -> Iterator[tuple[Step, bool]]:
    """Reset ``env`` with ``seed`` and act until the episode ends; yield each step, and whether it is the last.

    The action of a step is the executed one, ``info["executed_action"]``, if the environment returns it.
    """
    seen, _ = env.reset(seed=seed)
    last, time = False, 0
    while not last:
        now = _policy_input(seen, task.episode_steps - 1 - time, time)
        action = policy(now)
        seen, _, terminated, truncated, info = env.step(action)
        then = _policy_input(seen, 0, time + 1)
        executed = np.asarray(info.get("executed_action", action), np.float32)
        last, time = bool(terminated or truncated), time + 1
        step = Step(
            now.observation, executed, then.observation, now.achieved, then.achieved, now.goal, bool(terminated)
        )
        yield step, last


def _policy_input(seen: dict[str, NDArray[Any]], steps_left: int, time: int) -> PolicyInput:
    observation, achieved, goal = (
        np.asarray(seen[key], np.float32) for key in ("observation", "achieved_goal", "desired_goal")
    )
    return PolicyInput(observation, achieved, goal, max(steps_left, 0), time)


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation; ``success_env`` is None if the environment reports no success."""

    seed: int  # of goals and starts
    unit: str  # goal unit
    final_distance: tuple[float, ...]  # one entry per episode [goal unit]
    steps_to_success: tuple[int | None, ...]  # first step within `TaskSpec.success`, None without one [steps]
    success_task: float | None = None  # fraction of the episodes with a final distance within `TaskSpec.success`
    success_env: float | None = None  # fraction whose last ``info["is_success"]``, or else ``info["success"]``, is true

    def to_json(self) -> dict[str, Any]:
        """Output of `tdm_ros evaluate --json`; success rates of fixed distances are of tasks in m."""
        times = [steps for steps in self.steps_to_success if steps is not None]
        return {
            "episodes": len(self.final_distance),
            "seed": self.seed,
            "unit": self.unit,
            "final_distance": statistics(self.final_distance),
            **({"success": success_rates(self.final_distance)} if self.unit == "m" else {}),
            "steps_to_success": {"median": float(np.median(times)) if times else None},
            **{key: getattr(self, key) for key in ("success_task", "success_env") if getattr(self, key) is not None},
        }


def actor_policy(actor: NumpyActor) -> Policy:
    """The policy of an actor, without noise."""

    def policy(now: PolicyInput) -> NDArray[np.float32]:
        left = actor.steps_left(now.time, now.steps_left)
        return actor.act(now.observation, now.achieved, now.goal, left)

    return policy


def evaluate(
    policy: Policy,
    env: GoalEnv,
    task: TaskSpec,
    episodes: int,
    seed: int,
    purpose: Purpose = "evaluate",
    on_episode: Callable[[float], None] = lambda distance: None,
) -> Evaluation:
    """Run ``episodes`` episodes with the goals of ``seed``, and measure `TaskSpec.distance`.

    Two optional attributes of the environment, or of a wrapper, replace what the observation contains:
    ``true_achieved``, the achieved goal without noise, and ``evaluation_goal``, the final goal of a task in stages.
    ``purpose``, "evaluate" or "validate", is the stream of the goals; both differ from that of training.
    ``on_episode`` is called with the final distance of each episode. Raises ValueError if ``episodes`` is not
    positive, or ``policy`` is not a function that returns an action.
    """
    episodes, seed = whole_number("episodes", episodes, 1), whole_number("seed", seed)
    test_env, policy = EvaluationEnv(env), _checked_policy(policy, task.action.size)
    finals: list[float] = []
    times: list[int | None] = []
    successes: list[bool] = []
    for episode in range(episodes):
        distances = [
            float(task.distance(test_env.achieved(step.next_achieved), evaluation_goal(test_env, step.desired)))
            for step, _ in rollout(test_env, task, policy, reset_seed(purpose, seed, episode))
        ]
        finals.append(distances[-1])
        times.append(next((t + 1 for t, distance in enumerate(distances) if distance <= task.success), None))
        if test_env.success is not None:
            successes.append(test_env.success)
        on_episode(finals[-1])
    within = float(np.mean(np.array(finals) <= task.success))
    by_env = float(np.mean(successes)) if successes else None
    return Evaluation(seed, task.goal.unit, tuple(finals), tuple(times), within, by_env)


def _checked_policy(policy: Any, size: int) -> Policy:
    """A policy whose actions are checked: ``size`` finite numbers."""
    of_agent = inspect.ismethod(policy) and policy.__name__ == "predict" and hasattr(policy.__self__, "learn")
    if not callable(policy) or of_agent:  # `TDM.predict` takes a dict, not a PolicyInput
        raise ValueError(
            f"policy must be a function of one PolicyInput, got {described(policy)}: "
            "give the result of agent.policy() or agent.planner(), or leave it out"
        )

    def checked(now: PolicyInput) -> NDArray[np.float32]:
        action = np.asarray(policy(now))
        if action.shape != (size,) or action.dtype.kind not in "biuf" or not np.isfinite(action).all():
            raise ValueError(
                f"policy must return finite numbers of shape ({size},), got {described(action.tolist())}: "
                "return one number in [-1, 1] per dimension of the action"
            )
        return action

    return checked


class EvaluationEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Environment with access to what the observation does not contain: the state without noise, and the success."""

    success: bool | None = None

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        self.success = None
        return super().reset(**keywords)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = super().step(action)
        info = result[4]
        success = info.get("is_success", info.get("success"))
        self.success = None if success is None else bool(np.all(success))
        return result

    def achieved(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Achieved goal without noise, (G,) [goal unit]; ``seen`` is the observed one."""
        return self.get_wrapper_attr("true_achieved") if self.has_wrapper_attr("true_achieved") else seen


def evaluation_goal(env: GoalEnv, desired: NDArray[np.float32]) -> NDArray[np.float32]:
    """Goal that the final distance is measured to, (G,) [goal unit]; ``desired`` is the present desired goal."""
    return env.get_wrapper_attr("evaluation_goal") if env.has_wrapper_attr("evaluation_goal") else desired
