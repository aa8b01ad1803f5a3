"""Sawyer reaching as a Gymnasium environment: arm, limiter and task of the live system, without ROS."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.sawyer_sim import SUBSTEPS, SawyerSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks import SAWYER_REACH, TaskSpec, observe

START_SPREAD_RAD = 0.1
SUCCESS_M = 0.02

Observation = dict[str, Any]


class SawyerReachEnv(gym.Env[Observation, NDArray[np.float32]]):
    """Move Sawyer's hand to a point.

    Observations are dictionaries: ``observation`` (17,) joint positions [rad], velocities [rad/s] and hand
    [m], ``achieved_goal`` (3,) hand [m], ``desired_goal`` (3,) [m]. Actions are (7,) in [-1, 1]. The reward
    is minus the distance [m]. It never terminates.

    Parameters
    ----------
    actuation : str
        "velocity", "torque" or "torque_low_damping".
    render_mode : "rgb_array", "human" or None
    limits : Limits or None
    task : TaskSpec, optional
        Description for a subclass with other starts and goals.

    Raises
    ------
    ValueError
        If the actuation or the render mode is unknown.
    """

    metadata = {  # noqa: RUF012 - declared so by Gymnasium
        "render_modes": ["rgb_array", "human"],
        "render_fps": 20,
    }

    def __init__(
        self,
        actuation: str = "velocity",
        render_mode: str | None = None,
        limits: Limits | None = None,
        task: TaskSpec | None = None,
    ) -> None:
        if actuation not in ACTUATIONS:
            raise ValueError(f"actuation must be one of {', '.join(ACTUATIONS)}, got {actuation!r}")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be rgb_array, human or None, got {render_mode!r}")
        self.actuation = ACTUATIONS[actuation]
        self.task = task or SAWYER_REACH[actuation]
        self.render_mode = render_mode
        self.sim = SawyerSim(self.actuation)
        self.cycle = ArmCycle(self.sim, Limiter(self.actuation, limits), self.actuation)
        self._goal = np.zeros(self.task.goal.size, np.float32)
        self._window: Any = None
        goal = self.task.goal
        self.action_space = gym.spaces.Box(-1.0, 1.0, (self.task.action.size,), np.float32)
        self.observation_space = gym.spaces.Dict(
            {
                "observation": gym.spaces.Box(-np.inf, np.inf, (self.task.observation.size,), np.float32),
                "achieved_goal": gym.spaces.Box(-np.inf, np.inf, (goal.size,), np.float32),
                "desired_goal": gym.spaces.Box(
                    np.array(goal.low, np.float32), np.array(goal.high, np.float32), dtype=np.float32
                ),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start near the neutral posture with a fresh goal.

        Parameters
        ----------
        seed : int or None
        options : dict or None
            ``"goal"``, (3,) [m], and ``"q_rad"``, (7,) [rad], replace the drawn values.

        Raises
        ------
        ValueError
            If an option is unknown, or has a wrong shape or values that are not finite.
        """
        super().reset(seed=seed)
        chosen = options or {}
        if unknown := set(chosen) - {"goal", "q_rad"}:
            raise ValueError(f'reset options are "goal" and "q_rad", got {", ".join(sorted(unknown))}')
        start = self._draw_start(self.np_random)
        goal = self._draw_goal(self.np_random)
        self.sim.reset(chosen.get("q_rad", start))
        self.cycle.restart()
        self._goal = self.task.goal.checked(chosen.get("goal", goal), 'options["goal"]')
        observation = self._observe()
        return observation, self._judge(observation)

    def _draw_start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the initial posture, (7,) [rad]."""
        return NEUTRAL_RAD + rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, NEUTRAL_RAD.shape)

    def _draw_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw a goal, (3,) [m]; the start has been drawn already."""
        return self.task.sample_goal(rng)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Simulate 50 ms.

        Returns
        -------
        tuple
            Observation, reward (minus the distance [m]), False, False, and info: ``executed_action`` (7,),
            ``limited``, ``limiter``, ``is_success`` (within 2 cm) and ``distance_m``.

        Raises
        ------
        ValueError
            If the action has a wrong shape or values that are not finite.
        """
        self.cycle.command(self.actuation.to_command(self.task.action.checked(action, "action")))
        self.cycle.advance(SUBSTEPS)
        executed = self.cycle.finish()
        observation = self._observe()
        info = self._judge(observation)
        info |= {"executed_action": executed.action, "limited": executed.limited, "limiter": executed.layer}
        if self.render_mode == "human":
            self.render()
        return observation, -info["distance_m"], False, False, info

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.float64]:
        """Minus the distance: (..., 3), (..., 3) [m] -> (...) [m]; ``info`` is ignored."""
        return -self.task.distance(achieved_goal, desired_goal)

    def _observe(self) -> Observation:
        reading = self.sim.reading()
        return {
            "observation": observe(reading.q_rad, reading.qd_rad_s, reading.hand_m),
            "achieved_goal": self._achieved(reading),
            "desired_goal": self._goal.copy(),
        }

    def _achieved(self, reading: ArmReading) -> NDArray[np.float32]:
        """Achieved goal, (G,) [goal unit]."""
        return reading.hand_m.astype(np.float32)

    def _judge(self, observation: Observation) -> dict[str, Any]:
        distance = float(self.task.distance(observation["achieved_goal"], observation["desired_goal"]))
        return {"distance_m": distance, "is_success": distance < SUCCESS_M}

    def render(self) -> NDArray[np.uint8] | None:
        """Image of the arm and the goal, (H, W, 3) uint8, or None with a window."""
        if self.render_mode is None:
            return None
        if self._window is None:
            from tdm_ros.envs.render import ArmCamera, ArmWindow

            self._window = (ArmWindow if self.render_mode == "human" else ArmCamera)(self.sim)
        image: NDArray[np.uint8] | None = self._window.show(self._goal)
        return image

    def close(self) -> None:
        """Free the camera or the window."""
        if self._window is not None:
            self._window.close()
            self._window = None
