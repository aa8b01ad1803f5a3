"""SDF model of an arm, generated from its description, for Gazebo Harmonic and later."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tdm_ros.robots import sawyer
from tdm_ros.robots.arm import Actuation, actuations
from tdm_ros.robots.description import Array, Robot
from tdm_ros.robots.gazebo import model_name, start_rad
from tdm_ros.robots.geometry import MATERIAL_OF, Shape, between
from tdm_ros.robots.kinematics import joint_links
from tdm_ros.robots.sawyer_sdf import sawyer_model
from tdm_ros.robots.sdf_parts import SDF_VERSION, shapes, systems
from tdm_ros.robots.urdf import INERTIA, exact, laid_out, rpy_of, written_for

UNTOUCHED = "<contact><collide_bitmask>2</collide_bitmask></contact>"
"""Surface of base and shoulder: as in MuJoCo they touch the object, and not the table that the arm stands on."""


def robot_sdf(robot: Robot, actuation: str = "velocity") -> str:
    """SDF 1.9 text of the model alone. Raises KeyError if the actuation is unknown."""
    return laid_out(f'<sdf version="{SDF_VERSION}">{robot_model(robot, actuation)}</sdf>', written_for(robot))


def robot_model(robot: Robot, actuation: str = "velocity", tool: Iterable[Shape] = ()) -> str:
    """Element `model` of an arm; that of Sawyer has all links of the vendor, and the fork if there is a ``tool``.

    The joints are at 0 in the posture `start_rad`. Links with a mass are links, the others frames: SDF assumes 1 kg for
    a link without a mass. Gravity is off, as with the robot's compensation; there is no self-collision, which the
    limiter prevents. ``tool`` is fixed to the last link. Raises ValueError if the description cannot be a world.
    """
    tool = [*tool]
    if robot is sawyer.SAWYER:
        return sawyer_model(actuation, fork=bool(tool))
    rotors = actuations(robot)[actuation].mode == "torque"
    tree = {child: (name, parent) for name, (parent, child) in joint_links(robot).items()}
    solid = [robot.base_frame, *(name for name in tree if name in robot.links)]
    links = "".join(_link(robot, name, tree, rotors, tool if name == robot.link_names[-1] else []) for name in solid)
    joints = "".join(_joint(robot, child, *ends, actuations(robot)[actuation]) for child, ends in tree.items())
    base = f"<parent>world</parent><child>{_named(robot, robot.base_frame)}</child>"
    world = f'<joint name="world_to_base" type="fixed">{base}</joint>'
    inner = f"<self_collide>false</self_collide>{links}{world}{joints}{systems(robot, actuation)}"
    return f'<model name="{model_name(robot)}">{inner}</model>'


def _named(robot: Robot, link: str) -> str:
    """Name of a link in SDF, where it must differ from the joints' names and from that of the world."""
    return f"{link}_link" if link in (*robot.joint_names, "world") else link


def _frame(robot: Robot, child: str) -> Array:
    """Transform of a link in its parent, (4, 4), in the posture at the start."""
    if child == robot.hand_frame:
        return robot.hand
    if child in robot.fixed_links:
        return robot.fixed_links[child][1]
    i = robot.link_names.index(child)
    constant, cosine, sine = (turn[i] for turn in robot.turns)
    angle = start_rad(robot)[i]
    return np.asarray(robot.origins[i] @ (constant + np.cos(angle) * cosine + np.sin(angle) * sine))


def _pose(frame: Array) -> str:
    return f"{exact(frame[:3, 3])} {exact(rpy_of(frame[:3, :3]))}"


def _link(robot: Robot, name: str, tree: dict[str, tuple[str, str]], rotors: bool, tool: list[Shape]) -> str:
    """Link with its inertia, and the capsules of it and of the links without a mass that are fixed to it."""
    inner = ""
    if name in tree:
        inner = f'<pose relative_to="{_named(robot, tree[name][1])}">{_pose(_frame(robot, name))}</pose>'
    if name in robot.links:
        mass_kg, com_m, given = robot.links[name]
        moments = dict(
            zip(("ixx", "iyy", "izz", "ixy", "ixz", "iyz"), given + rotors * _rotor(robot, name), strict=True)
        )
        inertia = "".join(f"<{key}>{moments[key]:.9g}</{key}>" for key in INERTIA)
        weight = f"<pose>{exact(com_m)} 0 0 0</pose><mass>{mass_kg:.9g}</mass><inertia>{inertia}</inertia>"
        inner += f"<inertial>{weight}</inertial>"
    free, bare = _capsules(robot, name)
    both = [*free, *bare]
    parts = shapes(name, [*free, *tool], [*both, *tool]) + shapes(f"{name}_near_base", bare, [], UNTOUCHED)
    return f'<link name="{_named(robot, name)}">{inner}<gravity>false</gravity>{parts}</link>'


def _rotor(robot: Robot, link: str) -> Array:
    """Moments, (6,), of the rotor of a link's joint as a thin disc about the joint's axis; see `sawyer_sdf`."""
    if link not in robot.link_names:
        return np.zeros(6)
    i = robot.link_names.index(link)
    axis, disc = robot.axes[i], robot.rotor_inertia_kg_m2[i]
    about = disc / 2 * (np.eye(3) + np.outer(axis, axis))
    return np.array([about[0, 0], about[1, 1], about[2, 2], about[0, 1], about[0, 2], about[1, 2]])


def _capsules(robot: Robot, link: str) -> tuple[list[Shape], list[Shape]]:
    """Capsules that a link carries, in its frame: those that may touch the table, and those near the base."""
    free: list[Shape] = []
    bare: list[Shape] = []
    for capsule in robot.capsules:
        name, frame = capsule.link, np.eye(4)
        while name not in (robot.base_frame, *robot.links):
            name, fixed = robot.fixed_links[name]
            frame = fixed @ frame
        if name == link:
            ends = np.reshape(capsule.ends_m, (2, 3)) @ frame[:3, :3].T + frame[:3, 3]
            material = MATERIAL_OF.get(capsule.group, "grey")
            shape = between("capsule", capsule.radius_m, tuple(ends.ravel().tolist()), material)
            (bare if capsule.group in ("static", "body") else free).append(shape)
    return free, bare


def _joint(robot: Robot, child: str, name: str, parent: str, actuation: Actuation) -> str:
    """Revolute joint of the arm, fixed joint of another link with a mass, or frame of a link without."""
    above, below = _named(robot, parent), _named(robot, child)
    if child not in robot.links:
        if child in (robot.base_frame, *robot.link_names):
            return ""  # the hand is the frame of a link
        return f'<frame name="{below}" attached_to="{above}"><pose>{_pose(_frame(robot, child))}</pose></frame>'
    ends = f"<parent>{above}</parent><child>{below}</child>"
    if child not in robot.link_names:
        return f'<joint name="{name}" type="fixed">{ends}</joint>'
    i = robot.joint_names.index(name)
    lower, upper = robot.lower_rad[i] - start_rad(robot)[i], robot.upper_rad[i] - start_rad(robot)[i]
    limit = f"<lower>{lower:.12g}</lower><upper>{upper:.12g}</upper>"
    limit += f"<effort>{robot.effort_n_m[i]:g}</effort><velocity>{robot.velocity_rad_s[i]:.10g}</velocity>"
    damping = robot.damping_n_m_s_rad[i] * actuation.damping_factor
    friction = robot.friction_n_m[i] * actuation.friction_factor
    dynamics = f"<damping>{damping:g}</damping><friction>{friction:g}</friction>"
    axis = f"<axis><xyz>{exact(robot.axes[i])}</xyz><limit>{limit}</limit><dynamics>{dynamics}</dynamics></axis>"
    return f'<joint name="{name}" type="revolute">{ends}{axis}</joint>'
