"""URDF of an arm, for robot_state_publisher, RViz and every tool that reads URDF."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from typing import Any

import numpy as np

from tdm_ros.robots import sawyer
from tdm_ros.robots.description import Array, Robot
from tdm_ros.robots.geometry import MATERIAL_OF, MATERIALS, Shape, Triple, between, collisions, numbers, text, visuals
from tdm_ros.robots.kinematics import joint_frames, joint_links, rotation_from_rpy

WRITTEN_BY = (
    "Written by `python -m tdm_ros.envs.description` from config/robots/sawyer.yaml and tdm_ros/robots: change those."
)
INERTIA = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")


def pose(shape: Shape) -> tuple[str, str]:
    """Position and roll, pitch, yaw of a shape."""
    return text(shape.position_m), text(shape.rpy_rad)


def written_for(robot: Robot) -> str:
    """Comment on the origin of a generated file of a robot."""
    if robot is sawyer.SAWYER:
        return WRITTEN_BY
    return f"Written by tdm_ros from the description of {robot.name.replace('--', '-')}: change that."


def laid_out(xml: str, comment: str = WRITTEN_BY) -> str:
    """Indented XML with a comment on its origin. Raises xml.etree.ElementTree.ParseError if it is not well-formed."""
    root = ElementTree.fromstring(xml)
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n<!-- {comment} -->\n{ElementTree.tostring(root, encoding="unicode")}\n'


def robot_urdf(robot: Robot) -> str:
    """URDF text of an arm: base, links, hand, collision capsules as cylinders and spheres; Sawyer's: `sawyer_urdf`."""
    if robot is sawyer.SAWYER:
        return sawyer_urdf()
    frames = joint_frames(np.zeros(len(robot.joint_names)), robot)
    names = [robot.base_frame, *(child for _, child in joint_links(robot).values())]
    links = (_robot_link(robot, name) for name in names)
    joints = (_robot_joint(robot, name, *ends, frames[name]) for name, ends in joint_links(robot).items())
    return laid_out(
        f'<robot name="{robot.name}">{_materials()}{"".join([*links, *joints])}</robot>', written_for(robot)
    )


def _materials() -> str:
    colours = {name: text(numbers(looks["rgba"])) for name, looks in MATERIALS.items()}
    return "".join(f'<material name="{name}"><color rgba="{rgba}"/></material>' for name, rgba in colours.items())


def _robot_link(robot: Robot, name: str) -> str:
    inner = ""
    if name in robot.links:
        mass_kg, com_m, (ixx, iyy, izz, ixy, ixz, iyz) = robot.links[name]
        moments = dict(zip(INERTIA, (ixx, ixy, ixz, iyy, iyz, izz), strict=True))
        inertia = " ".join(f'{key}="{value:g}"' for key, value in moments.items())
        origin = f'<origin xyz="{text(tuple(com_m))}" rpy="0 0 0"/>'
        inner = f'<inertial>{origin}<mass value="{mass_kg:g}"/><inertia {inertia}/></inertial>'
    capsules = [capsule for capsule in robot.capsules if capsule.link == name]
    for tag in ("visual", "collision"):
        for capsule in capsules:
            material = MATERIAL_OF.get(capsule.group, "grey")
            shape = between("capsule", capsule.radius_m, capsule.ends_m, material)
            inner += "".join(_shape(tag, part) for part in plain(shape))
    return f'<link name="{name}">{inner}</link>'


def _robot_joint(robot: Robot, name: str, parent: str, child: str, frame: Array) -> str:
    moves = name in robot.joint_names
    i = robot.joint_names.index(name) if moves else 0
    matrix = robot.origins[i] if moves else frame
    place = f'xyz="{exact(matrix[:3, 3])}" rpy="{exact(rpy_of(matrix[:3, :3]))}"'
    inner = f'<parent link="{parent}"/><child link="{child}"/><origin {place}/>'
    if not moves:
        return f'<joint name="{name}" type="fixed">{inner}</joint>'
    limits = f'lower="{robot.lower_rad[i]:.10g}" upper="{robot.upper_rad[i]:.10g}"'
    limits += f' effort="{robot.effort_n_m[i]:g}" velocity="{robot.velocity_rad_s[i]:.10g}"'
    dynamics = f'damping="{robot.damping_n_m_s_rad[i]:g}" friction="{robot.friction_n_m[i]:g}"'
    inner += f'<axis xyz="{exact(robot.axes[i])}"/><limit {limits}/><dynamics {dynamics}/>'
    return f'<joint name="{name}" type="revolute">{inner}</joint>'


def exact(numbers: Iterable[float]) -> str:
    """Space-separated text of numbers, to twelve digits."""
    return " ".join(f"{number + 0.0:.12g}" for number in numbers)


def rpy_of(rotation: Array) -> tuple[float, float, float]:
    """Roll, pitch, yaw about fixed x, y, z of a rotation matrix, (3, 3): inverse of `rotation_from_rpy` [rad]."""
    flat = float(np.hypot(rotation[0, 0], rotation[1, 0]))
    pitch = float(np.arctan2(-rotation[2, 0], flat))
    if flat < 1e-9:  # roll and yaw turn about one axis: all of it is roll
        return float(np.arctan2(-rotation[1, 2], rotation[1, 1])), pitch, 0.0
    roll, yaw = np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[0, 0])
    return float(roll), pitch, float(yaw)


def sawyer_urdf() -> str:
    """URDF text of all links of the vendor's table, with frame base as the root, and the seven joints of the arm.

    The head is fixed as in simulation: no node publishes its angle, and RViz needs one for each joint.
    """
    links = (_link(entry) for entry in sawyer.facts()["links"])
    joints = (_joint(entry) for entry in sawyer.facts()["joints"])
    return laid_out(f'<robot name="sawyer">{_materials()}{"".join([*links, *joints])}</robot>')


def _link(entry: dict[str, Any]) -> str:
    name = entry["name"]
    inner = ""
    if "mass" in entry:
        inertia = " ".join(f'{key}="{entry["inertia"][key]}"' for key in INERTIA)
        origin = f'<origin xyz="{entry["com"]}" rpy="0 0 0"/>'
        inner = f'<inertial>{origin}<mass value="{entry["mass"]}"/><inertia {inertia}/></inertial>'
    inner += "".join(_shape("visual", part) for shape in visuals(name) for part in plain(shape))
    inner += "".join(_shape("collision", part) for shape in collisions(name) for part in plain(shape))
    return f'<link name="{name}">{inner}</link>'


def _joint(entry: dict[str, Any]) -> str:
    name = entry["name"]
    inner = f'<parent link="{entry["parent"]}"/><child link="{entry["child"]}"/>'
    inner += f'<origin xyz="{entry["xyz"]}" rpy="{entry["rpy"]}"/>'
    if name not in sawyer.JOINT_NAMES:
        return f'<joint name="{name}" type="fixed">{inner}</joint>'
    i = sawyer.JOINT_NAMES.index(name)
    limits = f'lower="{sawyer.Q_LOWER_RAD[i]:g}" upper="{sawyer.Q_UPPER_RAD[i]:g}"'
    limits += f' effort="{sawyer.EFFORT_MAX_N_M[i]:g}" velocity="{sawyer.QD_MAX_RAD_S[i]:g}"'
    dynamics = f'damping="{sawyer.DAMPING_N_M_S_RAD[i]:g}" friction="{sawyer.FRICTION_N_M[i]:g}"'
    inner += f'<axis xyz="0 0 1"/><limit {limits}/><dynamics {dynamics}/>'
    return f'<joint name="{name}" type="revolute">{inner}</joint>'


def _shape(tag: str, shape: Shape) -> str:
    xyz, rpy = pose(shape)
    size = text(shape.size_m)
    if shape.kind == "box":
        geometry = f'<box size="{size}"/>'
    elif shape.kind == "sphere":
        geometry = f'<sphere radius="{size}"/>'
    else:
        radius, length = size.split()
        geometry = f'<cylinder radius="{radius}" length="{length}"/>'
    material = f'<material name="{shape.material}"/>' if tag == "visual" else ""
    return f'<{tag}><origin xyz="{xyz}" rpy="{rpy}"/><geometry>{geometry}</geometry>{material}</{tag}>'


def plain(shape: Shape) -> list[Shape]:
    """Boxes, cylinders and spheres that replace a shape in URDF.

    A capsule becomes a cylinder and two spheres; an ellipsoid (the thin head) becomes a plate with round ends.
    """
    if shape.kind == "capsule":
        radius, length = shape.size_m
        ends = [_moved(shape, (0, 0, end), "sphere", (radius,)) for end in (-length / 2, length / 2)]
        return [shape._replace(kind="cylinder"), *ends]
    if shape.kind == "ellipsoid":
        thin, wide, high = shape.size_m
        aside = wide - high
        disc = shape._replace(rpy_rad=(0.0, np.pi / 2, 0.0), kind="cylinder", size_m=(high, thin))
        discs = [_moved(disc, (0, y, 0), "cylinder", disc.size_m) for y in (-aside, aside)]
        return [shape._replace(kind="box", size_m=(thin, 2 * aside, 2 * high)), *discs]
    return [shape]


def _moved(shape: Shape, offset_m: Triple, kind: str, size_m: tuple[float, ...]) -> Shape:
    """Shape with an offset in this one's frame."""
    x, y, z = map(float, np.add(shape.position_m, rotation_from_rpy(shape.rpy_rad) @ offset_m))
    return shape._replace(kind=kind, size_m=size_m, position_m=(x, y, z))
