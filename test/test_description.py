"""URDF, SDF and MJCF are one robot: read by parsers that are not ours, they move, weigh and stop alike."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from tdm_ros.envs.description import GAZEBO_SCENES, PUCK_START_M, bridge_yaml, files, world_sdf, write
from tdm_ros.envs.sawyer_push_env import PUCK_HIGH_M, PUCK_LOW_M, sawyer_push_model
from tdm_ros.robots import geometry
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.capsules import CAPSULES
from tdm_ros.robots.geometry import numbers
from tdm_ros.robots.kinematics import link_frames, rotation_from_rpy
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.sawyer import (
    DAMPING_N_M_S_RAD,
    EFFORT_MAX_N_M,
    FRICTION_N_M,
    JOINT_NAMES,
    NEUTRAL_RAD,
    Q_LOWER_RAD,
    Q_UPPER_RAD,
    QD_MAX_RAD_S,
    ROTOR_INERTIA_KG_M2,
    SAWYER,
    facts,
    link,
)
from tdm_ros.robots.sawyer_sdf import sawyer_sdf
from tdm_ros.robots.urdf import sawyer_urdf
from tdm_ros.tasks import SAWYER_PUSH
from tdm_ros.tasks.scenes import SCENES

ROOT = Path(__file__).parent.parent
FILES = files()
LINKS = tuple(f"right_l{i}" for i in range(7))
FRAMES = (*LINKS, "right_hand")
MOVED = (*LINKS, "head")
HEAVY = ("pedestal", "right_arm_base_link", *MOVED)


class ByMujoco:
    """A model as MuJoCo reads it."""

    def __init__(self, xml: str) -> None:
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)

    def frames(self, q_rad: np.ndarray) -> np.ndarray:
        self.data.qpos[:] = q_rad
        mujoco.mj_kinematics(self.model, self.data)
        frames = np.tile(np.eye(4), (len(FRAMES), 1, 1))
        for frame, name in zip(frames, FRAMES, strict=True):
            place = self.data.site(name) if self.model.nsite and name == "right_hand" else self.data.body(name)
            frame[:3, :3], frame[:3, 3] = place.xmat.reshape(3, 3), place.xpos
        return frames

    def inertia(self, name: str) -> tuple[float, np.ndarray, np.ndarray]:
        body, turn = self.model.body(name), np.empty(9)
        mujoco.mju_quat2Mat(turn, body.iquat)
        axes = turn.reshape(3, 3)
        return float(body.mass[0]), body.ipos, axes @ np.diag(body.inertia) @ axes.T

    def bounds(self) -> np.ndarray:
        return self.model.jnt_range.T


class ByDrake:
    """A model as Drake reads it; SDF through the genuine libsdformat."""

    def __init__(self, xml: str, kind: str) -> None:
        reason = "the parser of SDF is in the wheel `drake`: make models"
        parsing = pytest.importorskip("pydrake.multibody.parsing", reason=reason)
        from pydrake.multibody.plant import MultibodyPlant

        self.plant = MultibodyPlant(0.001)
        parsing.Parser(self.plant).AddModelsFromString(xml, kind)
        if kind == "urdf":
            self.plant.WeldFrames(self.plant.world_frame(), self.plant.GetFrameByName("base"))
        self.plant.Finalize()
        self.context = self.plant.CreateDefaultContext()
        self.joints = [self.plant.GetJointByName(name) for name in JOINT_NAMES]
        self.named = [name for name in FRAMES if self.plant.HasFrameNamed(name)]

    def frames(self, q_rad: np.ndarray) -> np.ndarray:
        for joint, angle in zip(self.joints, q_rad, strict=True):
            joint.set_angle(self.context, angle)
        poses = [self.plant.GetFrameByName(name).CalcPoseInWorld(self.context) for name in self.named]
        return np.stack([pose.GetAsMatrix4() for pose in poses])

    def inertia(self, name: str) -> tuple[float, np.ndarray, np.ndarray]:
        inertia = self.plant.GetBodyByName(name).default_spatial_inertia()
        about_com = inertia.Shift(inertia.get_com()).CalcRotationalInertia().CopyToFullMatrix3()
        return inertia.get_mass(), inertia.get_com(), about_com

    def bounds(self) -> np.ndarray:
        lower = [joint.position_lower_limit() for joint in self.joints]
        return np.array([lower, [joint.position_upper_limit() for joint in self.joints]])


def unfused_urdf() -> str:
    """The URDF, with MuJoCo told to keep links apart that never move against each other."""
    keep = '<mujoco><compiler fusestatic="false" discardvisual="false"/></mujoco>'
    return sawyer_urdf().replace('<robot name="sawyer">', f'<robot name="sawyer">{keep}')


MODELS = {
    "urdf by MuJoCo": lambda: ByMujoco(unfused_urdf()),
    "mjcf by MuJoCo": lambda: ByMujoco(robot_xml()),
    "urdf by Drake": lambda: ByDrake(sawyer_urdf(), "urdf"),
    "sdf by Drake": lambda: ByDrake(sawyer_sdf(), "sdf"),
    "mjcf by Drake": lambda: ByDrake(robot_xml(), "xml"),
}


@pytest.fixture(scope="module", params=MODELS)
def parsed(request: pytest.FixtureRequest) -> ByMujoco | ByDrake:
    return MODELS[request.param]()


def test_frames_thousand_postures_are_those_of_our_kinematics(parsed) -> None:
    rng = np.random.default_rng(0)
    for q_rad in rng.uniform(Q_LOWER_RAD, Q_UPPER_RAD, (1000, 7)):
        frames = parsed.frames(q_rad)
        assert len(frames) in (len(FRAMES), len(LINKS))  # Drake reads no sites, which the hand is in MJCF
        np.testing.assert_allclose(frames, link_frames(q_rad)[: len(frames)], atol=1e-6)


@pytest.mark.parametrize("name", MOVED)
def test_inertia_is_that_of_the_table(parsed, name: str) -> None:
    entry = link(name)
    mass, com, inertia = parsed.inertia(name)
    i = {key: float(value) for key, value in entry["inertia"].items()}
    table = [[i["ixx"], i["ixy"], i["ixz"]], [i["ixy"], i["iyy"], i["iyz"]], [i["ixz"], i["iyz"], i["izz"]]]
    assert mass == pytest.approx(float(entry["mass"]), abs=1e-9)
    np.testing.assert_allclose(com, numbers(entry["com"]), atol=1e-9)
    np.testing.assert_allclose(inertia, table, atol=1e-7)


def test_bounds_are_those_of_the_limiter(parsed) -> None:
    np.testing.assert_allclose(parsed.bounds(), [Q_LOWER_RAD, Q_UPPER_RAD], atol=1e-9)


@pytest.mark.parametrize("kind", ["urdf", "sdf"])
def test_joints_effort_velocity_damping_and_friction_are_those_of_the_table(kind: str) -> None:
    tree = ElementTree.fromstring(sawyer_urdf() if kind == "urdf" else sawyer_sdf())
    for i, name in enumerate(JOINT_NAMES):
        joint = tree.find(f".//joint[@name='{name}']")
        if kind == "urdf":
            limit, dynamics = joint.find("limit").attrib, joint.find("dynamics").attrib
        else:
            limit = {part.tag: part.text for part in joint.find("axis/limit")}
            dynamics = {part.tag: part.text for part in joint.find("axis/dynamics")}
        assert [float(limit[key]) for key in ("effort", "velocity")] == [EFFORT_MAX_N_M[i], QD_MAX_RAD_S[i]]
        assert [float(dynamics[key]) for key in ("damping", "friction")] == [DAMPING_N_M_S_RAD[i], FRICTION_N_M[i]]


def test_effort_of_mjcf_and_urdf_as_mujoco_reads_them() -> None:
    symmetric = np.stack([-EFFORT_MAX_N_M, EFFORT_MAX_N_M], axis=1)
    np.testing.assert_array_equal(ByMujoco(robot_xml()).model.actuator_forcerange, np.tile(symmetric, (2, 1)))
    np.testing.assert_array_equal(ByMujoco(unfused_urdf()).model.jnt_actfrcrange, symmetric)


@pytest.mark.parametrize("actuation", ACTUATIONS)
def test_sdf_damping_and_friction_are_those_of_the_mujoco_arm(actuation: str) -> None:
    given = ACTUATIONS[actuation]
    model = mujoco.MjModel.from_xml_string(robot_xml(SAWYER, given.damping_factor, given.friction_factor))
    tree = ElementTree.fromstring(sawyer_sdf(actuation))
    for key, values in (("damping", model.dof_damping), ("friction", model.dof_frictionloss)):
        read = [float(tree.findtext(f".//joint[@name='{name}']/axis/dynamics/{key}")) for name in JOINT_NAMES]
        np.testing.assert_allclose(read, values, rtol=1e-5)


@pytest.mark.parametrize("i", range(7))
def test_sdf_driven_by_torque_links_carry_the_rotors(i: int) -> None:
    mass, com, inertia = ByDrake(sawyer_sdf("velocity"), "sdf").inertia(LINKS[i])
    mass_too, com_too, more = ByDrake(sawyer_sdf("torque"), "sdf").inertia(LINKS[i])
    assert mass == mass_too
    np.testing.assert_array_equal(com, com_too)
    np.testing.assert_allclose(more - inertia, ROTOR_INERTIA_KG_M2[i] * np.diag([0.5, 0.5, 1.0]), atol=1e-8)


def test_sdf_every_link_of_the_table_is_a_frame_that_it_knows() -> None:
    plant = ByDrake(sawyer_sdf(), "sdf").plant
    missing = {entry["name"] for entry in facts()["links"] if not plant.HasFrameNamed(entry["name"])}
    assert not missing


def test_sdf_arm_feels_no_gravity_and_does_not_touch_itself() -> None:
    model = ElementTree.fromstring(sawyer_sdf()).find("model")
    assert [entry.findtext("gravity") for entry in model.findall("link")] == ["false"] * (len(HEAVY) + 1)
    assert model.findtext("self_collide") == "false"


@pytest.mark.parametrize("name", CAPSULES)
def test_sdf_is_touched_where_the_limiter_believes_it_to_be(name: str) -> None:
    tree = ElementTree.fromstring(sawyer_sdf())
    written = tree.findall(f".//link[@name='{name}']/collision")
    assert len(written) == len(CAPSULES[name])
    for collision, capsule in zip(written, CAPSULES[name], strict=True):
        np.testing.assert_allclose(_ends(collision), np.reshape(capsule.ends_m, (2, 3)), atol=2e-6)
        assert float(collision.findtext("geometry/capsule/radius")) == capsule.radius_m


def _ends(element: ElementTree.Element) -> np.ndarray:
    """End points of a capsule in SDF, (2, 3) [m]."""
    where, half = numbers(element.findtext("pose")), float(element.findtext("geometry/capsule/length")) / 2
    along = rotation_from_rpy(where[3:]) @ [0, 0, half]
    return np.stack([where[:3] - along, where[:3] + along])


DRAWN = {"room": ("table", "pedestal", "right_arm_base_link"), **{name: (name,) for name in MOVED}}
SIZES = {
    "box": "size",
    "ellipsoid": "radii",
    "sphere": "radius",
    "cylinder": "radius length",
    "capsule": "radius length",
}


@pytest.mark.parametrize("name", DRAWN)
def test_sdf_looks_like_the_mujoco_arm_shape_by_shape(name: str) -> None:
    model = ByMujoco(robot_xml()).model
    body = 0 if name == "room" else model.body(name).id
    kinds = {getattr(mujoco.mjtGeom, f"mjGEOM_{kind.upper()}"): kind for kind in SIZES}  # all but the floor, a plane
    geoms = [
        i for i in np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == 2)) if model.geom_type[i] in kinds
    ]
    world = ElementTree.fromstring(world_sdf())
    visuals = [visual for link_name in DRAWN[name] for visual in world.findall(f".//link[@name='{link_name}']/visual")]
    assert len(visuals) == len(geoms) > 0
    for visual, i in zip(visuals, geoms, strict=True):
        kind, where, turn = kinds[model.geom_type[i]], numbers(visual.findtext("pose")), np.empty(9)
        half = {"box": 0.5, "cylinder": [1, 0.5], "capsule": [1, 0.5]}.get(kind, 1)
        texts = [visual.findtext(f"geometry/{kind}/{tag}") for tag in SIZES[kind].split()]
        size = np.multiply(numbers(" ".join(texts)), half)
        np.testing.assert_allclose(size, model.geom_size[i, : len(size)], atol=1e-6)
        np.testing.assert_allclose(where[:3], model.geom_pos[i], atol=1e-6)
        mujoco.mju_quat2Mat(turn, model.geom_quat[i])
        axes = rotation_from_rpy(where[3:]).T @ turn.reshape(3, 3)
        assert abs(axes[2, 2]) == pytest.approx(
            1, abs=1e-6
        )  # what is round may be turned about its axis, or stand on its head
        assert kind in ("cylinder", "capsule", "sphere") or np.allclose(axes, np.eye(3))
        colour = model.mat_rgba[model.geom_matid[i]]
        np.testing.assert_allclose(numbers(visual.findtext("material/diffuse")), colour, atol=1e-6)


def test_urdf_covers_what_the_mujoco_arm_covers() -> None:
    """Both as MuJoCo sees them: the boxes around all that is drawn and all that is touched of each link."""
    urdf, mjcf = ByMujoco(unfused_urdf()), ByMujoco(robot_xml())
    for name in MOVED:
        near = 0.006 if name == "head" else 1e-5  # URDF has no ellipsoid
        np.testing.assert_allclose(_box(urdf, name, 1), _box(mjcf, name, 2), atol=near, err_msg=f"{name}, drawn")
        np.testing.assert_allclose(_box(urdf, name, 0), _box(mjcf, name, 3), atol=1e-5, err_msg=f"{name}, touched")


def _box(parsed: ByMujoco, name: str, group: int) -> np.ndarray:
    """Lower and upper corner of a link's shapes of a group, (2, 3) [m], in its frame."""
    model, corners = parsed.model, []
    for i in np.flatnonzero((model.geom_bodyid == model.body(name).id) & (model.geom_group == group)):
        kind, size, turn = model.geom_type[i], model.geom_size[i], np.empty(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[i])
        turn = turn.reshape(3, 3)
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            reach = np.abs(turn) @ size
        elif kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            reach = np.linalg.norm(turn * size, axis=1)
        elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            reach = size[1] * np.abs(turn[:, 2]) + size[0] * np.linalg.norm(turn[:, :2], axis=1)
        else:
            reach = size[0] + (size[1] * np.abs(turn[:, 2]) if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else 0)
        corners += [model.geom_pos[i] - reach, model.geom_pos[i] + reach]
    return np.array([np.min(corners, axis=0), np.max(corners, axis=0)])


def test_urdf_root_is_base_without_inertia_as_kdl_wants_it() -> None:
    tree = ElementTree.fromstring(sawyer_urdf())
    children = {joint.find("child").get("link") for joint in tree.findall("joint")}
    assert {entry.get("name") for entry in tree.findall("link")} - children == {"base"}
    assert tree.find("link[@name='base']/inertial") is None


def test_urdf_moves_only_joints_whose_angles_are_published() -> None:
    tree = ElementTree.fromstring(sawyer_urdf())
    assert tuple(j.get("name") for j in tree.findall("joint") if j.get("type") != "fixed") == JOINT_NAMES


def test_urdf_knows_every_material_that_it_uses() -> None:
    tree = ElementTree.fromstring(sawyer_urdf())
    defined = {material.get("name") for material in tree.findall("material")}
    assert {material.get("name") for material in tree.findall("link/visual/material")} <= defined


# ---- worlds -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=GAZEBO_SCENES)
def world(request: pytest.FixtureRequest) -> ElementTree.Element:
    return ElementTree.fromstring(world_sdf(request.param)).find("world")


def test_world_has_the_systems_and_the_step_that_the_arm_needs(world) -> None:
    assert world.get("name") == "tdm_sawyer"
    assert float(world.findtext("physics/max_step_size")) == 0.001
    systems = {plugin.get("name").rpartition(":")[2] for plugin in world.findall("plugin")}
    assert systems == {"Physics", "UserCommands", "SceneBroadcaster"}
    # That of a link is ignored in Fortress, and in Harmonic before 8.6: an arm driven by torques would fall.
    assert world.findtext("gravity") == "0 0 0"
    assert {model.get("name") for model in world.findall("model")} >= {"sawyer", "table", "floor"}


def test_world_floor_and_table_are_where_mujoco_has_them(world) -> None:
    model = ByMujoco(robot_xml()).model
    table = world.find("model[@name='table']/link/collision")
    np.testing.assert_allclose(numbers(table.findtext("pose"))[:3], model.geom("table").pos)
    np.testing.assert_allclose(numbers(table.findtext("geometry/box/size")), 2 * model.geom("table").size)
    assert numbers(world.findtext("model[@name='floor']/pose"))[2] == geometry.FLOOR_M == model.geom("floor").pos[2]


@pytest.mark.parametrize("scene", SCENES)
def test_world_of_a_planner_scene_shows_its_regions_and_they_stop_nobody(scene: str) -> None:
    world = ElementTree.fromstring(world_sdf(scene)).find("world")
    regions = [model for model in world.findall("model") if model.get("name").startswith("keep_out")]
    boxes = []
    for region in regions:
        middle = np.array(numbers(region.findtext("link/visual/pose"))[:3])
        half = np.array(numbers(region.findtext("link/visual/geometry/box/size"))) / 2
        boxes.append([middle - half, middle + half])
        assert region.find("link/collision") is None
    np.testing.assert_allclose(np.reshape(boxes, (-1, 2, 3)), SCENES[scene].boxes_m, atol=1e-9)


def test_world_push_puck_and_fork_are_those_of_the_task() -> None:
    model = sawyer_push_model()
    world = ElementTree.fromstring(world_sdf("push")).find("world")
    puck = world.find("model[@name='puck']")
    size = puck.find("link[@name='puck']/collision/geometry/cylinder")
    assert [float(size.findtext("radius")), float(size.findtext("length")) / 2] == list(model.geom("puck").size[:2])
    assert float(puck.findtext("link[@name='puck']/inertial/mass")) == model.body("puck").mass[0]
    for name, axis in (("puck_x", "1 0 0"), ("puck_y", "0 1 0")):
        joint, joint_id = puck.find(f"joint[@name='{name}']"), model.joint(name).dofadr[0]
        assert joint.findtext("axis/xyz") == axis
        assert float(joint.findtext("axis/dynamics/damping")) == model.dof_damping[joint_id]
        assert float(joint.findtext("axis/dynamics/friction")) == model.dof_frictionloss[joint_id]
    start = numbers(puck.findtext("pose"))
    assert start[:2] == PUCK_START_M
    assert start[2] == model.body("puck").pos[2]
    assert (np.array(PUCK_LOW_M) < PUCK_START_M).all() and (np.array(PUCK_START_M) < PUCK_HIGH_M).all()
    target = numbers(world.findtext("model[@name='target']/pose"))
    assert (np.array(SAWYER_PUSH.goal.low[2:]) < target[:2]).all()
    assert (np.array(SAWYER_PUSH.goal.high[2:]) > target[:2]).all()

    ours = world.findall("model[@name='sawyer']/link[@name='right_l6']/collision")[len(CAPSULES["right_l6"]) :]
    radius = geometry.FORK_RADIUS_M
    bars = [i for i in range(model.ngeom) if model.geom_size[i, 0] == radius and model.geom_type[i] == 3]
    assert len(ours) == len(bars) == 5
    for bar, i in zip(ours, bars, strict=True):
        turn = np.empty(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[i])
        along = turn.reshape(3, 3) @ [0, 0, model.geom_size[i, 1]]
        ends = np.stack([model.geom_pos[i] - along, model.geom_pos[i] + along])
        np.testing.assert_allclose(np.sort(_ends(bar), axis=0), np.sort(ends, axis=0), atol=3e-6)


def test_world_unknown_scene_is_rejected_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="open, wall, push, got 'cellar'"):
        world_sdf("cellar")


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".sdf")])
def test_world_committed_has_the_arm_where_our_kinematics_have_it(name: str) -> None:
    frames = ByDrake((ROOT / name).read_text(), "sdf").frames(NEUTRAL_RAD)
    np.testing.assert_allclose(frames, link_frames(NEUTRAL_RAD), atol=1e-6)


# ---- bridge -------------------------------------------------------------------------------------------------------

BRIDGE_KEYS = {
    "topic_name", "ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "subscriber_queue",
    "publisher_queue", "lazy", "direction",
}  # fmt: skip
BRIDGE_DIRECTIONS = {"BIDIRECTIONAL", "GZ_TO_ROS", "ROS_TO_GZ"}
BRIDGE_PAIRS = {
    ("rosgraph_msgs/msg/Clock", "gz.msgs.Clock"),
    ("sensor_msgs/msg/JointState", "gz.msgs.Model"),
    ("std_msgs/msg/Float64", "gz.msgs.Double"),
}
"""Source: https://github.com/gazebosim/ros_gz/blob/jazzy/ros_gz_bridge/README.md (pairs that we use), and the keys in
https://github.com/gazebosim/ros_gz/blob/jazzy/ros_gz_bridge/src/bridge_config.cpp"""


@pytest.mark.parametrize("actuation", ["velocity", "torque"])
def test_bridge_entries_are_what_the_bridge_knows(actuation: str) -> None:
    entries = yaml.safe_load(bridge_yaml(actuation))
    for entry in entries:
        assert set(entry) <= BRIDGE_KEYS
        assert (entry["ros_type_name"], entry["gz_type_name"]) in BRIDGE_PAIRS
        assert entry["direction"] in BRIDGE_DIRECTIONS
    names = [entry["ros_topic_name"] for entry in entries]
    command = "cmd_vel" if actuation == "velocity" else "cmd_force"
    assert {"/clock", "gz/joint_states"} < set(names)
    assert [name for name in names if "cmd" in name] == [f"gz/{joint}/{command}" for joint in JOINT_NAMES]


@pytest.mark.parametrize(("scene", "actuation"), [("push", "velocity"), ("open", "torque")])
def test_bridge_topics_are_those_of_the_world(scene: str, actuation: str) -> None:
    """Source: gz-sim's ApplyJointForce listens to /model/MODEL/joint/JOINT/cmd_force, the others to `topic`."""
    said, heard = set(), set()
    for model in ElementTree.fromstring(world_sdf(scene, actuation)).findall("world/model"):
        for plugin in model.findall("plugin"):
            topic = plugin.findtext("topic")
            if plugin.get("name").endswith("JointStatePublisher"):
                said.add(topic)
            else:
                heard.add(topic or f"/model/{model.get('name')}/joint/{plugin.findtext('joint_name')}/cmd_force")
    entries = yaml.safe_load(bridge_yaml(actuation))
    assert said <= {entry["gz_topic_name"] for entry in entries if entry["direction"] == "GZ_TO_ROS"}
    assert heard == {entry["gz_topic_name"] for entry in entries if entry["direction"] == "ROS_TO_GZ"}


# ---- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_committed_file_is_what_the_generator_writes(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name], "run python -m tdm_ros.envs.description"


def test_every_description_in_the_repository_is_generated() -> None:
    there = [*ROOT.glob("urdf/*"), *ROOT.glob("worlds/*"), *ROOT.glob("config/gz_*")]
    assert {path.relative_to(ROOT).as_posix() for path in there} == set(FILES)


def test_write_elsewhere_makes_the_folders(tmp_path: Path) -> None:
    assert {path.relative_to(tmp_path).as_posix() for path in write(tmp_path)} == set(FILES)
    assert (tmp_path / "urdf/sawyer.urdf").read_text() == FILES["urdf/sawyer.urdf"]


def test_cmake_installs_every_folder_of_the_files() -> None:
    listed = re.search(r"install\(DIRECTORY ([\w ]+) DESTINATION share", (ROOT / "CMakeLists.txt").read_text())
    assert {name.split("/")[0] for name in FILES} <= set(listed[1].split())


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".sdf")])
def test_world_is_valid_for_gazebos_own_checker(name: str) -> None:
    tool = shutil.which("gz") or shutil.which("ign")
    if tool is None:
        pytest.skip("neither `gz sdf` nor `ign sdf` is here (Debian: apt-get install sdformat-sdf ignition-tools)")
    done = subprocess.run([tool, "sdf", "-k", str(ROOT / name)], capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    if "Valid." not in said and "Error" not in said:
        pytest.skip(f"`{tool} sdf` does not work here: {said.strip()}")
    assert "Valid." in said
    assert not re.search("error|warning", said.replace("Library error: libignition-tools-backward.so", ""), re.I)


def test_urdf_is_valid_for_urdfdom() -> None:
    tool = shutil.which("check_urdf")
    if tool is None:
        pytest.skip("check_urdf is not here (Debian: apt-get install liburdfdom-tools)")
    done = subprocess.run([tool, str(ROOT / "urdf/sawyer.urdf")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "root Link: base" in done.stdout
    assert not done.stderr
