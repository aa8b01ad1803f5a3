"""Arm as primitive shapes, read from our MuJoCo model, for the page to draw."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from tdm_ros.robot.sawyer import JOINT_NAMES
from tdm_ros.sim.sawyer_mjcf import sawyer_xml

SEEN_GROUP = 2
"""Of the geoms; those of other groups are hidden."""
_KINDS = {
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid",
    mujoco.mjtGeom.mjGEOM_BOX: "box",
}
Array = NDArray[np.float64]


class Shape(NamedTuple):
    """One thing that is seen.

    Parameters
    ----------
    kind : str
        sphere, capsule, cylinder, ellipsoid or box; the long axis is z.
    size_m : (3,)
        MuJoCo's: radius, half length; half axes; half sides [m].
    position_m, rotation : (3,) [m], (3, 3)
        In the frame of its link.
    colour : str
        #rrggbb
    """

    kind: str
    size_m: Array
    position_m: Array
    rotation: Array
    colour: str


class Link(NamedTuple):
    """A rigid part of the arm, in the order of the chain, the room first.

    Parameters
    ----------
    name : str
    parent : int
        Index of the link that it hangs on; -1 for the room.
    position_m, rotation : (3,) [m], (3, 3)
        In the frame of its parent, at joint angle 0.
    joint : int
        Index of the joint that turns it about its z; -1: none does.
    shapes : list of Shape
    """

    name: str
    parent: int
    position_m: Array
    rotation: Array
    joint: int
    shapes: list[Shape]


def rotation_of(quaternion: Array) -> Array:
    """A quaternion w, x, y, z as a (3, 3) rotation."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def turned(link: Link, q_rad: float) -> Array:
    """Rotation of a link in the frame of its parent, (3, 3), at a joint angle [rad]."""
    c, s = np.cos(q_rad), np.sin(q_rad)
    return link.rotation @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def arm_links() -> list[Link]:
    """The arm and what stands around it."""
    model = mujoco.MjModel.from_xml_string(sawyer_xml())
    joints = {int(model.joint(name).bodyid[0]): index for index, name in enumerate(JOINT_NAMES)}
    links = [
        Link(
            model.body(i).name,
            int(model.body_parentid[i]) if i else -1,
            model.body_pos[i].copy(),
            rotation_of(model.body_quat[i]),
            joints.get(i, -1),
            [],
        )
        for i in range(model.nbody)
    ]
    for i in range(model.ngeom):
        kind = _KINDS.get(mujoco.mjtGeom(model.geom_type[i]))
        if kind is None or model.geom_group[i] != SEEN_GROUP:
            continue
        material = model.geom_matid[i]
        rgba = model.mat_rgba[material] if material >= 0 else model.geom_rgba[i]
        shape = Shape(
            kind, model.geom_size[i].copy(), model.geom_pos[i].copy(), rotation_of(model.geom_quat[i]), hex_of(rgba)
        )
        links[int(model.geom_bodyid[i])].shapes.append(shape)
    return links


def hex_of(rgba: Array) -> str:
    """A colour with parts in 0..1 as #rrggbb."""
    return "#" + "".join(f"{round(255 * float(np.clip(part, 0, 1))):02x}" for part in rgba[:3])
