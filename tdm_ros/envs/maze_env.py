"""Maze with a ball whose velocity is commanded, with little inertia."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv
from tdm_ros.envs.view import Marker, View
from tdm_ros.tasks.registry import FENCE_M, MAZE, RADIUS_M, SPEED_M_S, WALLS_M

MASS_KG = 0.1
LAG_S = 0.08
"""Time constant of the ball's velocity."""

_CLEAR_M = 0.02
"""Smallest distance of the ball's surface from a wall at starts and goals."""


@cache
def maze_model() -> mujoco.MjModel:
    """The compiled model."""
    damping = MASS_KG / LAG_S
    boxes = [(*(low + high) / 2, *(high - low) / 2) for low, high in (*FENCE_M, *WALLS_M)]
    walls = "".join(
        f'<geom type="box" pos="{x:g} {y:g} .06" size="{dx:g} {dy:g} .06" material="wall"/>' for x, y, dx, dy in boxes
    )
    outside = FENCE_M.max()
    xml = f"""<mujoco model="maze">
<compiler autolimits="true"/>
<option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>
<default><geom condim="1"/><joint type="slide" damping="{damping:g}"/></default>
<visual><global offwidth="640" offheight="480"/><headlight ambient=".35 .35 .35" diffuse=".35 .35 .35"/></visual>
<asset><material name="floor" rgba=".80 .70 .55 1" specular="0"/><material name="wall" rgba=".45 .46 .50 1"/>
<texture type="skybox" builtin="gradient" rgb1=".95 .96 .98" rgb2=".66 .72 .79" width="64" height="64"/></asset>
<worldbody><light directional="true" dir="-.3 .3 -1" diffuse=".4 .4 .4" specular="0 0 0"/>
<geom type="box" pos="0 0 -.01" size="{outside:g} {outside:g} .01" material="floor" contype="0" conaffinity="0"/>
{walls}
<body name="ball" pos="0 0 {RADIUS_M:g}"><joint name="x" axis="1 0 0"/><joint name="y" axis="0 1 0"/>
<geom type="sphere" size="{RADIUS_M:g}" mass="{MASS_KG:g}" rgba=".15 .35 .75 1"/></body>
</worldbody>
<actuator><motor joint="x" gear="{damping * SPEED_M_S:g}"/><motor joint="y" gear="{damping * SPEED_M_S:g}"/></actuator>
</mujoco>"""
    return mujoco.MjModel.from_xml_string(xml)


class MazeEnv(MujocoGoalEnv):
    """Roll a ball to a point in a maze.

    Observation (4,): x, y [m] and their velocities [m/s]. Goal (2,): x, y [m]. Actions (2,): commanded velocity of the
    ball, up to 1.2 m/s along each axis; most of it is reached within two steps. It never terminates.
    """

    view = View((0.0, 0.0, 0.0), 3.0, 90.0, -89.0)

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(MAZE, maze_model(), render_mode)

    def _start(self, rng: np.random.Generator) -> None:
        self.data.qpos[:] = self._somewhere(rng)

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        return self._somewhere(rng)

    def _observation(self) -> Array:
        return np.concatenate((self.data.qpos, self.data.qvel))

    def _achieved(self, observation: Array) -> Array:
        return observation[:2]

    def _markers(self) -> list[Marker]:
        return [Marker((*self._goal.tolist(), 0.02), 0.04)]

    def _somewhere(self, rng: np.random.Generator) -> Array:
        """Random point of the goal box that is clear of the walls, (2,) [m]."""
        grown = RADIUS_M + _CLEAR_M
        while True:
            point = rng.uniform(self.task.goal.low, self.task.goal.high)
            inside = (point > WALLS_M[:, 0] - grown) & (point < WALLS_M[:, 1] + grown)
            if not inside.all(axis=1).any():
                return point
