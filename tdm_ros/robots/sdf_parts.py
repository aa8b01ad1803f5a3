"""Parts of SDF models and worlds: systems, shapes and colours."""

from __future__ import annotations

from collections.abc import Iterable

from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import Robot
from tdm_ros.robots.gazebo import command_topics, joint_states_topic
from tdm_ros.robots.geometry import MATERIALS, Shape, numbers, text
from tdm_ros.robots.urdf import pose

SDF_VERSION = "1.9"


def systems(robot: Robot, actuation: str) -> str:
    """Gazebo systems that publish the joint states and drive the joints. Commands never time out there."""
    names = "".join(f"<joint_name>{name}</joint_name>" for name in robot.joint_names)
    states = f"<topic>{joint_states_topic(robot)}</topic>{names}"
    made = [system("joint-state-publisher", "JointStatePublisher", states)]
    by_torque = actuations(robot)[actuation].mode == "torque"
    for name, topic in zip(robot.joint_names, command_topics(robot, by_torque), strict=True):
        joint = f"<joint_name>{name}</joint_name>"
        if by_torque:
            made.append(system("apply-joint-force", "ApplyJointForce", joint))
        else:
            joint += f"<topic>{topic}</topic><initial_velocity>0</initial_velocity>"
            made.append(system("joint-controller", "JointController", joint))
    return "".join(made)


def system(file: str, name: str, inner: str = "") -> str:
    """Element of a Gazebo system with its settings."""
    return f'<plugin filename="gz-sim-{file}-system" name="gz::sim::systems::{name}">{inner}</plugin>'


def shapes(link: str, touched: Iterable[Shape], drawn: Iterable[Shape], surface: str = "") -> str:
    """Collisions and visuals of a link; ``surface`` is the content of each collision's surface."""
    outside = f"<surface>{surface}</surface>" if surface else ""
    return "".join(
        [
            *(_placed("collision", f"{link}_collision_{i}", shape, outside) for i, shape in enumerate(touched)),
            *(_placed("visual", f"{link}_visual_{i}", shape, _material(shape)) for i, shape in enumerate(drawn)),
        ]
    )


def _placed(tag: str, name: str, shape: Shape, inner: str) -> str:
    where = f"<pose>{' '.join(pose(shape))}</pose>"
    return f'<{tag} name="{name}">{where}<geometry>{_geometry(shape)}</geometry>{inner}</{tag}>'


def _geometry(shape: Shape) -> str:
    size = text(shape.size_m)
    if shape.kind == "box":
        inner = f"<size>{size}</size>"
    elif shape.kind == "ellipsoid":
        inner = f"<radii>{size}</radii>"
    elif shape.kind == "sphere":
        inner = f"<radius>{size}</radius>"
    else:
        radius, length = size.split()
        inner = f"<radius>{radius}</radius><length>{length}</length>"
    return f"<{shape.kind}>{inner}</{shape.kind}>"


def _material(shape: Shape) -> str:
    looks = MATERIALS[shape.material]
    red, green, blue, alpha = numbers(looks["rgba"])
    shine, glow = float(looks.get("specular", 0)), float(looks.get("emission", 0))
    return coloured((red, green, blue, alpha), shine, glow)


def coloured(rgba: tuple[float, float, float, float], shine: float = 0.0, glow: float = 0.0) -> str:
    """Material of one colour."""
    rgb, alpha = rgba[:3], rgba[3]
    parts = {"ambient": rgb, "diffuse": rgb, "specular": (shine,) * 3, "emissive": tuple(glow * part for part in rgb)}
    return f"<material>{''.join(f'<{key}>{text((*part, alpha))}</{key}>' for key, part in parts.items())}</material>"
