"""`tdm_ros robot import`: URDF and MJCF files written here, what is folded, assumed and said, and what is rejected."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml
from drafts_for_tests import robot_of

from tdm_ros.cli import main
from tdm_ros.envs.mjcf_reader import is_mjcf, read_mjcf
from tdm_ros.robots import meshes
from tdm_ros.robots.capsule_fit import capsules_around
from tdm_ros.robots.capsules import body
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.importing import Draft, draft
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.tree import Part
from tdm_ros.robots.urdf_reader import read_urdf

LENGTHS_M = (0.15, 0.35, 0.3, 0.1, 0.08, 0.05)
AXES = ("0 0 1", "0 1 0", "0 1 0", "0 1 0", "0 0 1", "0 1 0")
MASSES_KG = (3, 3, 2, 1, 0.5, 0.2)


def link(i: int) -> str:
    """Link i of the arm: a cylinder along its z axis."""
    length, mass = LENGTHS_M[i], MASSES_KG[i]
    middle = f'<origin xyz="0 0 {length / 2}" rpy="0 0 0"/>'
    moments = (
        f'<inertia ixx="{0.01 * mass}" iyy="{0.01 * mass}" izz="{0.005 * mass}" ixy="{mass / 3000}" ixz="0" iyz="0"/>'
    )
    return (
        f'<link name="link{i + 1}"><inertial>{middle}<mass value="{mass}"/>{moments}</inertial>'
        f'<collision>{middle}<geometry><cylinder radius="0.03" length="{length}"/></geometry></collision></link>'
    )


def joint(i: int) -> str:
    above = {0: "base", 3: "plate"}.get(i, f"link{i}")
    z = LENGTHS_M[i - 1] if i not in (0, 3) else 0.1 if i == 0 else 0.02
    return (
        f'<joint name="joint{i + 1}" type="revolute"><parent link="{above}"/><child link="link{i + 1}"/>'
        f'<origin xyz="0 0 {z}" rpy="0 {0.2 if i == 2 else 0} 0"/><axis xyz="{AXES[i]}"/>'
        f'<limit lower="-2.6" upper="2.6" velocity="{2 + 0.1 * i}" effort="{80 - 10 * i}"/></joint>'
    )


FIXED = """
<link name="plate"/>
<joint name="bolted" type="fixed"><parent link="link3"/><child link="plate"/><origin xyz="0 0.01 0.28" rpy="0 0 0.3"/>
</joint>
<link name="camera"><inertial><origin xyz="0 0 0.01"/><mass value="0.3"/>
<inertia ixx="1e-4" iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>
<collision><geometry><sphere radius="0.03"/></geometry></collision></link>
<joint name="screwed" type="fixed"><parent link="plate"/><child link="camera"/><origin xyz="0.05 0 0"/></joint>
<link name="tool"/>
<joint name="flange" type="fixed"><parent link="link6"/><child link="tool"/><origin xyz="0 0 0.05" rpy="0 0 1"/></joint>
<link name="finger"><inertial><mass value="0.05"/>
<inertia ixx="1e-5" iyy="1e-5" izz="1e-5" ixy="0" ixz="0" iyz="0"/></inertial>
<collision><geometry><box size="0.01 0.02 0.05"/></geometry></collision></link>
<joint name="slide" type="prismatic"><parent link="tool"/><child link="finger"/><axis xyz="1 0 0"/>
<limit lower="0.01" upper="0.04" velocity="1" effort="1"/></joint>"""

BASE = '<link name="base"><collision><geometry><box size="0.1 0.1 0.1"/></geometry></collision></link>'
URDF = f'<robot name="My arm">{BASE}{"".join(link(i) + joint(i) for i in range(6))}{FIXED}</robot>'


def written(tmp_path: Path, text: str, name: str = "arm.urdf") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def drafted(tmp_path: Path, text: str, tip: str = "tool", **options: list[float]) -> Draft:
    return draft(read_urdf(written(tmp_path, text)), "base", tip, options=options)


def said(made: Draft) -> str:
    return "\n".join(note.text for note in made.notes)


def of_mujoco(robot: Robot, model: mujoco.MjModel, tip: str, count: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Hand poses, (N, 4, 4), of our robot and of MuJoCo at random postures."""
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    places = [model.joint(name).qposadr[0] for name in robot.joint_names]
    ours, theirs = np.tile(np.eye(4), (2, count, 1, 1))
    for i, q_rad in enumerate(rng.uniform(robot.lower_rad, robot.upper_rad, (count, len(places)))):
        data.qpos[places] = q_rad
        mujoco.mj_kinematics(model, data)
        place = data.site(tip) if any(model.site(j).name == tip for j in range(model.nsite)) else data.body(tip)
        theirs[i, :3, :3], theirs[i, :3, 3] = place.xmat.reshape(3, 3), place.xpos
        ours[i, :3, 3], ours[i, :3, :3] = forward(q_rad, robot)
    return ours, theirs


# What is read


def test_urdf_hand_is_where_mujoco_has_it(tmp_path: Path) -> None:
    """Fixed joints of the chain, turned and shifted origins, and a hand behind the last joint."""
    compiler = '<mujoco><compiler fusestatic="false" boundmass="1e-9" boundinertia="1e-12"/></mujoco>'
    model = mujoco.MjModel.from_xml_string(re.sub(r'(<robot name="My arm">)', rf"\1{compiler}", URDF))
    np.testing.assert_allclose(*of_mujoco(robot_of(drafted(tmp_path, URDF)), model, "tool"), atol=1e-9)


def test_urdf_joints_links_and_shapes_are_those_of_the_file(tmp_path: Path) -> None:
    made = drafted(tmp_path, URDF)
    robot = robot_of(made)
    assert robot.name == "my_arm" and robot.base_frame == "base" and robot.hand_frame == "tool"
    assert robot.joint_names == tuple(f"joint{i}" for i in range(1, 7))
    np.testing.assert_allclose(robot.velocity_rad_s, 2 + 0.1 * np.arange(6))
    np.testing.assert_allclose(robot.effort_n_m, 80 - 10 * np.arange(6))
    assert robot.links["link2"].mass_kg == 3 and robot.links["link2"].com_m.tolist() == [0, 0, 0.175]
    assert robot.links["link2"].inertia_kg_m2.tolist() == pytest.approx([0.03, 0.03, 0.015, 0.001, 0, 0])
    assert robot.links["camera"].mass_kg == 0.3, "mass on a fixed side link"
    assert {*robot.fixed_links} == {"camera", "finger"}, "those with mass or a shape"
    assert robot.place("camera")[0] == 3 and robot.place("finger")[0] == 6
    np.testing.assert_allclose(robot.place("finger")[1][:3, 3], [0.01 * np.cos(1), 0.01 * np.sin(1), 0.05], atol=1e-12)
    assert "slide" in said(made), "the finger is held at its limit next to zero"
    assert {capsule.link for capsule in robot.capsules} == {"base", *robot.link_names, "camera", "finger"}
    sphere = next(capsule for capsule in robot.capsules if capsule.link == "camera")
    assert sphere.radius_m == pytest.approx(0.03) and sphere.ends_m == (0, 0, 0, 0, 0, 0)


def test_mjcf_hand_is_where_mujoco_has_it(tmp_path: Path) -> None:
    """Joints off the origin of their bodies, two of them in one body, a reference angle, and a site for the hand."""
    xml = """<mujoco><compiler angle="radian" autolimits="true"/><default><joint damping="2" armature="0.3"/></default>
    <worldbody><geom type="plane" size="1 1 1"/><body name="base" pos="1 2 3" euler="0 0 1"><geom size=".1"/>
    <body name="upper" pos="0 0 .2" euler=".3 0 0"><joint name="yaw" axis="0 0 1" range="-2 2" pos="0 .1 0"/>
    <joint name="pitch" axis="0 1 0" range="-1 2" pos="0 0 .1" actuatorfrcrange="-20 20"/>
    <geom type="capsule" fromto="0 0 0 0 0 .4" size=".04"/>
    <body name="lower" pos="0 0 .4"><joint name="elbow" axis="0 1 0" ref=".5" pos=".02 0 .01"/>
    <geom type="box" size=".02 .03 .2" pos="0 0 .2"/><geom type="ellipsoid" size=".02 .03 .05" pos="0 0 .4"/>
    <site name="tip" pos="0 .01 .4" euler="0 .2 0"/></body></body></body></worldbody>
    <actuator><motor joint="yaw" ctrlrange="-2 2" gear="15"/><position joint="elbow" forcerange="-9 9"/></actuator>
    </mujoco>"""
    path = written(tmp_path, xml, "arm.xml")
    assert is_mjcf(path) and not is_mjcf(written(tmp_path, URDF))
    made = draft(read_mjcf(path), "base", "tip", options={"velocity_rad_s": [2.0]})
    robot = robot_of(made)
    assert robot.joint_names == ("yaw", "pitch", "elbow")
    assert robot.effort_n_m.tolist() == [30, 20, 9] and robot.rotor_inertia_kg_m2.tolist() == [0.3] * 3
    assert robot.lower_rad.tolist() == [-2, -1, -2 * np.pi] and "elbow has no limits (continuous)" in said(made)
    model = mujoco.MjModel.from_xml_string(xml.replace('pos="1 2 3" euler="0 0 1"', ""))
    np.testing.assert_allclose(*of_mujoco(robot, model, "tip"), atol=1e-9)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    assert robot.links["lower"].mass_kg == pytest.approx(model.body("lower").mass[0])


@pytest.mark.parametrize("kind", ["binary", "text", "obj", "package"])
def test_mesh_is_inside_its_capsules(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    triangles = rng.uniform(-1, 1, (60, 3, 3)).astype(np.float32) * [0.05, 0.08, 0.3]
    (tmp_path / "meshes").mkdir()
    file = tmp_path / "meshes" / ("part.obj" if kind == "obj" else "part.STL")
    if kind == "obj":
        rows = [f"v {x} {y} {z}" for x, y, z in triangles.reshape(-1, 3)]
        file.write_text("\n".join([*rows, *(f"f {i}/1 {i + 1}/1 {i + 2}/1" for i in range(1, 180, 3))]))
    elif kind == "text":
        loops = ("\n".join(f"vertex {x} {y} {z}" for x, y, z in triangle) for triangle in triangles)
        file.write_text("solid part\n" + "\n".join(f"facet\nouter loop\n{loop}\nendloop\nendfacet" for loop in loops))
    else:
        content = np.zeros(60, meshes.STL)
        content["corners"] = triangles
        file.write_bytes(b"solid but binary".ljust(80) + (60).to_bytes(4, "little") + content.tobytes())
    name = f"package://{tmp_path.name}/meshes/{file.name}" if kind == "package" else f"meshes/{file.name}"
    part = f'<collision><origin xyz="0 0 1"/><geometry><mesh filename="{name}" scale="2 1 1"/></geometry></collision>'
    made = drafted(tmp_path, URDF.replace('<link name="plate"/>', f'<link name="plate">{part}</link>'))
    robot = robot_of(made)
    mine = [capsule for capsule in robot.capsules if capsule.link == "plate"]
    points = triangles * [2, 1, 1] + [0, 0, 1]
    outside = np.min([beyond(points.reshape(-1, 3), c.ends_m, c.radius_m).reshape(-1, 3).max(1) for c in mine], axis=0)
    assert outside.max() < 1e-9, "each triangle is inside one of them"
    assert np.median(-outside) < 0.2 and 1 <= len(mine) <= 4


def beyond(points: np.ndarray, ends_m: tuple[float, ...], radius_m: float) -> np.ndarray:
    """Distances of points, (N, 3), from the surface of a capsule; negative inside."""
    start, end = np.reshape(ends_m, (2, 3))
    along = end - start
    part = np.clip((points - start) @ along / max(along @ along, 1e-12), 0, 1)
    return np.linalg.norm(points - start - part[:, None] * along, axis=1) - radius_m


@pytest.mark.parametrize("seed", range(20))
def test_capsules_enclose_every_triangle_of_any_shape(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 10 ** rng.uniform(-2, 0, 3)
    corners = rng.normal(size=(rng.integers(1, 80), 1, 3)) * size
    triangles = corners + 0.02 * rng.normal(size=(len(corners), 3, 3)) * rng.integers(0, 2)
    fits = capsules_around([Part(triangles), Part(meshes.segment(np.zeros(3), size), 0.01)])
    outside = [
        beyond(triangles.reshape(-1, 3), tuple(f.ends_m.ravel()), f.radius_m).reshape(-1, 3).max(1) for f in fits
    ]
    assert np.min(outside, axis=0).max() < 1e-9


def test_crossing_cylinders_become_a_capsule_each() -> None:
    shapes = [Part(meshes.cylinder(0.03, 0.4)), Part(meshes.cylinder(0.03, 0.4)[..., [2, 0, 1]])]
    fits = capsules_around(shapes)
    assert len(fits) == 2 and max(fit.radius_m for fit in fits) < 0.032


def test_cylinder_along_z_becomes_a_capsule_that_is_little_larger(tmp_path: Path) -> None:
    robot = robot_of(drafted(tmp_path, URDF))
    (capsule,) = (capsule for capsule in robot.capsules if capsule.link == "link2")
    ends = np.sort(np.reshape(capsule.ends_m, (2, 3))[:, 2])
    assert capsule.radius_m == pytest.approx(0.03, rel=0.02) and ends == pytest.approx([0, 0.35], abs=0.01)


# What is assumed, and said


def test_what_the_file_lacks_is_assumed_and_said(tmp_path: Path) -> None:
    text = re.sub(r"<inertial>.*?</inertial>", "", URDF.replace('type="revolute"', 'type="continuous"'), count=1)
    text = text.replace('<cylinder radius="0.03" length="0.3"/>', '<mesh filename="gone.stl"/>')
    text = text.replace('<cylinder radius="0.03" length="0.35"/>', '<mesh filename="shape.dae"/>')
    (tmp_path / "shape.dae").touch()
    made = drafted(tmp_path, text)
    robot, words = robot_of(made), said(made)
    assert robot.lower_rad.tolist() == [-2 * np.pi] * 6 and "joint3 has no limits (continuous): -2 pi and 2 pi" in words
    assert "link1: no mass in the file; 1000 kg/m^3 in its capsules is taken" in words
    assert robot.links["link1"].mass_kg == pytest.approx(0.55, abs=0.05)
    assert "link3: the mesh gone.stl is not found beside arm.urdf" in words
    assert "link2: shape.dae must be STL or OBJ" in words
    assert "no shape of link2, link3 can be read: a thin capsule is put along each" in words
    thin = next(capsule for capsule in robot.capsules if capsule.link == "link2")
    assert thin.ends_m == pytest.approx((0, 0, 0, 0, 0, 0.35)) and thin.radius_m == pytest.approx(0.018, abs=1e-3)


def test_mesh_in_millimetres_is_said(tmp_path: Path) -> None:
    (tmp_path / "part.obj").write_text("v 0 0 0\nv 0 0 350\nv 0 20 0\nf 1 2 3\n")
    mesh = '<cylinder radius="0.03" length="0.35"/>', '<mesh filename="part.obj"/>'
    assert 'link2: part.obj is 350 m long; if it is in millimetres, add scale="0.001' in said(
        drafted(tmp_path, URDF.replace(*mesh))
    )


def test_notes_on_links_that_the_arm_does_not_have_are_left_out(tmp_path: Path) -> None:
    tree = read_urdf(written(tmp_path, URDF.replace('<box size="0.1 0.1 0.1"/>', '<mesh filename="gone.stl"/>')))
    assert "gone.stl" in said(draft(tree, "base", "tool")) and "gone.stl" not in said(draft(tree, "link3", "tool"))


def test_other_arms_on_the_base_are_left_out_and_said(tmp_path: Path) -> None:
    other = link(0).replace("link1", "other") + joint(0).replace('link="link1"', 'link="other"').replace("joint1", "o1")
    made = drafted(tmp_path, URDF.replace("</robot>", f"{other}</robot>"))
    assert "what these joints move on the base is left out: o1" in said(made)
    assert "other" not in robot_of(made).fixed_links


def test_limits_of_options_take_precedence(tmp_path: Path) -> None:
    made = drafted(tmp_path, URDF, velocity_rad_s=[1.5], effort_n_m=[6, 5, 4, 3, 2, 1])
    robot = robot_of(made)
    np.testing.assert_allclose(robot.velocity_rad_s, 2 + 0.1 * np.arange(6))  # one value fills what is missing
    assert robot.effort_n_m.tolist() == [6, 5, 4, 3, 2, 1]  # one for each joint replaces it
    assert any("effort_n_m 6 was given instead of 80" in note.text for note in made.notes)


# What is rejected

LIMIT = '<limit lower="-2.6" upper="2.6" velocity="2.1" effort="70"/>'
REJECTED = {
    "unknown base": (
        URDF.replace("base", "bse"),
        r"--base must be a link of the file, got 'base' \(did you mean bse\?\)",
    ),
    "prismatic": (
        URDF.replace('name="joint2" type="revolute"', 'name="joint2" type="prismatic"'),
        r"joint joint2 between --base and --tip must be revolute, continuous or fixed, got prismatic: choose",
    ),
    "mimic": (
        URDF.replace(LIMIT, LIMIT + '<mimic joint="joint1"/>'),
        r"joint joint2 between .* must be independent, got one that follows joint1 \(mimic\): choose",
    ),
    "no limit": (
        URDF.replace(LIMIT, '<limit velocity="2.1" effort="70"/>'),
        r"joint joint2 must have a lower limit below the upper one, got lower missing and upper missing: add <limit",
    ),
    "no velocity": (
        URDF.replace('velocity="2.1"', ""),
        r"joint joint2 must have a limit velocity_rad_s above 0, got none: add it to the file, or give --velocity",
    ),
    "effort of zero": (
        URDF.replace('effort="70"', 'effort="0"'),
        r"limit effort_n_m above 0, got 0\.0: .* give --effort",
    ),
    "limit no number": (
        URDF.replace('upper="2.6"', 'upper="far"'),
        r"joint1: upper must be 1 finite numbers, got 'far'",
    ),
    "limit nan": (URDF.replace('upper="2.6"', 'upper="nan"'), r"joint1: upper must be 1 finite numbers, got 'nan'"),
    "no axis": (
        URDF.replace('axis xyz="0 0 1"', 'axis xyz="0 0 0"'),
        r"joint1: axis must be a direction, got \[0.0, 0.0",
    ),
    "origin of two": (URDF.replace('xyz="0 0 0.1"', 'xyz="0 0"'), r"joint1: xyz must be 3 finite numbers, got '0 0'"),
    "xacro": (
        URDF.replace("</robot>", "<xacro:arm/></robot>"),
        r"must be plain URDF, got xacro macros: run `xacro arm",
    ),
    "child unknown": (
        URDF.replace('child link="link6"', 'child link="x"'),
        r"the child of joint joint6 must be a link",
    ),
    "no XML": ("<robot", r"must be XML, got what cannot be parsed \(.*\): correct it"),
    "other XML": ("<sdf/>", r"must be URDF, with <robot> as its root, got <sdf>: give another file"),
    "link without name": (
        URDF.replace('<link name="plate"/>', "<link/>"),
        r"every link must have a name, got one without",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_wrong_urdf_is_rejected_in_one_sentence_with_the_remedy(tmp_path: Path, case: str) -> None:
    text, expected = REJECTED[case]
    with pytest.raises(ValueError, match=expected) as error:
        drafted(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


def test_all_that_is_missing_in_a_model_is_told_at_once(tmp_path: Path) -> None:
    text = URDF.replace(LIMIT, "").replace('effort="50"', 'effort="0"').replace('velocity="2.3"', "")
    text = text.replace('name="joint6" type="revolute"', 'name="joint6" type="prismatic"')
    with pytest.raises(ValueError) as error:
        drafted(tmp_path, text, acceleration_rad_s2=[1.0, 2.0])
    path, *lines = str(error.value).split("\n  ")
    remedy = "add it to the file, or give"
    assert path == f"{tmp_path / 'arm.urdf'}: 5 things must be corrected:"
    assert lines[0].startswith("joint joint6 between --base and --tip must be revolute, continuous or fixed, got prism")
    assert lines[1].startswith("--acceleration must have 1 value or 6, one per joint, got 2")
    assert lines[2].startswith("joint joint2 must have a lower limit below the upper one, got lower missing and upper")
    assert lines[3].startswith(
        f"joints joint2, joint4 must have a limit velocity_rad_s above 0, got none: {remedy} --v"
    )
    assert lines[4].startswith(
        "joints joint2, joint4 must have a limit effort_n_m above 0, got joint2: none, joint4: 0"
    )


def test_unknown_base_and_tip_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"2 things .*\n  --base must be .*'bse'.*\n  --tip must be .*'tol'.*: choose f"
    ):
        draft(read_urdf(written(tmp_path, URDF)), "bse", "tol")


def test_tip_that_the_base_does_not_carry_is_rejected_with_the_chain(tmp_path: Path) -> None:
    tree = read_urdf(written(tmp_path, URDF))
    with pytest.raises(ValueError, match=r"--tip must be a link of the file, got 'tol' \(did you mean tool\?\)"):
        draft(tree, "base", "tol")
    with pytest.raises(ValueError, match=r"connect to --base camera, got tool, which hangs on base > link1 > link2"):
        draft(tree, "camera", "tool")
    with pytest.raises(ValueError, match=r"joints must move camera against plate, got fixed ones alone"):
        draft(tree, "plate", "camera")
    with pytest.raises(ValueError, match=r"--velocity must have 1 value or 6, one per joint, got 2"):
        draft(tree, "base", "tool", options={"velocity_rad_s": [1.0, 2.0]})


def test_mjcf_without_limits_or_that_mujoco_rejects_is_rejected(tmp_path: Path) -> None:
    inner = '<geom size=".1"/><body name="b"><joint name="j" range="-1 1"/><geom size=".1"/></body>'
    good = f'<mujoco><worldbody><body name="a">{inner}</body></worldbody></mujoco>'
    with pytest.raises(ValueError, match=r"joint j must have a limit velocity_rad_s above 0, got none: .* --velocity"):
        draft(read_mjcf(written(tmp_path, good, "a.xml")), "a", "b")
    with pytest.raises(ValueError, match=r"joint j must have a limit effort_n_m above 0, got 0.0: .* --effort"):
        draft(read_mjcf(written(tmp_path, good, "a.xml")), "a", "b", options={"velocity_rad_s": [1.0]})
    with pytest.raises(ValueError, match=r"b\.xml must be a model that MuJoCo loads, got an error \(.*\): correct it"):
        read_mjcf(written(tmp_path, good.replace("<geom", "<goem", 1), "b.xml"))


# The command


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """File that the command wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("import")
    model, out = written(folder, URDF), folder / "mine.yaml"
    with redirect_stdout(StringIO()) as printed:
        command = [
            "robot",
            "import",
            str(model),
            "--base",
            "base",
            "--tip",
            "tool",
            "--name",
            "mine",
            "--out",
            str(out),
        ]
        assert main(command) == 0
    return out, printed.getvalue()


def test_imported_file_has_home_boxes_and_comments(imported: tuple[Path, str]) -> None:
    path, printed = imported
    robot, text = load_robot(path), path.read_text()
    pose = forward(robot.home_rad, robot)
    assert pose.rotation[2, 2] < -0.95, "the hand points down"
    assert pose.position_m[0] > 0.2 and abs(pose.position_m[1]) < 0.05
    for (low, high), margin in ((robot.goal_box_m, 0.0), (robot.hand_box_m, 0.02)):
        assert (pose.position_m - low >= margin).all() and (high - pose.position_m >= margin).all()
    assert (np.subtract(*robot.goal_box_m[::-1]) > 0.1).all() and robot.hand_box_m[0][2] >= 0
    assert len(body(robot).near) > 5
    assert all(line.startswith("#") for line in text.splitlines() if "Assumption" in line)
    for key in ("home_rad", "goal_box_m", "hand_box_m", "joints"):
        assert re.search(rf"(^#.*Assumption.*\n(#.*\n)*){key}:", text, re.MULTILINE), key
    assert "acceleration_rad_s2 of all joints" in printed and "held at zero" in printed
    assert f"tdm_ros robot check {path}" in printed and f"tdm_ros up reach robot:={path}" in printed
    assert max(map(len, text.splitlines())) <= 120


def test_imported_numbers_survive_the_file(imported: tuple[Path, str], tmp_path: Path) -> None:
    content = yaml.safe_load(imported[0].read_text())
    for key, value in drafted(tmp_path, URDF).content.items():
        if key not in ("joints", "name"):
            assert content[key] == value, key
    for ours, theirs in zip(drafted(tmp_path, URDF).content["joints"], content["joints"], strict=True):
        assert ours.items() <= theirs.items()


def test_imported_file_passes_the_check(imported: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robot", "check", str(imported[0]), "--cycles", "5"]) == 0
    assert "verdict: fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["--out", "arm.yml"], r"--out must end with \.yaml, got arm\.yml: rename it"),
        (["--out", "nowhere/arm.yaml"], r"--out must be in a folder that exists, got nowhere/arm\.yaml: make nowhere"),
        (["--name", "../arm"], r"--name must be letters, digits, _, - and dots, got '\.\./arm': choose another one"),
        (["--tip", "tol"], r"tdm_ros robot import: .*--tip must be a link of the file"),
    ],
)
def test_command_that_is_wrong_exits_with_2(tmp_path: Path, change: list[str], expected: str, capsys) -> None:
    model = written(tmp_path, URDF)
    assert main(["robot", "import", str(model), "--base", "base", "--tip", "tool", *change]) == 2
    assert re.search(expected, capsys.readouterr().err)


def test_tip_that_moves_in_two_directions_alone_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = written(tmp_path, URDF)
    assert (
        main(["robot", "import", str(model), "--base", "base", "--tip", "link3", "--out", str(tmp_path / "a.yaml")])
        == 2
    )
    expected = "must be a link that joints move in three directions, got 3 joints that move it in 2: choose"
    assert expected in capsys.readouterr().err and not (tmp_path / "a.yaml").exists()


def test_existing_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = written(tmp_path, URDF), written(tmp_path, "mine", "mine.yaml")
    assert main(["robot", "import", str(model), "--base", "base", "--tip", "tool", "--out", str(out)]) == 2
    assert out.read_text() == "mine" and "must be a new file" in capsys.readouterr().err
