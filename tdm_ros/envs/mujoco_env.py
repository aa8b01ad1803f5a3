"""Common base of the simulated tasks without an arm node: reset, step, reward and rendering of a MuJoCo model."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.view import Marker, View
from tdm_ros.tasks import TaskSpec

if TYPE_CHECKING:
    from tdm_ros.envs.render import Camera, Window

Array = NDArray[np.float64]
Observation = dict[str, Any]
"""``observation`` (O,), ``achieved_goal`` and ``desired_goal`` (G,), all float32."""

SUBSTEPS = 5
"""Physics steps of 10 ms in one control cycle of 50 ms."""


def gymnasium_model(name: str) -> mujoco.MjSpec:
    """Model of Gymnasium, for example ``ant.xml``, in a brighter scene, to be edited and compiled."""
    path = Path(gym.__file__).parent / "envs" / "mujoco" / "assets" / name
    spec = mujoco.MjSpec.from_file(str(path))
    spec.visual.headlight.ambient = spec.visual.headlight.diffuse = [0.4] * 3
    skies = [t for t in spec.textures if t.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX]
    sky = skies[0] if skies else spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    sky.builtin, sky.width, sky.height = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, 64, 384
    sky.rgb1, sky.rgb2 = [0.95, 0.96, 0.98], [0.66, 0.72, 0.79]
    for floor in (t for t in spec.textures if t.name == "texplane"):
        floor.rgb1, floor.rgb2 = [0.6, 0.6, 0.65], [0.56, 0.56, 0.6]
    for material in spec.materials:
        material.reflectance = 0.0
    return spec


class MujocoGoalEnv(gym.Env[Observation, NDArray[np.float32]]):
    """Goal-conditioned task in one MuJoCo model, at 20 Hz.

    Observations are dictionaries of float32: ``observation`` (O,), ``achieved_goal`` (G,) and ``desired_goal`` (G,).
    Actions are (A,) in [-1, 1], one per actuator of the model, in its order. The reward is minus `TaskSpec.distance`.
    Subclasses define start, observation, achieved goal, drawn goals and early ends of an episode. ``data`` is given if
    the state of the model is shared. Raises ValueError if the render mode is unknown.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - declared so by Gymnasium
    view = View((0.0, 0.0, 0.0), 4.0, 90.0, -30.0)
    strength = 1.0
    """Control for an action of 1, in units of the model."""
    reset_options: tuple[str, ...] = ("goal",)
    """Options of `reset`."""

    def __init__(
        self,
        task: TaskSpec,
        model: mujoco.MjModel,
        render_mode: str | None = None,
        data: mujoco.MjData | None = None,
    ) -> None:
        if render_mode not in (None, *(modes := self.metadata["render_modes"])):
            raise ValueError(f"render_mode must be {', '.join(modes)} or None, got {render_mode!r}")
        self.task, self.model, self.render_mode = task, model, render_mode
        self.data = data or mujoco.MjData(model)
        self._goal = np.zeros(task.goal.size, np.float32)
        self._info: dict[str, Any] = {}
        self._camera: Camera | Window | None = None
        self.action_space = gym.spaces.Box(-1.0, 1.0, (task.action.size,), np.float32)
        goal = gym.spaces.Box(-np.inf, np.inf, (task.goal.size,), np.float32)
        seen = gym.spaces.Box(-np.inf, np.inf, (task.observation.size,), np.float32)
        self.observation_space = gym.spaces.Dict({"observation": seen, "achieved_goal": goal, "desired_goal": goal})

    def _reset(self, options: dict[str, Any]) -> None:
        """Reset the simulation to a drawn start."""
        mujoco.mj_resetData(self.model, self.data)
        self._start(self.np_random)
        mujoco.mj_forward(self.model, self.data)

    @abstractmethod
    def _start(self, rng: np.random.Generator) -> None:
        """Set the initial state in ``self.data``, which was reset."""

    @abstractmethod
    def _observation(self) -> Array:
        """Observation, (O,)."""

    @abstractmethod
    def _achieved(self, observation: Array) -> Array:
        """Achieved goal, (G,) [goal unit]."""

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        """Draw a reachable goal, (G,) [goal unit]; the start has been drawn already."""
        return self.task.sample_goal(rng)

    @property
    def evaluation_goal(self) -> NDArray[np.float32]:
        """Goal that the episode is scored by, (G,), independent of the present goal."""
        return self._goal.copy()

    def _present_goal(self, achieved: NDArray[np.float32]) -> NDArray[np.float32]:
        """Present desired goal, (G,) [goal unit]: a fresh array."""
        return self._goal.copy()

    def _ended(self, distance: float) -> tuple[bool, bool]:
        """Whether the episode is terminated, and whether it is truncated."""
        return False, False

    def _markers(self) -> list[Marker]:
        """Markers of the goal in an image."""
        return []

    def _view(self) -> View:
        return self.view

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new episode; the option ``"goal"``, (G,) [goal unit], replaces the drawn goal.

        Raises ValueError if an option is unknown, or the goal has a wrong shape or values that are not finite.
        """
        super().reset(seed=seed)
        chosen = options or {}
        if unknown := set(chosen) - set(self.reset_options):
            raise ValueError(f"options of reset are {', '.join(self.reset_options)}, got {', '.join(sorted(unknown))}")
        self._reset(chosen)
        goal = self._draw_goal(self.np_random)
        self._goal = self.task.goal.checked(chosen.get("goal", goal), "goal")
        seen = self._observe()
        return seen, self._score(seen)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Simulate 50 ms. Raises ValueError if the action has a wrong shape or values that are not finite.

        The reward is minus the distance to the present goal. Info has ``distance`` (the score) and ``is_success``
        (score below `TaskSpec.success`); with a limiter also ``executed_action``, ``limited`` and ``limiter``.
        """
        self._act(np.clip(self.task.action.checked(action, "action"), -1.0, 1.0))
        seen = self._observe()
        info = self._score(seen)
        terminated, truncated = self._ended(info["distance"])
        reward = float(self.compute_reward(seen["achieved_goal"], seen["desired_goal"], info))
        if self.render_mode == "human":
            self.render()
        return seen, reward, terminated, truncated, info | self._info

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        self.data.ctrl[:] = action * self.strength
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves the poses of the state before it

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.float64]:
        """Minus the distance: (..., G), (..., G) [goal unit] -> (...); ``info`` is ignored."""
        return -self.task.distance(achieved_goal, desired_goal)

    def _observe(self) -> Observation:
        observation = self._observation()
        achieved = self._achieved(observation).astype(np.float32)
        return {
            "observation": observation.astype(np.float32),
            "achieved_goal": achieved,
            "desired_goal": self._present_goal(achieved),
        }

    def _score(self, seen: Observation) -> dict[str, Any]:
        distance = float(self.task.distance(seen["achieved_goal"], self.evaluation_goal))
        return {"distance": distance, "is_success": distance < self.task.success}

    def render(self) -> NDArray[np.uint8] | None:
        """Image of the model and the goal, (480, 640, 3) uint8; None with a window or without a render mode."""
        if self.render_mode is None:
            return None
        if self._camera is None:
            from tdm_ros.envs.render import Camera, Window  # needs OpenGL

            self._camera = (Window if self.render_mode == "human" else Camera)(self.model, self.data)
        return self._camera.show(self._view(), self._markers())

    def close(self) -> None:
        """Free the camera or the window."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
