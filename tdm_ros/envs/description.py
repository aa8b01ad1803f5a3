"""Generated description files: URDF, Gazebo worlds, bridge configuration.

``python -m tdm_ros.envs.description`` writes them in the root of the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml

from tdm_ros.robots import geometry
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.geometry import TABLE_GEOMS, Shape, text
from tdm_ros.robots.sawyer import JOINT_NAMES
from tdm_ros.robots.sdf import JOINT_STATES, SDF_VERSION, coloured, command_topic, sawyer_model, shapes, system
from tdm_ros.robots.urdf import WRITTEN_BY, laid_out, sawyer_urdf
from tdm_ros.tasks import SAWYER_PUSH
from tdm_ros.tasks.scenes import SCENES

WORLD = "tdm_sawyer"
STEP_S = 0.001
GAZEBO_SCENES = (*SCENES, "push")
"""Scenes of the planner, and that of the task `sawyer_push`."""

PUCK_START_M = (0.57, 0.0)
"""Centre of the task's starts. The puck's joints report the offset from it."""
PUCK_STATES = "/puck/joint_states"

_PUCK_BIT, _TABLE_BIT = 2, 1
"""The puck collides with the robot, whose bits are all set, and not with the table below it; as in MuJoCo."""


def world_sdf(scene: str = "open", actuation: str = "velocity") -> str:
    """SDF 1.9 text of a world of `GAZEBO_SCENES`. Its frame is the robot's frame base; the floor is below.

    Raises ValueError if the scene is unknown, KeyError if the actuation is.
    """
    if scene not in GAZEBO_SCENES:
        raise ValueError(f"scene must be one of {', '.join(GAZEBO_SCENES)}, got {scene!r}")
    if scene == "push":
        beside = _puck() + _target()
    else:
        beside = "".join(_kept_out(i, low, high) for i, (low, high) in enumerate(SCENES[scene].boxes_m))
    inner = _physics() + _light() + _floor() + _table() + sawyer_model(actuation, fork=scene == "push") + beside
    return laid_out(f'<sdf version="{SDF_VERSION}"><world name="{WORLD}">{inner}</world></sdf>')


def _physics() -> str:
    """Step size, and no gravity: the arm compensates its own, and Gazebo before gz-sim 8.6 has no option per link."""
    step = f"<max_step_size>{STEP_S}</max_step_size><real_time_factor>1</real_time_factor>"
    systems = {"physics": "Physics", "user-commands": "UserCommands", "scene-broadcaster": "SceneBroadcaster"}
    physics = f'<gravity>0 0 0</gravity><physics name="1ms" type="ignored">{step}</physics>'
    return physics + "".join(system(*pair) for pair in systems.items())


def _light() -> str:
    sky = "<scene><ambient>0.5 0.5 0.5 1</ambient><background>0.85 0.88 0.92 1</background></scene>"
    sun = "<pose>1 -1 3 0 0 0</pose><direction>-0.35 0.35 -1</direction><cast_shadows>true</cast_shadows>"
    colours = "<diffuse>0.8 0.8 0.8 1</diffuse><specular>0.2 0.2 0.2 1</specular>"
    return f'{sky}<light name="sun" type="directional">{sun}{colours}</light>'


def _static(name: str, inner: str) -> str:
    return f'<model name="{name}"><static>true</static><link name="{name}">{inner}</link></model>'


def _floor() -> str:
    plane = "<geometry><plane><normal>0 0 1</normal><size>10 10</size></plane></geometry>"
    where, material = f"<pose>0 0 {geometry.FLOOR_M} 0 0 0</pose>", coloured((0.6, 0.6, 0.65, 1.0))
    seen_and_touched = f'<collision name="plane">{plane}</collision><visual name="tiles">{plane}{material}</visual>'
    return f'<model name="floor"><static>true</static>{where}<link name="floor">{seen_and_touched}</link></model>'


def _table() -> str:
    near, far, half_width = geometry.TABLE_NEAR_M, geometry.TABLE_FAR_M, geometry.TABLE_HALF_WIDTH_M
    top = Shape("box", (far - near, 2 * half_width, 0.2), ((near + far) / 2, 0.0, -0.1))
    return _static("table", shapes("table", [top], TABLE_GEOMS, _touching(_TABLE_BIT)))


def _touching(bit: int, rough: bool = True) -> str:
    """Collision bits: shapes with a common bit collide. MuJoCo's contacts with the puck have no friction."""
    smooth = "" if rough else "<friction><ode><mu>0</mu><mu2>0</mu2></ode></friction>"
    return f"<contact><collide_bitmask>{bit}</collide_bitmask></contact>{smooth}"


def _kept_out(number: int, low_m: np.ndarray, high_m: np.ndarray) -> str:
    """Visible keep-out box of a scene. Nothing collides with it, as in MuJoCo."""
    middle, sides = (low_m + high_m) / 2, high_m - low_m
    box = f"<geometry><box><size>{text(tuple(sides))}</size></box></geometry>"
    look = f"<pose>{text(tuple(middle))} 0 0 0</pose>{box}<transparency>0.6</transparency>"
    name = f"keep_out_{number}"
    return _static(name, f'<visual name="{name}">{look}{coloured((0.35, 0.45, 0.65, 1.0))}</visual>')


def _puck() -> str:
    """Puck that slides along x and y and cannot tip, with MuJoCo's dry friction and damping."""
    mass, radius, height = geometry.PUCK_MASS_KG, geometry.PUCK_RADIUS_M, 2 * geometry.PUCK_HALF_HEIGHT_M
    across, about = mass * (3 * radius**2 + height**2) / 12, mass * radius**2 / 2
    disc = Shape("cylinder", (radius, height))
    body = _inertial(mass, across, about) + shapes("puck", [disc], [], _touching(_PUCK_BIT, rough=False))
    cylinder = f"<cylinder><radius>{radius}</radius><length>{height}</length></cylinder>"
    body += f'<visual name="puck"><geometry>{cylinder}</geometry>{coloured(geometry.PUCK_RGBA)}</visual>'
    links = f'<link name="slide">{_inertial(0.001, 1e-6, 1e-6)}</link><link name="puck">{body}</link>'
    joints = _slide("puck_x", "world", "slide", "1 0 0") + _slide("puck_y", "slide", "puck", "0 1 0")
    start = f"<pose>{text((*PUCK_START_M, geometry.PUCK_HALF_HEIGHT_M))} 0 0 0</pose>"
    states = system("joint-state-publisher", "JointStatePublisher", f"<topic>{PUCK_STATES}</topic>")
    return f'<model name="puck">{start}{links}{joints}{states}</model>'


def _inertial(mass_kg: float, across: float, about: float) -> str:
    """Mass, and moments of inertia across and about z [kg m²]."""
    moments = f"<ixx>{across:.6g}</ixx><iyy>{across:.6g}</iyy><izz>{about:.6g}</izz>"
    products = "<ixy>0</ixy><ixz>0</ixz><iyz>0</iyz>"
    return f"<inertial><mass>{mass_kg}</mass><inertia>{moments}{products}</inertia></inertial>"


def _slide(name: str, parent: str, child: str, axis: str) -> str:
    drag = f"<damping>{geometry.PUCK_DAMPING_N_S_M}</damping><friction>{geometry.PUCK_FRICTION_N}</friction>"
    along = f"<axis><xyz>{axis}</xyz><limit><lower>-2</lower><upper>2</upper></limit><dynamics>{drag}</dynamics></axis>"
    return f'<joint name="{name}" type="prismatic"><parent>{parent}</parent><child>{child}</child>{along}</joint>'


def _target() -> str:
    """Marker of the puck's target, initially in the middle of the targets; it is moved with Gazebo's set_pose."""
    x, y = np.add(SAWYER_PUSH.goal.low[2:], SAWYER_PUSH.goal.high[2:]) / 2
    disc = f"<cylinder><radius>{geometry.PUCK_RADIUS_M}</radius><length>0.002</length></cylinder>"
    look = f"<geometry>{disc}</geometry>{coloured((0.2, 0.7, 0.3, 1.0))}"
    where = f"<pose>{text((float(x), float(y), 0.001))} 0 0 0</pose>"
    link = f'<link name="target"><visual name="target">{look}</visual></link>'
    return f'<model name="target"><static>true</static>{where}{link}</model>'


_KEYS = ("ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "direction")
_STATES = ("sensor_msgs/msg/JointState", "gz.msgs.Model", "GZ_TO_ROS")
_NUMBER = ("std_msgs/msg/Float64", "gz.msgs.Double", "ROS_TO_GZ")


def bridge_yaml(actuation: str = "velocity") -> str:
    """`config_file` of ros_gz_bridge for the worlds of an actuation.

    All names are relative except that of the clock, which is fixed in ROS 2. Raises KeyError if the actuation is
    unknown.
    """
    command = "cmd_vel" if ACTUATIONS[actuation].mode == "velocity" else "cmd_force"
    entries = [
        ("/clock", "/clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock", "GZ_TO_ROS"),
        ("gz/joint_states", JOINT_STATES, *_STATES),
        ("gz/puck/joint_states", PUCK_STATES, *_STATES),
        *((f"gz/{name}/{command}", command_topic(name, actuation), *_NUMBER) for name in JOINT_NAMES),
    ]
    named = [dict(zip(_KEYS, one, strict=True)) for one in entries]
    return f"# {WRITTEN_BY}\n" + yaml.safe_dump(named, sort_keys=False)


_WORLDS = (("open", "velocity"), ("open", "torque"), ("wall", "velocity"), ("wall", "torque"), ("push", "velocity"))


def files() -> dict[str, str]:
    """Texts of all files by their path from the root of the repository."""
    return {
        "urdf/sawyer.urdf": sawyer_urdf(),
        "config/gz_bridge.yaml": bridge_yaml("velocity"),
        "config/gz_bridge_torque.yaml": bridge_yaml("torque"),
        **{world_file(scene, actuation): world_sdf(scene, actuation) for scene, actuation in _WORLDS},
    }


def world_file(scene: str, actuation: str) -> str:
    """Path of a world: worlds/sawyer_wall.sdf, worlds/sawyer_wall_torque.sdf."""
    return f"worlds/sawyer_{scene}{'' if actuation == 'velocity' else f'_{actuation}'}.sdf"


def write(root: Path) -> list[Path]:
    """Write all files below a folder; return their paths."""
    paths = []
    for name, content in files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        paths.append(path)
    return paths


def main() -> None:
    """Command line: write all files below a folder."""
    parser = argparse.ArgumentParser(description="Write URDF, worlds and the bridge's configuration.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to (default: here)")
    for path in write(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
