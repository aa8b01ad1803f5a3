"""The model of Sawyer with a fork in its hand and a puck on its table."""

from __future__ import annotations

from functools import cache

import mujoco

from tdm_ros.description.room import (
    FORK_RADIUS_M,
    PUCK_DAMPING_N_S_M,
    PUCK_FRICTION_N,
    PUCK_HALF_HEIGHT_M,
    PUCK_MASS_KG,
    PUCK_RADIUS_M,
    PUCK_RGBA,
)
from tdm_ros.description.shapes import fork_bars_m
from tdm_ros.sim.sawyer_mjcf import sawyer_xml


@cache
def sawyer_push_model() -> mujoco.MjModel:
    """The compiled model: the arm's seven joints, then the puck's two slides."""
    spec = mujoco.MjSpec.from_string(sawyer_xml())
    _add_fork(spec)
    _add_puck(spec)
    return spec.compile()


def _add_fork(spec: mujoco.MjSpec) -> None:
    """Hang a fork from the hand that opens away from the robot while the hand points down. It weighs nothing."""
    for ends in fork_bars_m():
        spec.body("right_l6").add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[FORK_RADIUS_M, 0, 0],
            fromto=ends,
            material="steel",
            mass=0,
            condim=1,
            contype=0,
            conaffinity=3,  # like the wrist: the room and the puck
            group=2,
        )


def _add_puck(spec: mujoco.MjSpec) -> None:
    """Lay a puck on the table that slides and does not tip; dry friction stops it within a centimetre or two."""
    puck = spec.worldbody.add_body(name="puck", pos=[0, 0, PUCK_HALF_HEIGHT_M])
    dry = {"damping": [PUCK_DAMPING_N_S_M, 0, 0], "frictionloss": PUCK_FRICTION_N}
    for name, axis in (("puck_x", [1, 0, 0]), ("puck_y", [0, 1, 0])):
        puck.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, **dry)
    puck.add_geom(
        name="puck",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[PUCK_RADIUS_M, PUCK_HALF_HEIGHT_M, 0],
        mass=PUCK_MASS_KG,
        rgba=PUCK_RGBA,
        condim=1,
        contype=1,  # touches the moving links, not the table under it
        conaffinity=0,
        group=2,
    )
