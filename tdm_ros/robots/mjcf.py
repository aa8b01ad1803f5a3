"""MuJoCo model of an arm at a table, generated from its description."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tdm_ros.robots import geometry
from tdm_ros.robots.capsules import FREE
from tdm_ros.robots.description import Array, Capsule, Robot
from tdm_ros.robots.geometry import SHORT_M, Shape, text
from tdm_ros.robots.kinematics import quaternion_wxyz
from tdm_ros.robots.sawyer import SAWYER

MATERIALS = """
<texture type="skybox" builtin="gradient" rgb1=".95 .96 .98" rgb2=".66 .72 .79" width="64" height="64"/>
<texture name="tiles" type="2d" builtin="checker" rgb1=".6 .6 .65" rgb2=".56 .56 .6" width="64" height="64"/>
<material name="tiles" texture="tiles" texrepeat="10 10" specular=".1"/>""" + "".join(
    f'\n<material name="{name}" ' + " ".join(f'{key}="{value}"' for key, value in values.items()) + "/>"
    for name, values in geometry.MATERIALS.items()
)


def _geoms(shapes: Iterable[Shape]) -> str:
    """Visible geoms without contacts."""
    return "".join(f'\n<geom {_placed(shape)} contype="0" conaffinity="0" group="2"/>' for shape in shapes)


def _placed(shape: Shape) -> str:
    """Attributes of a geom; MuJoCo has half sides and half lengths."""
    half = {"box": (0.5,) * 3, "cylinder": (1, 0.5), "capsule": (1, 0.5)}.get(shape.kind, (1,) * 3)
    size = text(tuple(part * size for part, size in zip(half, shape.size_m, strict=False)))
    where = f'pos="{text(shape.position_m)}" euler="{text(shape.rpy_rad)}"'
    return f'type="{shape.kind}" material="{shape.material}" size="{size}" {where}'


def _surroundings(robot: Robot) -> str:
    """Lights, and what is seen around the arm."""
    return (
        '<light type="directional" pos="1 -1 3" dir="-.35 .35 -1" diffuse=".5 .5 .5" specular=".3 .3 .3"/>'
        + '<light type="directional" dir="-.6 -.7 -.6" diffuse=".25 .25 .27" castshadow="false"/>'
        + _geoms([Shape("plane", (5, 5, 0.1), (0, 0, -0.912), material="tiles")])
        + _geoms(geometry.surroundings(robot))
    )


TIMESTEP_S = 0.002
VELOCITY_GROUP, TORQUE_GROUP = 1, 2
"""Actuator groups: one is disabled while the other is in use."""

# Contact bits (contype, conaffinity). Body and static objects touch the moving links; the wrist also
# touches the upper arm. Neighbouring links overlap by construction, so those of a group never touch.
_BITS = {"static": (5, 0), "body": (1, 0), "upper": (2, 4), "elbow": (0, 1), "wrist": (0, 3)}


def robot_xml(robot: Robot = SAWYER, damping_factor: float = 1.0, friction_factor: float = 1.0) -> str:
    """MJCF text of the model, with factors of the description's joint damping and dry friction."""
    links = robot.link_names
    chain = _site(robot)
    for i in reversed(range(len(links))):
        chain = _link(robot, i, chain, damping_factor, friction_factor)
    near = [(a, b) for i, a in enumerate(links) for b in links[i + 2 : i + FREE]]
    excludes = "".join(f'<exclude body1="{a}" body2="{b}"/>' for a, b in near)
    return f"""<mujoco model="{robot.name}">
<compiler angle="radian" eulerseq="XYZ" autolimits="true"/>
<option timestep="{TIMESTEP_S}" integrator="implicitfast"/>
<visual><global offwidth="1280" offheight="960"/><quality shadowsize="4096" offsamples="8"/>
<headlight ambient=".35 .35 .35" diffuse=".45 .45 .45" specular=".1 .1 .1"/>
<map znear=".02" zfar="30" shadowclip="1.6"/></visual>
<asset>{MATERIALS}</asset>
<worldbody>{_surroundings(robot)}{_static_shapes(robot)}{_base_shapes(robot)}{chain}</worldbody>
<contact>{excludes}</contact>
<actuator>{_actuators(robot)}</actuator>
</mujoco>"""


def _link(robot: Robot, i: int, inner: str, damping_factor: float, friction_factor: float) -> str:
    """Link that a joint moves, with what is fixed to it, and the links after it."""
    name, axis = robot.link_names[i], robot.axes[i]
    hinge = (
        f'<joint name="{robot.joint_names[i]}" axis="{_text(axis)}" range="{robot.lower_rad[i]} {robot.upper_rad[i]}"'
        f' damping="{robot.damping_n_m_s_rad[i] * damping_factor:g}"'
        f' frictionloss="{robot.friction_n_m[i] * friction_factor:g}"'
        f' armature="{robot.rotor_inertia_kg_m2[i]:g}"/>'
    )
    return _body(robot, name, robot.origins[i], hinge, inner + _fixed(robot, name))


def _fixed(robot: Robot, parent: str) -> str:
    """Links that are fixed to a moving one, if they have a mass or shapes."""
    children = [(name, frame) for name, (above, frame) in robot.fixed_links.items() if above == parent]
    return "".join(_body(robot, name, frame, "", _fixed(robot, name)) for name, frame in children)


def _body(robot: Robot, name: str, frame: Array, hinge: str, inner: str) -> str:
    """Link with its joint, inertia, shapes and children."""
    inertial = ""
    if name in robot.links:
        mass_kg, com_m, moments = robot.links[name]
        inertial = f'<inertial pos="{_text(com_m)}" mass="{mass_kg}" fullinertia="{_text(moments)}"/>'
    shapes = "".join(_capsule(capsule) for capsule in robot.capsules if capsule.link == name)
    visible = _geoms(geometry.link_visuals(robot, name))
    return f"""
<body name="{name}" {_frame(frame)} gravcomp="1">{hinge}
{inertial}{shapes}{visible}{inner}</body>"""


def _frame(frame: Array) -> str:
    """Position and orientation of a transform, (4, 4)."""
    return f'pos="{_text(frame[:3, 3])}" quat="{_text(quaternion_wxyz(frame[:3, :3]))}"'


def _site(robot: Robot) -> str:
    return f'<site name="{robot.hand_frame}" {_frame(robot.hand)} size=".005" group="4"/>'


def _capsule(capsule: Capsule) -> str:
    """Collision capsule, hidden: group 3; a sphere where both ends are one point."""
    ends, contact = _text(capsule.ends_m), _contact(capsule.group)
    if np.allclose(capsule.ends_m[:3], capsule.ends_m[3:], rtol=0.0, atol=SHORT_M):
        return f'<geom type="sphere" size="{capsule.radius_m}" pos="{_text(capsule.ends_m[:3])}" {contact}/>'
    return f'<geom type="capsule" size="{capsule.radius_m}" fromto="{ends}" {contact}/>'


def _text(numbers: Iterable[float]) -> str:
    return " ".join(map(str, map(float, numbers)))


def _contact(group: str) -> str:
    contype, conaffinity = _BITS[group]
    return f'contype="{contype}" conaffinity="{conaffinity}" condim="1" group="3"'


def _base_shapes(robot: Robot) -> str:
    """Shapes of base and of what is fixed to it, in the base frame."""
    made = ""
    for name in (robot.base_frame, *robot.fixed_links):
        count, frame = robot.place(name)
        if count == 0:
            for capsule in (c for c in robot.capsules if c.link == name):
                ends = np.reshape(capsule.ends_m, (2, 3)) @ frame[:3, :3].T + frame[:3, 3]
                made += _capsule(capsule._replace(ends_m=tuple(ends.ravel().tolist())))
            made += _geoms(geometry.link_visuals(robot, name))
    return made


def _static_shapes(robot: Robot) -> str:
    """Collision shapes of table top and floor."""
    near_m, far_m, half_width_m = geometry.table_m(robot)
    middle, half = (far_m + near_m) / 2, (far_m - near_m) / 2
    table = f'pos="{middle:g} 0 -.1" size="{half:g} {half_width_m} .1"'
    return f"""
<geom name="table" type="box" {table} {_contact("static")}/>
<geom name="floor" type="plane" pos="0 0 {geometry.FLOOR_M}" size="3 3 .1" {_contact("static")}/>"""


def _actuators(robot: Robot) -> str:
    """Velocity servo and motor of each joint; a servo reaches its full effort at an error of 0.5 rad/s."""
    joints = list(zip(robot.joint_names, robot.effort_n_m.tolist(), strict=True))
    servos = (
        f'<velocity name="{n}_velocity" joint="{n}" group="{VELOCITY_GROUP}" kv="{2 * e:g}" forcerange="{-e:g} {e:g}"/>'
        for n, e in joints
    )
    motors = (
        f'<motor name="{n}_torque" joint="{n}" group="{TORQUE_GROUP}" forcerange="{-e:g} {e:g}"/>' for n, e in joints
    )
    return "".join(servos) + "".join(motors)
