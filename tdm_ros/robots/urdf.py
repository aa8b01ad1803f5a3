"""URDF of Sawyer, for robot_state_publisher, RViz and every tool that reads URDF."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from tdm_ros.robots import sawyer
from tdm_ros.robots.geometry import MATERIALS, Shape, Triple, collisions, numbers, text, visuals
from tdm_ros.robots.kinematics import rotation_from_rpy

WRITTEN_BY = (
    "Written by `python -m tdm_ros.envs.description` from config/robots/sawyer.yaml and tdm_ros/robots: change those."
)
INERTIA = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")


def pose(shape: Shape) -> tuple[str, str]:
    """Position and roll, pitch, yaw of a shape."""
    return text(shape.position_m), text(shape.rpy_rad)


def laid_out(xml: str) -> str:
    """Indented XML with a comment on its origin. Raises xml.etree.ElementTree.ParseError if it is not well-formed."""
    root = ElementTree.fromstring(xml)
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n<!-- {WRITTEN_BY} -->\n{ElementTree.tostring(root, encoding="unicode")}\n'


def sawyer_urdf() -> str:
    """URDF text of all links of the vendor's table, with frame base as the root, and the seven joints of the arm.

    The head is fixed as in simulation: no node publishes its angle, and RViz needs one for each joint.
    """
    colours = {name: text(numbers(looks["rgba"])) for name, looks in MATERIALS.items()}
    materials = (f'<material name="{name}"><color rgba="{rgba}"/></material>' for name, rgba in colours.items())
    links = (_link(entry) for entry in sawyer.facts()["links"])
    joints = (_joint(entry) for entry in sawyer.facts()["joints"])
    return laid_out(f'<robot name="sawyer">{"".join([*materials, *links, *joints])}</robot>')


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
