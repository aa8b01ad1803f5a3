"""SDF model of Sawyer, with all links of the vendor, for Gazebo Harmonic and later."""

from __future__ import annotations

from typing import Any

from tdm_ros.robots import sawyer
from tdm_ros.robots.arm import ACTUATIONS, Actuation
from tdm_ros.robots.geometry import FORK_RADIUS_M, between, collisions, fork_bars_m, visuals
from tdm_ros.robots.sdf_parts import SDF_VERSION, shapes, systems
from tdm_ros.robots.urdf import INERTIA, laid_out

_ON_BASE = ("base", "controller_box", "pedestal_feet")
"""Links without mass at frame base: one link in SDF, welded to the world."""


def sawyer_sdf(actuation: str = "velocity", fork: bool = False) -> str:
    """SDF 1.9 text of the model alone, with the fork of the task `sawyer_push` on request.

    Raises KeyError if the actuation is unknown.
    """
    return laid_out(f'<sdf version="{SDF_VERSION}">{sawyer_model(actuation, fork)}</sdf>')


def sawyer_model(actuation: str = "velocity", fork: bool = False) -> str:
    """Element `model` of `sawyer_sdf`.

    Links with a mass are links, the others frames: SDF assumes 1 kg for a link without a mass. Gravity is off, as with
    the robot's compensation. Unlike in MuJoCo there is no self-collision, pedestal included; the limiter prevents it.
    SDF has no field for the inertia of rotors; see `_rotor`.
    """
    rotors = ACTUATIONS[actuation].mode == "torque"
    heavy = (entry for entry in sawyer.facts()["links"] if "mass" in entry or entry["name"] == "base")
    links = "".join(_link(entry, fork, rotors) for entry in heavy)
    joints = "".join(_joint(entry, ACTUATIONS[actuation]) for entry in sawyer.facts()["joints"])
    world = '<joint name="world_to_base" type="fixed"><parent>world</parent><child>base</child></joint>'
    inner = f"<self_collide>false</self_collide>{links}{world}{joints}{systems(sawyer.SAWYER, actuation)}"
    return f'<model name="sawyer">{inner}</model>'


def _link(entry: dict[str, Any], fork: bool, rotors: bool) -> str:
    name = entry["name"]
    above = next((joint for joint in sawyer.facts()["joints"] if joint["child"] == name), None)
    inner = f'<pose relative_to="{above["parent"]}">{above["xyz"]} {above["rpy"]}</pose>' if above else ""
    if "mass" in entry:
        moments = {**entry["inertia"], **(_rotor(entry) if rotors else {})}
        inertia = "".join(f"<{key}>{moments[key]}</{key}>" for key in INERTIA)
        weight = f"<pose>{entry['com']} 0 0 0</pose><mass>{entry['mass']}</mass><inertia>{inertia}</inertia>"
        inner += f"<inertial>{weight}</inertial>"
    inner += "<gravity>false</gravity>"
    names = _ON_BASE if name == "base" else (name,)
    touched = [shape for part in names for shape in collisions(part)]
    drawn = [shape for part in names for shape in visuals(part)]
    if fork and name == "right_l6":
        bars = [between("capsule", FORK_RADIUS_M, ends, "steel") for ends in fork_bars_m()]
        touched, drawn = touched + bars, drawn + bars
    return f'<link name="{name}">{inner}{shapes(name, touched, drawn)}</link>'


def _rotor(entry: dict[str, Any]) -> dict[str, str]:
    """Moments of inertia of a link with its joint's rotor as a thin disc about the joint's axis z.

    Without it the wrist has almost no inertia, and the dry friction of DART, Gazebo's engine, holds it against any
    torque of an action. The effective inertia is 0.7 to 1.4 times that in MuJoCo with these discs, less than 0.4 times
    without (mean over postures around neutral, other joints free).
    """
    if not entry["name"].startswith("right_l"):
        return {}
    disc = sawyer.ROTOR_INERTIA_KG_M2[int(entry["name"][-1])]
    about = {"ixx": disc / 2, "iyy": disc / 2, "izz": disc}
    return {key: f"{float(entry['inertia'][key]) + more:.9g}" for key, more in about.items()}


def _joint(entry: dict[str, Any], actuation: Actuation) -> str:
    """Revolute joint of the arm; fixed joint for other links with mass, such as the head; frame otherwise."""
    name, parent, child = entry["name"], entry["parent"], entry["child"]
    if not any("mass" in link for link in sawyer.facts()["links"] if link["name"] == child):
        return f'<frame name="{child}" attached_to="{parent}"><pose>{entry["xyz"]} {entry["rpy"]}</pose></frame>'
    ends = f"<parent>{parent}</parent><child>{child}</child>"
    if name not in sawyer.JOINT_NAMES:
        return f'<joint name="{name}" type="fixed">{ends}</joint>'
    i = sawyer.JOINT_NAMES.index(name)
    limit = f"<lower>{sawyer.Q_LOWER_RAD[i]:g}</lower><upper>{sawyer.Q_UPPER_RAD[i]:g}</upper>"
    limit += f"<effort>{sawyer.EFFORT_MAX_N_M[i]:g}</effort><velocity>{sawyer.QD_MAX_RAD_S[i]:g}</velocity>"
    damping, friction = (
        sawyer.DAMPING_N_M_S_RAD[i] * actuation.damping_factor,
        sawyer.FRICTION_N_M[i] * actuation.friction_factor,
    )
    dynamics = f"<damping>{damping:g}</damping><friction>{friction:g}</friction>"
    axis = f"<axis><xyz>0 0 1</xyz><limit>{limit}</limit><dynamics>{dynamics}</dynamics></axis>"
    return f'<joint name="{name}" type="revolute">{ends}{axis}</joint>'
