"""Any arm pushing an object over its table to a target, with a vertical tool, from any side; the tip is commanded."""

from __future__ import annotations

from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.push_motion import push_action, push_command, push_posture
from tdm_ros.envs.arm_sim import SUBSTEPS, ArmSim
from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv
from tdm_ros.envs.view import Marker, View
from tdm_ros.robots import geometry
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.limiter import Limiter, Limits
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.sawyer import SAWYER
from tdm_ros.tasks.pushing import PushSetup, observe_push, present_push_goal, push_setup, push_task, tip_of, tool_ends_m

FRICTION = [0.5, 0.005, 0.0001]
"""Of tool and object: sliding; torsional and rolling have no effect here."""


@cache
def push_model(robot: Robot, damping_factor: float = 1.0, friction_factor: float = 1.0) -> mujoco.MjModel:
    """The compiled model: the arm's J joints, then the object's two slides; the factors are those of `robot_xml`."""
    spec, setup = mujoco.MjSpec.from_string(robot_xml(robot, damping_factor, friction_factor)), push_setup(robot)
    _add_tool(spec, robot, setup)
    _add_object(spec, setup)
    return spec.compile()


def _add_tool(spec: mujoco.MjSpec, robot: Robot, setup: PushSetup) -> None:
    """Add a massless stick along z of the hand."""
    spec.body(robot.link_names[-1]).add_geom(
        name="tool",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=[setup.tool_radius_m, 0, 0],
        fromto=tool_ends_m(robot),
        material="steel",
        mass=0,
        condim=3,  # with friction; without, the object slips off the round tool
        friction=FRICTION,
        contype=0,
        conaffinity=3,  # like the wrist: static objects and the object
        group=2,
    )


def _add_object(spec: mujoco.MjSpec, setup: PushSetup) -> None:
    """Add a puck that slides on the table and cannot tip; dry friction stops it within one or two centimetres."""
    puck = spec.worldbody.add_body(name="object", pos=[0, 0, setup.half_height_m])
    damping = [setup.scale * geometry.PUCK_DAMPING_N_S_M, 0, 0]
    for name, axis in (("object_x", [1, 0, 0]), ("object_y", [0, 1, 0])):
        puck.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=axis,
            damping=damping,
            frictionloss=setup.scale * geometry.PUCK_FRICTION_N,
        )
    puck.add_geom(
        name="object",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[setup.radius_m, setup.half_height_m, 0],
        mass=setup.scale**2 * geometry.PUCK_MASS_KG,
        rgba=geometry.PUCK_RGBA,
        condim=3,
        friction=FRICTION,
        contype=1,  # touches the moving links, not the table under it
        conaffinity=0,
        group=2,
    )


class PushEnv(MujocoGoalEnv):
    """Push an object to a target with an arm of J joints.

    Observation (2 J + 7,): see `observe_push`. Goal (5,): the tool's tip, and the object's x and y [m], see
    `prompt_from_behind`; scored by the object. Actions (3,): velocity of the tip along x, y and z. `push_command` makes
    joint velocities of it, which pass the limiter like those of a policy. It never terminates. The options of `reset`
    are ``"goal"``, (5,) [m], of which the object's part is used, and ``"continued"``: whether the episode begins where
    the last one ended; its default is the attribute ``continued``. Where the tip cannot stand behind the object on
    every side, the start is drawn in any case. ``robot`` is the name of a description, or the path of a .yaml file.
    Raises ValueError if the robot or the render mode is unknown.
    """

    reset_options = ("goal", "continued")
    view = View((0.4, 0.0, 0.2), 2.0, 140.0, -25.0)
    puck_stays = True
    """See `prompt_from_behind`."""

    def __init__(
        self,
        robot: str = "sawyer",
        render_mode: str | None = None,
        limits: Limits | None = None,
        continued: bool = False,
    ) -> None:
        self.robot, self.continued = load_robot(robot), continued
        self.setup = push_setup(self.robot)
        actuation = actuations(self.robot)["velocity"]
        self.sim = ArmSim(actuation, push_model(self.robot), self.robot)
        super().__init__(push_task(self.robot), self.sim.model, render_mode, self.sim.data)
        self.cycle = ArmCycle(self.sim, Limiter(actuation, limits, self.robot), actuation)
        self._started = False

    @property
    def _object_m(self) -> Array:
        """Position of the object, (2,) [m]."""
        return self.data.qpos[self.sim.joints :].copy()

    @property
    def _tip_m(self) -> Array:
        """Position of the tool's tip, (3,) [m]."""
        return tip_of(self.sim.hand_pose(), self.setup)

    def _reset(self, options: dict[str, Any]) -> None:
        goes_on = options.get("continued", self.continued) and self._started and self.setup.movable(self._object_m)
        if not goes_on:
            super()._reset(options)
        self._started = True

    def _start(self, rng: np.random.Generator) -> None:
        setup = self.setup
        object_m = rng.uniform(setup.object_low_m, setup.object_high_m)
        tip_m = rng.uniform(setup.tip_low_m, setup.tip_high_m)
        if np.linalg.norm(tip_m[:2] - object_m) < setup.approach.behind_m:
            tip_m[2] = setup.half_height_m + setup.approach.over_m
        self.sim.reset(push_posture(tip_m, self.robot))
        self.cycle.restart()
        self.data.qpos[self.sim.joints :] = object_m

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        setup, object_m = self.setup, self._object_m
        while True:
            target_m = rng.uniform(setup.object_low_m, setup.object_high_m)
            if np.linalg.norm(target_m - object_m) > self.task.success:
                return (*target_m, setup.half_height_m, *target_m)

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        q = self.sim.reading().q_rad
        self.cycle.command(push_command(q, action, self._tip_m, self.robot))
        self.cycle.advance(SUBSTEPS)
        executed = self.cycle.finish()
        joints_rad_s = executed.action * self.cycle.actuation.scale
        self._info = {
            "executed_action": push_action(q, joints_rad_s, self.robot),
            "limited": executed.limited,
            "limiter": executed.layer,
        }

    def _observation(self) -> Array:
        reading = self.sim.reading()
        return observe_push(reading.q_rad, reading.qd_rad_s, self._tip_m, self._object_m).astype(np.float64)

    def _achieved(self, observation: Array) -> Array:
        return observation[-7:-2]

    def _present_goal(self, achieved: NDArray[np.float32]) -> NDArray[np.float32]:
        return present_push_goal(achieved, self._goal[3:], self.setup, self.puck_stays)

    def _view(self) -> View:
        place, ratio = self.view, geometry.size(self.robot) / geometry.size(SAWYER)
        x, y, z = (ratio * part for part in place.lookat_m)
        return place._replace(lookat_m=(x, y, z), distance_m=ratio * place.distance_m)

    def _markers(self) -> list[Marker]:
        return [Marker((*self._goal[3:].tolist(), self.setup.half_height_m), 0.025 * self.setup.scale)]
