"""Description files of robots: what they must have, where they are found, and arms of any kind against MuJoCo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

from tdm_ros.robots import description
from tdm_ros.robots.arm import Actuation
from tdm_ros.robots.capsules import body, capsule_ends, gaps
from tdm_ros.robots.description import Robot, load_robot, robot_files
from tdm_ros.robots.kinematics import forward, jacobian, joint_velocity, link_frames, quaternion_wxyz
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.sawyer import JOINT_NAMES, SAWYER, facts, joint_above, link

ROOT = Path(__file__).parent.parent
FILE = ROOT / "config" / "robots" / "sawyer.yaml"


def written(tmp_path: Path, content: Any, name: str = "arm.yaml") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


# Files that are wrong

Place = tuple[str | int, ...]
MISSING = object()
HEAVY = {"mass_kg": 1.0, "com_m": [0.0, 0.0, 0.0], "inertia_kg_m2": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]}
WRONG: dict[str, tuple[Place, object, str]] = {
    "missing key": (("hand_frame",), MISSING, r"hand_frame must be given, got nothing: it is missing"),
    "missing number": (("joints", 2, "axis"), MISSING, r"joints\[2\]\.axis must be given, got nothing"),
    "empty value": (("home_rad",), None, r"home_rad must be given, got None"),
    "unknown key": (("fixed_link",), {}, r"keys must be among name .*, got fixed_link"),
    "number for text": (("name",), 5, r"name must be text, got 5"),
    "no joints": (("joints",), [], r"joints must have names and links that differ"),
    "joints no list": (("joints",), {"a": 1}, r"joints must be a list, got \{'a': 1\}"),
    "joint no mapping": (("joints", 1), "elbow", r"joints\[1\] must be a mapping, got 'elbow'"),
    "two of a name": (("joints", 1, "name"), "right_j0", r"names and links that differ, got right_j0, right_j0"),
    "link is base": (("joints", 1, "link"), "base", r"names and links that differ"),
    "wrong length": (("joints", 0, "xyz_m"), [0, 0], r"joints\[0\]\.xyz_m must be 3 finite numbers, got \[0, 0\]"),
    "ragged": (("joints", 0, "xyz_m"), [0, [0], 1], r"xyz_m must be 3 finite numbers"),
    "home of another arm": (("home_rad",), [0.0] * 6, r"home_rad must be 7 finite numbers"),
    "home outside": (("home_rad",), [9.0] * 7, r"home_rad must be within lower_rad and upper_rad"),
    "bounds exchanged": (("joints", 3, "lower_rad"), 3.5, r"lower_rad must be below upper_rad, 3.0439, got 3.5"),
    "bounds equal": (("joints", 3, "lower_rad"), 3.0439, r"lower_rad must be below upper_rad"),
    "no bound": (("joints", 3, "upper_rad"), np.inf, r"upper_rad must be a finite number, got inf"),
    "no number": (("joints", 3, "effort_n_m"), "much", r"effort_n_m must be a finite number, .* got 'much'"),
    "no speed": (("joints", 3, "velocity_rad_s"), 0, r"velocity_rad_s must be .*1e-09 or more, got 0"),
    "friction that drives": (("joints", 3, "friction_n_m"), -1, r"friction_n_m must be .*0 or more, got -1"),
    "no axis": (("joints", 4, "axis"), [0, 0, 0], r"joints\[4\]\.axis must be a direction, .* got \[0, 0, 0\]"),
    "capsule of nothing": (("capsules", 1, "link"), "tail", r"capsules\[1\]\.link must be a link of the arm \(base, h"),
    "thin capsule": (("capsules", 1, "radius_m"), 0, r"radius_m must be"),
    "parent unknown": (("fixed_links", "head", "parent"), "neck", r"fixed_links\.head\.parent must be another link"),
    "link without mass": (("links", "right_l3", "mass_kg"), 0, r"links\.right_l3\.mass_kg must be"),
    "link left out": (("links", "right_l3"), MISSING, r"links\.right_l3 must be given, got nothing"),
    "inertia of nothing": (("links", "tail"), HEAVY, r"links\.tail must be the inertia of a link of the arm"),
    "box inside out": (("goal_box_m", "low"), [1, 0, 0], r"goal_box_m\.low must be below high, \[0.8, 0.35, 0.6\]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_description_is_rejected_in_one_sentence_with_the_remedy(tmp_path: Path, case: str) -> None:
    (*above, last), value, expected = WRONG[case]
    content = place = yaml.safe_load(FILE.read_text())
    for key in above:
        place = place[key]
    place[last] = value
    if value is MISSING:
        del place[last]
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=expected) as error:
        load_robot(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    assert said.endswith((f"correct the file, {description.EXAMPLE}", "correct it", "rename them", description.EXAMPLE))


def test_all_that_a_description_lacks_is_told_at_once(tmp_path: Path) -> None:
    content = yaml.safe_load(FILE.read_text())
    del content["home_rad"], content["joints"][1]["velocity_rad_s"], content["joints"][4]["axis"]
    del content["joints"][4]["effort_n_m"], content["links"]["right_l3"]["mass_kg"], content["hand_box_m"]["high"]
    with pytest.raises(ValueError) as error:
        load_robot(written(tmp_path, content))
    said = str(error.value)
    for place in ("home_rad", "joints[1].velocity_rad_s", "joints[4].axis", "joints[4].effort_n_m"):
        assert f"{place}, " in said, place
    assert "links.right_l3.mass_kg, hand_box_m.high must be given, got nothing: they are missing" in said
    assert "\n" not in said and said.endswith(description.EXAMPLE)


@pytest.mark.parametrize("text", ["a: [", "\x00", "- 1", ""])
def test_file_that_is_no_mapping_is_rejected_with_its_path(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"arm\.yaml must be (YAML|a mapping)") as error:
        load_robot(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["sawyers", "nowhere.yaml", "", "sawyer.yml"])
def test_robot_that_is_unknown_is_rejected_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"robot must be .*sawyer.* or the path of a \.yaml file, got") as error:
        load_robot(name)
    assert repr(name) in str(error.value)


# Where files are found


def test_sawyer_is_found_by_name_and_by_path_and_read_once() -> None:
    assert robot_files()["sawyer"] == FILE and load_robot("sawyer") is load_robot("sawyer") is SAWYER
    assert load_robot(FILE).joint_names == JOINT_NAMES


@pytest.mark.parametrize("where", ["ament", "prefix", "install"])
def test_robots_below_an_install_prefix_are_found(tmp_path: Path, monkeypatch, where: str) -> None:
    folder = tmp_path / "share" / "tdm_ros" / "config" / "robots"
    folder.mkdir(parents=True)
    other = written(folder, FILE.read_text(), "other.yaml")
    written(folder, "stale", "sawyer.yaml")
    if where == "ament":
        monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    elif where == "prefix":
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
    else:
        module = tmp_path / "local" / "lib" / "python3" / "dist-packages" / "tdm_ros" / "robots" / "description.py"
        monkeypatch.setattr(description, "__file__", str(module))
    found = robot_files()
    assert found["other"] == other and load_robot(found["other"]).name == "sawyer"
    assert found["sawyer"] == (folder / "sawyer.yaml" if where == "install" else FILE), "this checkout comes first"


def test_link_to_a_file_that_is_gone_is_no_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "share" / "tdm_ros" / "config" / "robots"
    folder.mkdir(parents=True)
    (folder / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"must be gen3, panda, .* got 'gone'"):
        load_robot("gone")


def test_wheel_and_cmake_install_the_files() -> None:
    assert '"share/tdm_ros/config/robots" = ["config/robots/*.yaml"]' in (ROOT / "pyproject.toml").read_text()
    assert "install(DIRECTORY config " in (ROOT / "CMakeLists.txt").read_text()


# Sawyer's file


def test_sawyers_numbers_are_those_of_the_vendors_table() -> None:
    frames = [description.transform(*(np.array(joint_above(name)[key].split(), float) for key in ("xyz", "rpy")))
              for name in (*SAWYER.link_names, "right_hand", *SAWYER.fixed_links)]  # fmt: skip
    ours = [*SAWYER.origins, SAWYER.hand, *(frame for _, frame in SAWYER.fixed_links.values())]
    np.testing.assert_array_equal(ours, frames)
    assert {name: joint_above(name)["parent"] for name in SAWYER.fixed_links} == {
        name: parent for name, (parent, _) in SAWYER.fixed_links.items()
    }
    assert set(SAWYER.links) == {entry["name"] for entry in facts()["links"] if "mass" in entry}
    for name, inertia in SAWYER.links.items():
        entry = link(name)
        assert inertia.mass_kg == float(entry["mass"]) and inertia.com_m.tolist() == [*map(float, entry["com"].split())]
        moments = [float(entry["inertia"][key]) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")]
        assert inertia.inertia_kg_m2.tolist() == moments


OLD = {
    "lower_rad": (-3.0503, -3.8095, -3.0426, -3.0439, -2.9761, -2.9761, -4.7124),
    "upper_rad": (3.0503, 2.2736, 3.0426, 3.0439, 2.9761, 2.9761, 4.7124),
    "velocity_rad_s": (1.74, 1.328, 1.957, 1.957, 3.485, 3.485, 4.545),
    "acceleration_rad_s2": (10, 8, 10, 10, 12, 12, 12),
    "effort_n_m": (80, 80, 40, 40, 9, 9, 9),
    "damping_n_m_s_rad": (10, 5, 5, 1, 2, 1, 1),
    "friction_n_m": (5, 2, 2, 0.5, 1, 0.5, 0.5),
    "rotor_inertia_kg_m2": (0.5, 0.5, 0.3, 0.3, 0.1, 0.1, 0.1),
    "inertia_least_kg_m2": (0.7, 0.95, 0.35, 0.45, 0.12, 0.1, 0.1),
    "inertia_most_kg_m2": (2.7, 2.35, 0.85, 0.8, 0.14, 0.12, 0.1),
    "home_rad": (0, -1.18, 0, 2.18, 0, 0.57, 3.3161),
}


@pytest.mark.parametrize("field", OLD)
def test_sawyers_limits_are_those_before_there_were_files(field: str) -> None:
    assert getattr(SAWYER, field).tolist() == [*OLD[field]] and not getattr(SAWYER, field).flags.writeable


def test_sawyers_boxes_are_those_before_there_were_files() -> None:
    assert SAWYER.goal_box_m == ((0.35, -0.35, 0.05), (0.80, 0.35, 0.60))
    assert SAWYER.hand_box_m == ((0.15, -0.60, 0.02), (0.95, 0.60, 0.85))


# Arms of any number of joints, about any axes


def arm_content(joints: int, seed: int = 0) -> dict[str, Any]:
    """Description of an arm whose axes, origins and capsules are drawn at random."""
    rng = np.random.default_rng(seed)
    limits = {"lower_rad": -2.5, "upper_rad": 2.5, "velocity_rad_s": 2, "acceleration_rad_s2": 10, "effort_n_m": 30}
    limits |= {"damping_n_m_s_rad": 0, "friction_n_m": 0, "rotor_inertia_kg_m2": 0}
    axes = [[0, 0, -3], [0.2, 1, -0.5], *rng.normal(size=(joints, 3)).tolist()]

    def frame() -> dict[str, list[float]]:
        return {"xyz_m": rng.uniform(-0.3, 0.3, 3).tolist(), "rpy_rad": rng.uniform(-3, 3, 3).tolist()}

    mass = {"mass_kg": 1, "com_m": [0, 0, 0.1], "inertia_kg_m2": [0.1, 0.1, 0.1, 0, 0, 0]}
    links = [f"link{i}" for i in range(joints)]
    shapes = [{"link": name, "ends_m": rng.uniform(-0.1, 0.1, 6).tolist()} for name in ("world", *links, "tool")]
    box = {"low": [-1, -1, -1], "high": [1, 1, 1]}
    return {
        "name": f"arm{joints}",
        "source": "random numbers",
        "base_frame": "world",
        "hand_frame": "tip",
        "joints": [
            {"name": f"joint{i}", "link": name, **frame(), "axis": axes[i], **limits} for i, name in enumerate(links)
        ],
        "hand": frame(),
        "fixed_links": {"wrist": {"parent": links[-1], **frame()}, "tool": {"parent": "wrist", **frame()}},
        "links": dict.fromkeys(links, mass),
        "capsules": [{**shape, "radius_m": 0.03, "group": "body"} for shape in shapes],
        "home_rad": [0.1] * joints,
        "goal_box_m": box,
        "hand_box_m": box,
    }


def mjcf(content: dict[str, Any]) -> str:
    """Model of the file's content for MuJoCo, which turns about the axes itself; `Robot` is not used."""

    def text(numbers: list[float]) -> str:
        return " ".join(map(repr, map(float, numbers)))

    def frame(entry: dict[str, Any]) -> str:
        return f'pos="{text(entry["xyz_m"])}" euler="{text(entry["rpy_rad"])}"'

    def geom(name: str) -> str:
        ends = next(shape["ends_m"] for shape in content["capsules"] if shape["link"] == name)
        return f'<geom name="{name}" type="capsule" size=".03" fromto="{text(ends)}"/>'

    wrist, tool = content["fixed_links"].values()
    inner = f'<site name="tip" {frame(content["hand"])}/>'
    inner += f"<body {frame(wrist)}><body {frame(tool)}>{geom('tool')}</body></body>"
    for joint in reversed(content["joints"]):
        hinge = f'<joint name="{joint["name"]}" axis="{text(joint["axis"])}"/>'
        inner = f'<body name="{joint["link"]}" {frame(joint)}>{hinge}{geom(joint["link"])}{inner}</body>'
    compiler = '<compiler angle="radian" eulerseq="XYZ"/>'
    return f"<mujoco>{compiler}<worldbody>{geom('world')}{inner}</worldbody></mujoco>"


@pytest.fixture(params=[1, 2, 5, 8])
def arm(request, tmp_path: Path) -> tuple[Robot, mujoco.MjModel]:
    content = arm_content(request.param)
    return load_robot(written(tmp_path, content)), mujoco.MjModel.from_xml_string(mjcf(content))


def postures(robot: Robot, count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(robot.lower_rad, robot.upper_rad, (count, len(robot.joint_names)))


def test_arm_of_any_joints_moves_as_in_mujoco(arm: tuple[Robot, mujoco.MjModel]) -> None:
    robot, model = arm
    data, both = mujoco.MjData(model), np.zeros((2, 3, model.nv))
    for q_rad in postures(robot, 200):
        data.qpos[:] = q_rad
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        frames = link_frames(q_rad, robot)
        places = [*map(data.body, robot.link_names), data.site("tip")]
        np.testing.assert_allclose(frames[:, :3, 3], [place.xpos for place in places], atol=1e-12)
        np.testing.assert_allclose(frames[:, :3, :3].reshape(-1, 9), [place.xmat for place in places], atol=1e-12)
        mujoco.mj_jacSite(model, data, both[0], both[1], model.site("tip").id)
        np.testing.assert_allclose(jacobian(q_rad, robot), both.reshape(6, -1), atol=1e-12)
        pose = forward(q_rad, robot)
        np.testing.assert_allclose(pose.position_m, data.site("tip").xpos, atol=1e-12)
        assert np.linalg.norm(quaternion_wxyz(pose.rotation)) == pytest.approx(1)


def test_arm_of_any_joints_is_as_near_to_itself_as_in_mujoco(arm: tuple[Robot, mujoco.MjModel]) -> None:
    robot, model = arm
    data, shape = mujoco.MjData(model), body(robot)
    geoms = [model.geom(capsule.link).id for capsule in robot.capsules]
    assert all(shape.joints[b] - shape.joints[a] >= 3 for a, b in zip(shape.near, shape.far, strict=True))
    assert len(shape.near) == {1: 0, 2: 0, 5: 9}.get(len(robot.joint_names), len(shape.near))
    for q_rad in postures(robot, 100):
        data.qpos[:] = q_rad
        mujoco.mj_kinematics(model, data)
        found = gaps(capsule_ends(link_frames(q_rad, robot), shape), shape).gap_m.reshape(5, -1)
        theirs = [
            mujoco.mj_geomDistance(model, data, geoms[a], geoms[b], 5.0, None)
            for a, b in zip(shape.near, shape.far, strict=True)
        ]
        apart = np.array(theirs) > 0
        np.testing.assert_allclose(found.min(0)[apart] if apart.any() else [], np.array(theirs)[apart], atol=1e-6)


def test_capsule_without_length_is_a_sphere(tmp_path: Path) -> None:
    content = arm_content(5)
    content["capsules"][-1]["ends_m"] = [0, 0, 0.1] * 2
    robot = load_robot(written(tmp_path, content))
    shape = body(robot)
    assert np.isfinite(gaps(capsule_ends(link_frames(robot.home_rad, robot), shape), shape).gap_m).all()


@pytest.mark.parametrize("joints", [2, 5, 8])
def test_limiter_keeps_the_limits_of_any_arm(tmp_path: Path, joints: int) -> None:
    """Random commands, followed exactly: the hand stays in its box, the joints within theirs, the hand slow enough."""
    robot = load_robot(written(tmp_path, arm_content(joints)))
    hand_m, reach = forward(robot.home_rad, robot).position_m, 0.15
    limits = Limits(
        box_low_m=tuple(hand_m - reach),
        box_high_m=tuple(hand_m + reach),
        links_low_m=(-3.0, -3.0, -3.0),
        links_high_m=(3.0, 3.0, 3.0),
        acceleration_scale=1.0,
        hand_speed_m_s=0.3,
        singular_m=0.02 if joints > 2 else None,  # two joints cannot move the hand in three directions
        clearance_m=1e-3,
        look_ahead_s=0.3,
    )
    limiter = Limiter(Actuation("velocity", "velocity", robot.velocity_rad_s), limits, robot)
    rng, q_rad, qd_rad_s, layers = np.random.default_rng(2), robot.home_rad, np.zeros(joints), set()
    for step in range(400):
        if step % 20 == 0:
            wanted = rng.uniform(-1, 1, joints) * robot.velocity_rad_s
        reading = ArmReading(q_rad, qd_rad_s, forward(q_rad, robot).position_m)
        assert np.abs(reading.hand_m - hand_m).max() <= reach + 1e-3
        assert (np.abs(q_rad) <= 2.5).all()
        passed = limiter.apply(wanted, reading)
        assert not passed.rejected
        layers |= {*passed.layer.split(" + ")}
        assert np.linalg.norm(jacobian(q_rad, robot)[:3] @ passed.command) <= 0.3 + 1e-6
        qd_rad_s = passed.command
        q_rad = q_rad + 0.05 * qd_rad_s
    assert {"acceleration", "hand speed", "workspace"} <= layers
    assert limiter.apply(np.zeros(joints + 1), reading).layer == "shape"


@pytest.mark.parametrize("seed", range(3))
def test_limiter_keeps_the_parts_of_any_arm_apart(tmp_path: Path, seed: int) -> None:
    robot = load_robot(written(tmp_path, arm_content(5, seed)))
    limits = Limits((-3, -3, -3), (3, 3, 3), singular_m=0.02, clearance_m=0.01, look_ahead_s=0.3)
    limiter = Limiter(Actuation("velocity", "velocity", robot.velocity_rad_s), limits, robot)
    rng, q_rad, layers, shape = np.random.default_rng(2), robot.home_rad, set(), body(robot)
    for step in range(600):
        if step % 20 == 0:
            wanted = rng.uniform(-1, 1, 5) * robot.velocity_rad_s
        passed = limiter.apply(wanted, ArmReading(q_rad, np.zeros(5), forward(q_rad, robot).position_m))
        layers |= {*passed.layer.split(" + ")}
        q_rad = q_rad + 0.05 * passed.command
        assert gaps(capsule_ends(link_frames(q_rad, robot), shape), shape).gap_m.min() > 0.01
    assert {"singularity", "self-collision"} <= layers


def test_joint_velocity_of_five_joints_moves_the_hand(tmp_path: Path) -> None:
    robot = load_robot(written(tmp_path, arm_content(5)))
    twist = jacobian(robot.home_rad, robot) @ [0.1, 0, -0.1, 0.2, 0]  # one that five joints can follow
    qd_rad_s = joint_velocity(robot.home_rad, twist, 1e-9, robot=robot)
    np.testing.assert_allclose(jacobian(robot.home_rad, robot) @ qd_rad_s, twist, atol=1e-4)


def test_limits_on_torques_need_the_inertia_at_the_joints(tmp_path: Path) -> None:
    content = arm_content(2)
    torque = Actuation("torque", "torque", np.ones(2))
    with pytest.raises(ValueError, match=r"arm2 must have inertia_least_kg_m2 .* for torques"):
        Limiter(torque, robot=load_robot(written(tmp_path, content)))
    with pytest.raises(ValueError, match=r"actuation\.scale must have 7 values, got \[1.0, 1.0\]"):
        Limiter(torque)
    for joint in content["joints"]:
        joint |= {"inertia_least_kg_m2": 0.1, "inertia_most_kg_m2": 0.2}
    robot = load_robot(written(tmp_path, content, "known.yaml"))
    reading = ArmReading(robot.home_rad, np.zeros(2), forward(robot.home_rad, robot).position_m)
    assert Limiter(torque, Limits((-1, -1, -1), (1, 1, 1)), robot).apply([5, 0], reading).layer == "torque"
