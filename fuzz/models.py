"""Targets that read descriptions: robots in YAML, URDF, MJCF, meshes, tables of systems, parameters."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import mujoco
import numpy as np
import yaml

from fuzz.target import Target, empty, parts_of
from tdm_ros.bringup.table import TableError, load_table, names_for
from tdm_ros.envs.mjcf_reader import is_mjcf, read_mjcf
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.importing import draft
from tdm_ros.robots.meshes import read_mesh
from tdm_ros.robots.robot_yaml import text_of
from tdm_ros.robots.tree import Tree
from tdm_ros.robots.urdf_reader import read_urdf

ROOT = Path(__file__).parents[1]
OPTIONS = {"velocity_rad_s": [1.0], "effort_n_m": [10.0], "acceleration_rad_s2": [5.0]}


def handle_robot(data: bytes) -> None:
    """Read a description. One that is accepted has finite numbers, and axes of length 1."""
    path = empty("robot") / "arm.yaml"
    path.write_bytes(data)
    robot: Robot = load_robot.__wrapped__(path)  # not the cache, whose robots are compared by identity
    assert all(np.isfinite(v).all() for v in vars(robot).values() if isinstance(v, np.ndarray)), "numbers not finite"
    assert np.allclose(np.linalg.norm(robot.axes, axis=1), 1), "an axis has another length than 1"


def handle_urdf(data: bytes) -> None:
    """Import the longest chain of a URDF file."""
    path = empty("urdf") / "arm.urdf"
    path.write_bytes(data)
    _imported(read_urdf(path))


def handle_mjcf(data: bytes) -> None:
    """Import the longest chain of an MJCF file; MuJoCo itself parses it."""
    path = empty("mjcf") / "arm.xml"
    path.write_bytes(data)
    mujoco.set_mju_user_warning(lambda text: None)  # else it writes MUJOCO_LOG.TXT into the present folder
    if is_mjcf(path):
        _imported(read_mjcf(path))


def _imported(tree: Tree) -> None:
    """Make the text of a description of the chain from the first to the last link, which YAML reads back."""
    if not tree.joints:
        return
    made = draft(tree, tree.joints[0].parent, tree.joints[-1].child, "", dict(OPTIONS))
    content = made.content | {"home_rad": [0.0] * len(made.content["joints"])}
    assert isinstance(yaml.safe_load(text_of(content, made.notes, 1.0)), dict)


def handle_mesh(data: bytes) -> None:
    """Read triangles; the first byte says of which kind of file."""
    path = empty("mesh") / f"a{('.stl', '.obj')[data[:1] > b'm']}"
    path.write_bytes(data[1:])
    assert np.isfinite(read_mesh(path)).all()


def handle_table(data: bytes) -> None:
    """Read the table of a system."""
    path = empty("table") / "a.system.yaml"
    path.write_bytes(data)
    load_table(path)


def handle_parameters(data: bytes) -> None:
    """Read a file with parameters, for a node with a namespace."""
    path = empty("parameters") / "a.yaml"
    path.write_bytes(data)
    names_for("/arm1/arm", [path])


def handle_argument(data: bytes) -> None:
    """Parse the text of an argument of `tdm_ros up`."""
    number, text = parts_of(data, 2)
    arguments = list(load_table(ROOT / "config" / "sawyer_reach.system.yaml").arguments.values())
    arguments[sum(number) % len(arguments)].parse(text.decode(errors="surrogateescape"))


ROBOT = """\
name: a
source: none
base_frame: base
hand_frame: hand
joints:
  - {name: j, link: l, xyz_m: [0, 0, 0.1], rpy_rad: [0, 0, 0], axis: [0, 0, 1], lower_rad: -1, upper_rad: 1,
     velocity_rad_s: 1, acceleration_rad_s2: 9, effort_n_m: 9, damping_n_m_s_rad: 1, friction_n_m: 0,
     rotor_inertia_kg_m2: 0.1}
hand: {xyz_m: [0, 0, 0.1], rpy_rad: [0, 0, 0]}
links:
  l: {mass_kg: 1, com_m: [0, 0, 0], inertia_kg_m2: [0.1, 0.1, 0.1, 0, 0, 0]}
capsules:
  - {link: l, ends_m: [0, 0, 0, 0, 0, 0.1], radius_m: 0.05, group: arm}
home_rad: [0]
goal_box_m: {low: [0, 0, 0], high: [1, 1, 1]}
hand_box_m: {low: [0, 0, 0], high: [1, 1, 1]}
"""
URDF = """\
<robot name="a"><link name="b"/><link name="l"><inertial><origin xyz="0 0 .1"/><mass value="1"/>
<inertia ixx=".1" ixy="0" ixz="0" iyy=".1" iyz="0" izz=".1"/></inertial>
<collision><geometry><cylinder radius=".1" length=".4"/></geometry></collision>
<collision><geometry><mesh filename="package://a/m.stl" scale="1 1 1"/></geometry></collision></link>
<joint name="j" type="revolute"><parent link="b"/><child link="l"/><origin xyz="0 0 .1" rpy="0 0 0"/>
<axis xyz="0 0 1"/><limit lower="-1" upper="1" velocity="1" effort="9"/><dynamics damping="1"/></joint></robot>
"""
MJCF = """\
<mujoco><worldbody><body name="b"><geom type="box" size=".1 .1 .1"/><body name="l" pos="0 0 .1">
<joint name="j" axis="0 0 1" range="-1 1" limited="true" damping="1"/><geom type="capsule" size=".1 .2"/>
<site name="s" pos="0 0 .2"/></body></body></worldbody><actuator><motor joint="j" ctrlrange="-9 9"/></actuator></mujoco>
"""
STL = b"s" + b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
OBJ = b"x" + b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1/1 2/2 -1/3\n"
TABLE = """\
description: a
params_file: a.yaml
arguments:
  seed: {default: 0, description: a, minimum: 0, maximum: 9}
nodes:
  arm: {parameters: [seed]}
variants:
  seed: {1: {defaults: {seed: 2}}}
"""
PARAMETERS = """\
/**:
  ros__parameters:
    seed: 1
    limits: {hand_box: {low_m: [0.1, 0.2, 0.3]}}
arm1:
  arm: {ros__parameters: {a: b}}
"""


def _given(*seeds: str | bytes) -> partial[list[bytes]]:
    return partial(list, [one.encode() if isinstance(one, str) else one for one in seeds])


BINARY_STL = b"s" + bytes(80) + (1).to_bytes(4, "little") + bytes(50)
TARGETS = [
    Target("robot_yaml", handle_robot, (ValueError,), sentence=True, seeds=_given(ROBOT), max_len=2048),
    Target("urdf", handle_urdf, (ValueError,), sentence=True, seeds=_given(URDF), max_len=2048),
    Target("mjcf", handle_mjcf, (ValueError,), sentence=True, seeds=_given(MJCF), max_len=1024),
    Target("mesh", handle_mesh, (ValueError,), sentence=True, seeds=_given(STL, OBJ, BINARY_STL), max_len=512),
    Target("system_table", handle_table, (TableError,), seeds=_given(TABLE), max_len=1024),
    Target("parameters", handle_parameters, (yaml.YAMLError,), seeds=_given(PARAMETERS), max_len=1024),
    Target("argument", handle_argument, (TableError,), seeds=_given(b"\1\0\1" + b"3", b"\1\0\2" + b".inf"), max_len=64),
]
