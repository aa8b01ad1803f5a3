"""MuJoCo model of Sawyer on its pedestal at a table, generated from `sawyer.yaml` and `sawyer_facts.json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tdm_ros.robots import geometry, sawyer
from tdm_ros.robots.capsules import CAPSULES
from tdm_ros.robots.geometry import TABLE_FAR_M, TABLE_HALF_WIDTH_M, TABLE_NEAR_M, Shape, text

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


VISUALS = {link: _geoms(geoms) for link, geoms in geometry.VISUAL_GEOMS.items()}
"""Visible geoms of each link, in its frame."""

SURROUNDINGS = (
    '<light type="directional" pos="1 -1 3" dir="-.35 .35 -1" diffuse=".5 .5 .5" specular=".3 .3 .3"/>'
    + '<light type="directional" dir="-.6 -.7 -.6" diffuse=".25 .25 .27" castshadow="false"/>'
    + _geoms([Shape("plane", (5, 5, 0.1), (0, 0, -0.912), material="tiles")])
    + _geoms(geometry.TABLE_GEOMS + geometry.PEDESTAL_GEOMS)
)


TIMESTEP_S = 0.002
VELOCITY_GROUP, TORQUE_GROUP = 1, 2
"""Actuator groups: one is disabled while the other is in use."""

# Contact bits (contype, conaffinity). Body and static objects touch the moving links; the wrist also
# touches the upper arm. Neighbouring links overlap by construction, so those of a group never touch.
_BITS = {"static": (5, 0), "body": (1, 0), "upper": (2, 4), "elbow": (0, 1), "wrist": (0, 3)}
_OVERLAPPING = (("right_l1", "right_l3"),)


def sawyer_xml(damping_factor: float = 1.0, friction_factor: float = 1.0) -> str:
    """MJCF text of the model, with factors of the vendor's joint damping and dry friction."""
    chain = _body("right_l6", _site(sawyer.joint_above("right_hand")), damping_factor, friction_factor)
    for i in reversed(range(6)):
        inner = chain + (_body("head", "", 0, 0) if i == 0 else "")
        chain = _body(f"right_l{i}", inner, damping_factor, friction_factor)
    excludes = "".join(f'<exclude body1="{a}" body2="{b}"/>' for a, b in _OVERLAPPING)
    return f"""<mujoco model="sawyer">
<compiler angle="radian" eulerseq="XYZ" autolimits="true"/>
<option timestep="{TIMESTEP_S}" integrator="implicitfast"/>
<visual><global offwidth="1280" offheight="960"/><quality shadowsize="4096" offsamples="8"/>
<headlight ambient=".35 .35 .35" diffuse=".45 .45 .45" specular=".1 .1 .1"/>
<map znear=".02" zfar="30" shadowclip="1.6"/></visual>
<asset>{MATERIALS}</asset>
<worldbody>{SURROUNDINGS}{_static_shapes()}{_shapes("right_arm_base_link")}{chain}</worldbody>
<contact>{excludes}</contact>
<actuator>{_actuators()}</actuator>
</mujoco>"""


def _body(name: str, inner: str, damping_factor: float, friction_factor: float) -> str:
    """Link with its joint, inertia, shapes and children."""
    joint, facts = sawyer.joint_above(name), sawyer.link(name)
    inertia = " ".join(facts["inertia"][k] for k in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    hinge = _hinge(joint["name"], damping_factor, friction_factor) if joint["name"] in sawyer.JOINT_NAMES else ""
    return f"""
<body name="{name}" pos="{joint["xyz"]}" euler="{joint["rpy"]}" gravcomp="1">{hinge}
<inertial pos="{facts["com"]}" mass="{facts["mass"]}" fullinertia="{inertia}"/>{_shapes(name)}{inner}</body>"""


def _hinge(name: str, damping_factor: float, friction_factor: float) -> str:
    i = sawyer.JOINT_NAMES.index(name)
    return (
        f'<joint name="{name}" axis="0 0 1" range="{sawyer.Q_LOWER_RAD[i]} {sawyer.Q_UPPER_RAD[i]}"'
        f' damping="{sawyer.DAMPING_N_M_S_RAD[i] * damping_factor:g}"'
        f' frictionloss="{sawyer.FRICTION_N_M[i] * friction_factor:g}"'
        f' armature="{sawyer.ROTOR_INERTIA_KG_M2[i]:g}"/>'
    )


def _site(joint: dict[str, Any]) -> str:
    return f'<site name="right_hand" pos="{joint["xyz"]}" euler="{joint["rpy"]}" size=".005" group="4"/>'


def _shapes(link: str) -> str:
    """Collision capsules (hidden, group 3) and visible geoms (group 2) of a link."""
    capsules = (
        f'<geom type="capsule" size="{c.radius_m}" fromto="{_text(c.ends_m)}" {_contact(c.group)}/>'
        for c in CAPSULES.get(link, ())
    )
    return "".join(capsules) + VISUALS.get(link, "")


def _text(numbers: tuple[float, ...]) -> str:
    return " ".join(map(str, numbers))


def _contact(group: str) -> str:
    contype, conaffinity = _BITS[group]
    return f'contype="{contype}" conaffinity="{conaffinity}" condim="1" group="3"'


def _static_shapes() -> str:
    """Collision shapes of the static objects: pedestal, table top and floor."""
    middle, half = (TABLE_FAR_M + TABLE_NEAR_M) / 2, (TABLE_FAR_M - TABLE_NEAR_M) / 2
    table = f'pos="{middle:g} 0 -.1" size="{half:g} {TABLE_HALF_WIDTH_M} .1"'
    return f"""
<geom name="table" type="box" {table} {_contact("static")}/>
<geom name="pedestal" type="capsule" fromto="-.02 0 -.6 -.02 0 -.16" size=".18" {_contact("static")}/>
<geom name="floor" type="plane" pos="0 0 -.913" size="3 3 .1" {_contact("static")}/>"""


def _actuators() -> str:
    """Velocity servo and motor of each joint; a servo reaches its full effort at an error of 0.5 rad/s."""
    servos = (
        f'<velocity name="{n}_velocity" joint="{n}" group="{VELOCITY_GROUP}" kv="{2 * e:g}" forcerange="{-e:g} {e:g}"/>'
        for n, e in zip(sawyer.JOINT_NAMES, sawyer.EFFORT_MAX_N_M, strict=True)
    )
    motors = (
        f'<motor name="{n}_torque" joint="{n}" group="{TORQUE_GROUP}" forcerange="{-e:g} {e:g}"/>'
        for n, e in zip(sawyer.JOINT_NAMES, sawyer.EFFORT_MAX_N_M, strict=True)
    )
    return "".join(servos) + "".join(motors)
