"""The model of Sawyer with a fork in its hand and a puck on its table."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np

from tdm_ros.robot.kinematics import rotation_from_rpy
from tdm_ros.robot.sawyer import facts
from tdm_ros.sim.sawyer_mjcf import sawyer_xml

HAND_HEIGHT_M = 0.09
"""Of the hand above the table; the fork hangs below it, at half the height of the puck."""

PUCK_RADIUS_M = 0.045
PUCK_HALF_HEIGHT_M = 0.03
_FORK_RADIUS_M = 0.012
_FORK_HALF_WIDTH_M = 0.075
_FORK_BACK_M = PUCK_RADIUS_M + _FORK_RADIUS_M
_FORK_FRONT_M = 0.065
"""From the hand backwards and ahead: a puck at the back of the fork is right below the hand."""


@cache
def sawyer_push_model() -> mujoco.MjModel:
    """The compiled model: the arm's seven joints, then the puck's two slides."""
    spec = mujoco.MjSpec.from_string(sawyer_xml())
    _add_fork(spec)
    _add_puck(spec)
    return spec.compile()


def _add_fork(spec: mujoco.MjSpec) -> None:
    """Hang a fork from the hand that opens away from the robot while the hand points down. It weighs nothing."""
    joint = next(j for j in facts()["joints"] if j["name"] == "right_hand")
    turn = rotation_from_rpy([float(x) for x in joint["rpy"].split()])
    origin = np.array([float(x) for x in joint["xyz"].split()])
    drop, wide, back, front = HAND_HEIGHT_M - PUCK_HALF_HEIGHT_M, _FORK_HALF_WIDTH_M, _FORK_BACK_M, _FORK_FRONT_M
    # In the frame of the hand: x to the robot's left, y ahead, z down.
    back_left, back_right = (wide, -back, drop), (-wide, -back, drop)
    bars = [
        ((0.0, 0.0, 0.0), (0.0, -back, 0.0)),
        ((0.0, -back, 0.0), (0.0, -back, drop)),
        (back_left, back_right),
        (back_left, (wide, front, drop)),
        (back_right, (-wide, front, drop)),
    ]
    for start, end in bars:
        spec.body("right_l6").add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[_FORK_RADIUS_M, 0, 0],
            fromto=[*(origin + turn @ start), *(origin + turn @ end)],
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
    for name, axis in (("puck_x", [1, 0, 0]), ("puck_y", [0, 1, 0])):
        puck.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, damping=[2.0, 0, 0], frictionloss=0.5)
    puck.add_geom(
        name="puck",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[PUCK_RADIUS_M, PUCK_HALF_HEIGHT_M, 0],
        mass=0.2,
        rgba=[0.15, 0.35, 0.75, 1],
        condim=1,
        contype=1,  # touches the moving links, not the table under it
        conaffinity=0,
        group=2,
    )
