"""Manipulation: the paper's seven-joint arm and planar pusher."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv, gymnasium_model
from tdm_ros.envs.view import Marker, View
from tdm_ros.tasks import PUSHER, REACHER, prompt

START_RAD_S = 0.005
"""Bound of the initial joint velocities; the arm starts straight."""

TIP = "tips_arm"
"""Body whose origin is the tip: the middle of the hand, consistent with the initial distance of the paper's curve."""


@cache
def reacher_model() -> mujoco.MjModel:
    """The arm and the table of Gymnasium's Pusher, without the object and the goal."""
    spec = gymnasium_model("pusher_v5.xml")
    for name in ("object", "goal"):
        spec.delete(spec.body(name))
    return spec.compile()


class ReacherEnv(MujocoGoalEnv):
    """Move the tip to its position in a random posture.

    Observation (17,): seven joints [rad], their velocities [rad/s], the tip [m]. Goal (3,): the tip [m]. Actions (7,):
    torques up to 2 N m. It never terminates. Source: rlkit's Reacher7Dof; postures in which the hand touches the table
    are drawn again here, as they are unreachable.
    """

    view = View((0.1, -0.55, -0.05), 2.7, 160.0, -28.0)
    strength = 2.0

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(REACHER, reacher_model(), render_mode)
        self._tip = self.model.body(TIP).id
        self._posture = mujoco.MjData(self.model)

    def _start(self, rng: np.random.Generator) -> None:
        self.data.qvel[:] = rng.uniform(-START_RAD_S, START_RAD_S, self.model.nv)

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        low, high = self.model.jnt_range.T
        while True:
            self._posture.qpos[:] = rng.uniform(low, high)
            mujoco.mj_fwdPosition(self.model, self._posture)
            if self._posture.ncon == 0:
                return self._posture.xpos[self._tip]

    def _observation(self) -> Array:
        return np.concatenate((self.data.qpos, self.data.qvel, self.data.xpos[self._tip]))

    def _achieved(self, observation: Array) -> Array:
        return observation[14:]

    def _markers(self) -> list[Marker]:
        return [Marker(self._goal, 0.05)]


LINKS_M = (0.6, 0.5, 0.3)
"""Lengths of upper arm and forearm, and from the wrist to the middle of the fork, which is the hand."""

PUCK_RADIUS_M = 0.06
FORK_RADIUS_M, FORK_HALF_WIDTH_M = 0.02, 0.14
FORK_BACK_M, FORK_FRONT_M = PUCK_RADIUS_M + FORK_RADIUS_M, 0.12
"""Distances behind and ahead of the hand: a puck at the back of the fork is at the hand."""

START_RAD = (0.71, -1.06, -1.65)
"""The fork opens towards the starts of the puck."""

PUCK_LOW_M, PUCK_HIGH_M = (0.3, -0.8), (0.8, -0.3)
REACH_M = 1.3
"""Largest distance of targets from the shoulder; the fork reaches 10 cm further."""


@cache
def pusher_model() -> mujoco.MjModel:
    """The compiled model: the links pass above the puck, only the fork touches it."""
    upper, fore, hand = LINKS_M
    wide, back, front = FORK_HALF_WIDTH_M, hand - FORK_BACK_M, hand + FORK_FRONT_M
    paint = 'contype="0" conaffinity="0" mass="0"'
    touch = f'type="capsule" size="{FORK_RADIUS_M}" material="fork" mass=".04"'
    xml = f"""<mujoco model="pusher">
<compiler angle="radian" autolimits="true"/>
<option timestep="0.01" gravity="0 0 0" integrator="implicitfast" iterations="20"/>
<default><geom condim="1"/><joint axis="0 0 1" armature=".04" damping="1"/></default>
<visual><global offwidth="640" offheight="480"/><headlight ambient=".35 .35 .35" diffuse=".35 .35 .35"/></visual>
<asset><material name="table" rgba=".80 .70 .55 1" specular="0"/><material name="link" rgba=".30 .31 .33 1"/>
<material name="fork" rgba=".60 .04 .07 1"/><material name="puck" rgba=".15 .35 .75 1"/>
<texture type="skybox" builtin="gradient" rgb1=".95 .96 .98" rgb2=".66 .72 .79" width="64" height="64"/></asset>
<worldbody><light directional="true" dir="-.3 .3 -1" diffuse=".4 .4 .4" specular="0 0 0"/>
<geom type="box" pos="0 0 -.01" size="1.6 1.6 .01" material="table" {paint}/>
<geom type="cylinder" size=".08" fromto="0 0 0 0 0 .2" material="link" {paint}/>
<body pos="0 0 .2"><joint name="shoulder" range="-4.2 4.2"/>
<geom type="capsule" size=".04" fromto="0 0 0 {upper} 0 0" material="link" mass=".3" contype="0" conaffinity="0"/>
<body pos="{upper} 0 0"><joint name="elbow" range="-2.6 2.6"/>
<geom type="capsule" size=".035" fromto="0 0 0 {fore} 0 0" material="link" mass=".2" contype="0" conaffinity="0"/>
<body pos="{fore} 0 0"><joint name="wrist" range="-2.6 2.6"/><site name="hand" pos="{hand} 0 -.15"/>
<geom type="capsule" size=".02" fromto="0 0 0 {back} 0 -.15" material="link" {paint}/>
<geom {touch} fromto="{back} -{wide} -.15 {back} {wide} -.15"/>
<geom {touch} fromto="{back} -{wide} -.15 {front} -{wide} -.15"/>
<geom {touch} fromto="{back} {wide} -.15 {front} {wide} -.15"/>
</body></body></body>
<body name="puck" pos="0 0 .05">
<joint name="puck_x" type="slide" axis="1 0 0" damping="2" armature="0" range="-1.5 1.5"/>
<joint name="puck_y" type="slide" axis="0 1 0" damping="2" armature="0" range="-1.5 1.5"/>
<geom type="cylinder" size="{PUCK_RADIUS_M} .05" material="puck" mass=".1"/></body>
</worldbody>
<actuator><motor joint="shoulder"/><motor joint="elbow"/><motor joint="wrist"/></actuator>
</mujoco>"""
    return mujoco.MjModel.from_xml_string(xml)


HELD_M = 0.1
"""Distance between hand and puck below which the fork holds it."""


class PusherEnv(MujocoGoalEnv):
    """Push a puck to a target.

    Observation (10,): three joints [rad], their velocities [rad/s], hand x, y and puck x, y [m]. Goal (4,): hand and
    puck [m], see `prompt`. Actions (3,): torques up to 3 N m. It never terminates. Source: starts and targets are those
    of the paper's TDM runs; unreachable targets are drawn again.
    """

    view = View((-0.05, -0.05, 0.0), 3.0, 90.0, -75.0)
    strength = 3.0
    puck_stays = True
    """See `prompt`."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(PUSHER, pusher_model(), render_mode)
        self._hand = self.model.site("hand").id

    def _start(self, rng: np.random.Generator) -> None:
        self.data.qpos[:3] = START_RAD
        self.data.qpos[3:] = rng.uniform(PUCK_LOW_M, PUCK_HIGH_M)

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        while True:
            target = rng.uniform(self.task.goal.low[2:], self.task.goal.high[2:])
            if np.linalg.norm(target) < REACH_M:
                return np.tile(target, 2)

    def _observation(self) -> Array:
        data = self.data
        return np.concatenate((data.qpos[:3], data.qvel[:3], data.site_xpos[self._hand, :2], data.qpos[3:]))

    def _achieved(self, observation: Array) -> Array:
        return observation[6:]

    def _present_goal(self, achieved: NDArray[np.float32]) -> NDArray[np.float32]:
        return prompt(achieved, self._goal[2:], HELD_M, self.puck_stays)

    def _markers(self) -> list[Marker]:
        return [Marker((*self._goal[2:].tolist(), 0.02), 0.06)]
