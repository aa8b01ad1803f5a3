"""Reader of MJCF files, as MuJoCo compiles them: the links, joints, inertias and collision shapes of a description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from tdm_ros.robots import meshes
from tdm_ros.robots.description import Array, Inertia
from tdm_ros.robots.importing import rotation_about
from tdm_ros.robots.kinematics import rotation_of
from tdm_ros.robots.tree import Joint, Link, Note, Part, Tree

KINDS = {0: "free", 1: "ball", 2: "prismatic", 3: "revolute"}
"""Names of MuJoCo's joint types."""


def is_mjcf(path: Path) -> bool:
    """Whether a file is MJCF rather than URDF: it has a <mujoco> root, or a suffix .xml and no <robot>."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return False
    return "<robot" not in text and ("<mujoco" in text or path.suffix == ".xml")


def read_mjcf(path: Path) -> Tree:
    """Read an MJCF file with MuJoCo. Raises ValueError, one sentence with the remedy, if MuJoCo cannot.

    Bodies and sites are links; the second joint of a body moves a link of its own, without mass, before it.
    """
    try:
        return _tree_of(mujoco.MjModel.from_xml_path(str(path)), path)
    except ValueError as error:  # one of its names may be no UTF-8, too
        said = " ".join(str(error).split())
        raise ValueError(f"{path} must be a model that MuJoCo loads, got an error ({said}): correct it") from error


def _tree_of(model: Any, path: Path) -> Tree:
    tree = Tree(path.stem, path, {}, [])
    shifts = {0: np.zeros(3)}
    for body in range(model.nbody):
        _body(model, body, tree, shifts)
    for site in range(model.nsite):
        if name := model.site(site).name:
            body = int(model.site_bodyid[site])
            frame = _frame(model.site_pos[site] - shifts[body], model.site_quat[site])
            name = name if name not in tree.links else f"{name}_site"
            tree.links[name] = Link(name)
            tree.joints.append(Joint(f"{name}_fixed", "fixed", _name(model, body), name, frame))
    return tree


def _name(model: Any, body: int) -> str:
    return model.body(body).name or f"body{body}"


def _frame(position_m: Array, quat_wxyz: Array) -> Array:
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = rotation_of(quat_wxyz), position_m
    return frame


def _body(model: Any, body: int, tree: Tree, shifts: dict[int, Array]) -> None:
    """Add a body's link and joints; ``shifts`` are the origins of the links' frames in those of the bodies, (3,) [m].

    A link has its origin on the axis of its last joint.
    """
    name = _name(model, body)
    numbers = [*range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body])]
    shift = model.jnt_pos[numbers[-1]].copy() if numbers else np.zeros(3)
    shifts[body] = shift
    tree.links[name] = Link(name, _inertia(model, body, shift), _parts(model, body, shift, tree.notes))
    if not body:
        return
    parent = int(model.body_parentid[body])
    above, at = _name(model, parent), _frame(model.body_pos[body] - shifts[parent], model.body_quat[body])
    if not numbers:
        tree.joints.append(Joint(f"{name}_fixed", "fixed", above, name, at))
    before = np.zeros(3)
    for number in numbers:
        child = name if number == numbers[-1] else f"{name}_{model.joint(number).name or number}"
        if child not in tree.links:
            tree.links[child] = Link(child)
        place = model.jnt_pos[number]
        origin = at @ _frame(place - before, np.array([1.0, 0, 0, 0]))
        tree.joints.append(_joint(model, number, above, child, origin))
        above, at, before = child, np.eye(4), place


def _joint(model: Any, number: int, parent: str, child: str, origin: Array) -> Joint:
    kind, axis = KINDS[int(model.jnt_type[number])], model.jnt_axis[number].copy()
    limits: dict[str, float] = {}
    if kind == "revolute":
        # MuJoCo turns by the difference from the reference angle.
        origin = origin @ rotation_about(axis, -float(model.qpos0[model.jnt_qposadr[number]]))
        dof = model.jnt_dofadr[number]
        given = {"damping_n_m_s_rad": model.dof_damping, "friction_n_m": model.dof_frictionloss}
        given["rotor_inertia_kg_m2"] = model.dof_armature
        limits = {key: float(np.ravel(values[dof])[0]) for key, values in given.items()}
        limits["effort_n_m"] = _effort(model, number)
        if model.jnt_limited[number]:
            limits["lower_rad"], limits["upper_rad"] = map(float, model.jnt_range[number])
        else:
            kind = "continuous"
    return Joint(model.joint(number).name or f"joint{number}", kind, parent, child, origin, axis, limits)


def _effort(model: Any, number: int) -> float:
    """Largest torque of a joint: its own limit, or that of its actuator; 0 if there is none."""
    if model.jnt_actfrclimited[number]:
        return float(np.abs(model.jnt_actfrcrange[number]).max())
    for i in range(model.nu):
        if model.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_JOINT and model.actuator_trnid[i, 0] == number:
            gear = abs(float(model.actuator_gear[i, 0]))
            if model.actuator_forcelimited[i]:
                return gear * float(np.abs(model.actuator_forcerange[i]).max())
            if model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE and model.actuator_ctrllimited[i]:
                return gear * float(np.abs(model.actuator_ctrlrange[i]).max() * model.actuator_gainprm[i, 0])
    return 0.0


def _inertia(model: Any, body: int, shift: Array) -> Inertia | None:
    mass_kg = float(model.body_mass[body])
    if mass_kg <= 0:
        return None
    turn = rotation_of(model.body_iquat[body])
    tensor = turn @ np.diag(model.body_inertia[body]) @ turn.T
    return Inertia(mass_kg, model.body_ipos[body] - shift, tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])


def _parts(model: Any, body: int, shift: Array, notes: list[Note]) -> list[Part]:
    """Shapes of a body that touch others; all of its shapes if none of them does."""
    geoms = [*range(model.body_geomadr[body], model.body_geomadr[body] + model.body_geomnum[body])]
    touching = [i for i in geoms if model.geom_contype[i] or model.geom_conaffinity[i]]
    parts = [part for i in touching or geoms if (part := _part(model, i, shift)) is not None]
    if parts and not touching:
        name = _name(model, body)
        notes.append(Note("capsules", f"{name} has no shape that touches others: its visual ones are used", link=name))
    return parts


def _part(model: Any, geom: int, shift: Array) -> Part | None:
    size, kind = model.geom_size[geom], mujoco.mjtGeom(int(model.geom_type[geom]))
    frame = _frame(model.geom_pos[geom] - shift, model.geom_quat[geom])
    if kind in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE):
        half = np.array([0.0, 0.0, size[1] if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0])
        return Part(meshes.placed(meshes.segment(-half, half), frame), float(size[0]))
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, face = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(np.float64)
        return Part(meshes.placed(vertices[model.mesh_face[face : face + model.mesh_facenum[mesh]]], frame))
    triangles = {
        mujoco.mjtGeom.mjGEOM_BOX: lambda: meshes.box(2 * size),
        mujoco.mjtGeom.mjGEOM_CYLINDER: lambda: meshes.cylinder(float(size[0]), 2 * float(size[1])),
        mujoco.mjtGeom.mjGEOM_ELLIPSOID: lambda: meshes.ellipsoid(size),
    }.get(kind)
    return None if triangles is None else Part(meshes.placed(triangles(), frame))
