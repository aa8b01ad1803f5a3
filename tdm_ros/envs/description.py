"""Generated description files: URDF, Gazebo worlds, bridge configuration.

``python -m tdm_ros.envs.description`` writes them in the root of the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from tdm_ros.robots import geometry
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import Robot
from tdm_ros.robots.gazebo import (
    JOINT_STATES,
    command_topics,
    joint_states_topic,
    ros_command_topics,
    servo_n_m_s_rad,
    world_name,
)
from tdm_ros.robots.geometry import TABLE_GEOMS, Shape, between, text
from tdm_ros.robots.sawyer import SAWYER
from tdm_ros.robots.sdf import robot_model
from tdm_ros.robots.sdf_parts import SDF_VERSION, coloured, shapes, system
from tdm_ros.robots.urdf import laid_out, sawyer_urdf, written_for
from tdm_ros.tasks import SAWYER_PUSH
from tdm_ros.tasks.pushing import push_setup, tool_ends_m
from tdm_ros.tasks.scenes import SCENES

FRICTION = 0.5
"""Of the contacts of tool and object, as in MuJoCo; Sawyer's fork has none."""
STEP_S = 0.001
GAZEBO_SCENES = (*SCENES, "push")
"""Scenes of the planner, and that of the tasks `sawyer_push` and push."""

PUCK_START_M = (0.57, 0.0)
"""Centre of the task's starts. The puck's joints report the offset from it."""
PUCK_STATES = "/puck/joint_states"

_PUCK_BIT, _TABLE_BIT = 2, 1
"""The puck collides with the robot, whose bits are all set, and not with the table below it; as in MuJoCo."""


def world_sdf(scene: str = "open", actuation: str = "velocity", robot: Robot = SAWYER) -> str:
    """SDF 1.9 text of a world of `GAZEBO_SCENES`. Its frame is the robot's base frame; the floor is below.

    Raises ValueError if the scene is unknown or not for this robot, or the robot cannot be driven so in Gazebo;
    KeyError if the actuation is unknown.
    """
    if scene not in GAZEBO_SCENES:
        raise ValueError(f"scene must be one of {', '.join(GAZEBO_SCENES)}, got {scene!r}")
    if actuations(robot)[actuation].mode == "torque":
        servo_n_m_s_rad(robot)
    tool: list[Shape] = []
    beside = ""
    if scene == "push":
        tool, beside = _pushing(robot)
    elif len(boxes_m := SCENES[scene].boxes_m):
        if robot is not SAWYER:
            raise ValueError(f"scene {scene} has keep-outs for sawyer alone, got robot {robot.name}: take scene open")
        beside = "".join(_kept_out(i, low, high) for i, (low, high) in enumerate(boxes_m))
    inner = _physics() + _light() + _floor() + _table(robot) + robot_model(robot, actuation, tool) + beside
    world = f'<world name="{world_name(robot)}">{inner}</world>'
    return laid_out(f'<sdf version="{SDF_VERSION}">{world}</sdf>', written_for(robot))


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


def _table(robot: Robot) -> str:
    near, far, half_width = geometry.table_m(robot)
    top = Shape("box", (far - near, 2 * half_width, 0.2), ((near + far) / 2, 0.0, -0.1))
    # The pedestal that Sawyer stands on is a part of its model.
    drawn = TABLE_GEOMS if geometry.has_stand(robot) else geometry.surroundings(robot)
    return _static("table", shapes("table", [top], drawn, _touching(_TABLE_BIT)))


def _touching(bit: int, mu: float | None = None) -> str:
    """Collision bits: shapes with a common bit collide; friction of their contacts, None: Gazebo's default."""
    friction = "" if mu is None else f"<friction><ode><mu>{mu:g}</mu><mu2>{mu:g}</mu2></ode></friction>"
    return f"<contact><collide_bitmask>{bit}</collide_bitmask></contact>{friction}"


def _kept_out(number: int, low_m: np.ndarray, high_m: np.ndarray) -> str:
    """Visible keep-out box of a scene. Nothing collides with it, as in MuJoCo."""
    middle, sides = (low_m + high_m) / 2, high_m - low_m
    box = f"<geometry><box><size>{text(tuple(sides))}</size></box></geometry>"
    look = f"<pose>{text(tuple(middle))} 0 0 0</pose>{box}<transparency>0.6</transparency>"
    name = f"keep_out_{number}"
    return _static(name, f'<visual name="{name}">{look}{coloured((0.35, 0.45, 0.65, 1.0))}</visual>')


class _Puck(NamedTuple):
    """Object of a task of pushing: sizes [m], mass [kg], its start and its target, (2,) [m] each."""

    scale: float
    """Of damping and dry friction."""
    radius_m: float
    half_height_m: float
    mass_kg: float
    friction: float
    """Of its contacts."""
    start_m: tuple[float, float]
    target_m: tuple[float, float]


def _pushing(robot: Robot) -> tuple[list[Shape], str]:
    """Tool of a pushing robot, in the frame of its last link, and models of object and target.

    The targets are at first in the middle of their box. MuJoCo's contacts with Sawyer's fork have no friction.
    """
    if robot is SAWYER:
        radius_m, half_height_m = geometry.PUCK_RADIUS_M, geometry.PUCK_HALF_HEIGHT_M
        x, y = np.add(SAWYER_PUSH.goal.low[2:], SAWYER_PUSH.goal.high[2:]) / 2
        puck = _Puck(1.0, radius_m, half_height_m, geometry.PUCK_MASS_KG, 0.0, PUCK_START_M, (float(x), float(y)))
        tool = [between("capsule", geometry.FORK_RADIUS_M, ends, "steel") for ends in geometry.fork_bars_m()]
    else:
        setup = push_setup(robot)
        (x, y), (far_x, far_y) = setup.object_low_m.tolist(), setup.object_high_m.tolist()
        mass_kg, middle_y = setup.scale**2 * geometry.PUCK_MASS_KG, (y + far_y) / 2
        sizes = setup.scale, setup.radius_m, setup.half_height_m, mass_kg, FRICTION
        puck = _Puck(*sizes, ((3 * x + far_x) / 4, middle_y), ((x + 3 * far_x) / 4, middle_y))
        tool = [between("capsule", setup.tool_radius_m, tool_ends_m(robot), "steel")]
    return tool, _puck(puck) + _target(puck)


def _puck(puck: _Puck) -> str:
    """Puck that slides along x and y and cannot tip, with MuJoCo's dry friction and damping."""
    mass, radius, height = puck.mass_kg, puck.radius_m, 2 * puck.half_height_m
    across, about = mass * (3 * radius**2 + height**2) / 12, mass * radius**2 / 2
    disc = Shape("cylinder", (radius, height))
    body = _inertial(mass, across, about) + shapes("puck", [disc], [], _touching(_PUCK_BIT, puck.friction))
    cylinder = f"<cylinder><radius>{radius:.9g}</radius><length>{height:.9g}</length></cylinder>"
    body += f'<visual name="puck"><geometry>{cylinder}</geometry>{coloured(geometry.PUCK_RGBA)}</visual>'
    links = f'<link name="slide">{_inertial(0.001, 1e-6, 1e-6)}</link><link name="puck">{body}</link>'
    joints = _slide("puck_x", "world", "slide", "1 0 0", puck) + _slide("puck_y", "slide", "puck", "0 1 0", puck)
    start = f"<pose>{text((*puck.start_m, puck.half_height_m))} 0 0 0</pose>"
    states = system("joint-state-publisher", "JointStatePublisher", f"<topic>{PUCK_STATES}</topic>")
    return f'<model name="puck">{start}{links}{joints}{states}</model>'


def _inertial(mass_kg: float, across: float, about: float) -> str:
    """Mass, and moments of inertia across and about z [kg m²]."""
    moments = f"<ixx>{across:.6g}</ixx><iyy>{across:.6g}</iyy><izz>{about:.6g}</izz>"
    products = "<ixy>0</ixy><ixz>0</ixz><iyz>0</iyz>"
    return f"<inertial><mass>{mass_kg}</mass><inertia>{moments}{products}</inertia></inertial>"


def _slide(name: str, parent: str, child: str, axis: str, puck: _Puck) -> str:
    damping, friction = puck.scale * geometry.PUCK_DAMPING_N_S_M, puck.scale * geometry.PUCK_FRICTION_N
    drag = f"<damping>{damping}</damping><friction>{friction}</friction>"
    along = f"<axis><xyz>{axis}</xyz><limit><lower>-2</lower><upper>2</upper></limit><dynamics>{drag}</dynamics></axis>"
    return f'<joint name="{name}" type="prismatic"><parent>{parent}</parent><child>{child}</child>{along}</joint>'


def _target(puck: _Puck) -> str:
    """Marker of the puck's target; it is moved with Gazebo's set_pose."""
    disc = f"<cylinder><radius>{puck.radius_m:.9g}</radius><length>0.002</length></cylinder>"
    look = f"<geometry>{disc}</geometry>{coloured((0.2, 0.7, 0.3, 1.0))}"
    where = f"<pose>{text((*puck.target_m, 0.001))} 0 0 0</pose>"
    link = f'<link name="target"><visual name="target">{look}</visual></link>'
    return f'<model name="target"><static>true</static>{where}{link}</model>'


_KEYS = ("ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "direction")
_STATES = ("sensor_msgs/msg/JointState", "gz.msgs.Model", "GZ_TO_ROS")
_NUMBER = ("std_msgs/msg/Float64", "gz.msgs.Double", "ROS_TO_GZ")


def bridge_yaml(actuation: str = "velocity", robot: Robot = SAWYER) -> str:
    """`config_file` of ros_gz_bridge for a robot's worlds of an actuation.

    All names are relative except that of the clock, which is fixed in ROS 2. Raises KeyError if the actuation is
    unknown.
    """
    by_torque = actuations(robot)[actuation].mode == "torque"
    commands = zip(ros_command_topics(robot, by_torque), command_topics(robot, by_torque), strict=True)
    entries = [
        ("/clock", "/clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock", "GZ_TO_ROS"),
        (JOINT_STATES, joint_states_topic(robot), *_STATES),
        ("gz/puck/joint_states", PUCK_STATES, *_STATES),
        *((ros, gazebo, *_NUMBER) for ros, gazebo in commands),
    ]
    named = [dict(zip(_KEYS, one, strict=True)) for one in entries]
    return f"# {written_for(robot)}\n" + yaml.safe_dump(named, sort_keys=False)


def write_world(folder: Path, robot: Robot, scene: str = "open", actuation: str = "velocity") -> tuple[Path, Path]:
    """Write the world of a robot and the configuration of its bridge into a folder; return their paths.

    Raises ValueError or KeyError as `world_sdf` does.
    """
    world, bridge = folder / "world.sdf", folder / "gz_bridge.yaml"
    texts = {world: world_sdf(scene, actuation, robot), bridge: bridge_yaml(actuation, robot)}
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in texts.items():
        path.write_text(content)
    return world, bridge


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
