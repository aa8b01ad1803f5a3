"""`tdm_ros robot list` and `check`: what they print, which descriptions they find unfit, and a limiter that fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tdm_ros.cli import main
from tdm_ros.robots import checking, limiter_layers
from tdm_ros.robots.batch import avoidable, clearances, frames_of, heights, random_postures, reach_from_home, slopes_of
from tdm_ros.robots.capsules import body, capsule_ends, gaps
from tdm_ros.robots.checking import check, pairs_of
from tdm_ros.robots.description import load_robot, robot_files
from tdm_ros.robots.hostile import COMMANDERS, LATENESSES
from tdm_ros.robots.kinematics import jacobian, link_frames

NAMES = ("sawyer", "ur5e", "panda", "xarm7", "gen3", "so101")
FOLDER = Path(__file__).parent.parent / "config" / "robots"


def changed(tmp_path: Path, change: dict[str, Any], name: str = "ur5e") -> Path:
    """Description file of an arm with some of its entries replaced."""
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) | change))
    return path


def test_list_has_a_row_for_each_robot(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robot", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "joints", "hand", "frame", "reach", "[m]", "drivers", "file"]
    table = {row.split()[0]: row.split() for row in rows}
    for name, path in robot_files().items():
        robot = load_robot(name)
        assert table[name][1:3] == [str(len(robot.joint_names)), robot.hand_frame] and table[name][-1] == str(path)
    assert 0.95 < float(table["ur5e"][3]) < 1.3, "0.85 m from the shoulder, as the vendor says, and 0.16 m of height"


def test_list_says_what_is_wrong_with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    path = changed(tmp_path, {"home_rad": [0.0]})
    monkeypatch.setattr(checking, "robot_files", lambda: {"ur5e": FOLDER / "ur5e.yaml", "changed": path})
    assert main(["robot", "list"]) == 0
    assert re.search(rf"{path}: home_rad must be 6 finite numbers, got \[0\.0\]", capsys.readouterr().out)


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_here_passes_the_check(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each commander and lateness, shorter than by default; `test_limiter_hostile.py` has more cycles."""
    assert main(["robot", "check", name, "--cycles", "6"]) == 0
    text = capsys.readouterr().out
    assert f"{6 * 2 * len(COMMANDERS) * len(LATENESSES)} cycles of 50 ms" in text and ": 0 violations" in text
    share = re.search(
        r"reaches from home: ([\d.]+)% of 500 random ones to 1 mm; free of self-coll\w+ at ([\d.]+)%", text
    )
    assert share and float(share[1]) >= float(share[2]) >= 99
    assert "inside the hand box" in text and "free of self-collision, least distance" in text
    robot = load_robot(name)
    for joint, lower in zip(robot.joint_names, robot.lower_rad, strict=True):
        assert re.search(rf"^  {joint} +{re.escape(f'{lower:.4g}')} ", text, re.MULTILINE)


def test_picture_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "arm.png"
    assert main(["robot", "check", "so101", "--cycles", "1", "--picture", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG") and f"picture: {path}" in capsys.readouterr().out
    assert main(["robot", "check", "so101", "--picture", str(tmp_path / "arm.txt")]) == 2
    assert "must be the name of an image, .png, got" in capsys.readouterr().err


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "folded home": (
        {"home_rad": [0, -1.2, 3.1, 0, 0, 0]},
        r"home_rad must be free of self-collision, got \w+ and \w+ overlapping by \d+ mm: change home_rad, ",
    ),
    "home outside": (
        {"home_rad": [3.0, -1.604, 2.103, -2.07, -1.5708, -0.301]},
        r"hand at home must be inside hand_box_m by 11 mm or more, got \(.*\) m, -\d+ mm: change home_rad or ",
    ),
    "goals too far": (
        {"goal_box_m": {"low": [0.3, -0.3, 0.08], "high": [1.5, 0.3, 0.5]},
         "hand_box_m": {"low": [0.15, -0.5, 0.03], "high": [1.6, 0.5, 0.75]}},
        r"goal_box_m must be reached .* at 95% of random goals or more, got \d\d\.\d% \(the farthest is \(1\.",
    ),
    "goals outside": (
        {"hand_box_m": {"low": [0.35, -0.5, 0.03], "high": [0.85, 0.5, 0.75]}},
        r"goal_box_m must be inside hand_box_m, got low \(0\.300, .*\) against \(0\.350, .*\): make",
    ),
    "home at a limit": (
        {"home_rad": [-0.301, -1.604, 2.103, -2.07, -1.5708, -6.25]},
        r"home_rad must leave 0\.0055 m before bounds and 0\.1 rad before joint limits, got joints 0\.033, ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_unfit_description_is_found_in_one_sentence_with_the_remedy(tmp_path: Path, case: str, capsys) -> None:
    change, expected = UNFIT[case]
    assert main(["robot", "check", str(changed(tmp_path, change)), "--cycles", "1"]) == 1
    printed = capsys.readouterr()
    assert any(re.fullmatch(f"{expected}.*", line) for line in printed.err.splitlines()), printed.err
    assert re.search(r"verdict: unfit: [1-9]", printed.out) and "violations" not in printed.out


@pytest.mark.parametrize("layer", ["clearance", "workspace", "hand_speed"])
def test_limiter_without_a_layer_is_found(monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
    """The hostile commands do what they are for: each layer that is left out gives violations of its limit."""
    monkeypatch.setattr(limiter_layers, layer, lambda *_: 1.0)
    report = check(load_robot("ur5e"), 0, 40, lambda: None)
    names = {"clearance": "clearance", "workspace": "links", "hand_speed": "hand speed"}
    assert any(f"limit of {names[layer]}, got -" in finding for finding in report.findings), report.lines[-2:]


def test_check_with_one_seed_is_repeatable() -> None:
    robot = load_robot("so101")
    assert check(robot, 3, 2, lambda: None).text() == check(robot, 3, 2, lambda: None).text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nobody"], "robot must be gen3, panda, .* got 'nobody'"),
        (["ur5e", "--cycles", "0"], "--cycles must be 1 or more, got 0: give a larger number"),
    ],
)
def test_check_that_cannot_be_made_exits_with_2(arguments: list[str], expected: str, capsys) -> None:
    assert main(["robot", "check", *arguments]) == 2
    assert re.match(f"tdm_ros robot check: {expected}", capsys.readouterr().err)


# Many postures at once are the same as one after the other


@pytest.mark.parametrize("name", NAMES)
def test_batch_is_the_kinematics_of_each_posture(name: str) -> None:
    robot = load_robot(name)
    q_rad, shape = random_postures(robot, 20, np.random.default_rng(0)), body(robot)
    frames = frames_of(q_rad, robot)
    np.testing.assert_allclose(frames, [link_frames(q, robot) for q in q_rad], atol=1e-12)
    np.testing.assert_allclose(slopes_of(frames, robot), [jacobian(q, robot)[:3] for q in q_rad], atol=1e-12)
    ends = [capsule_ends(link_frames(q, robot), shape) for q in q_rad]
    np.testing.assert_allclose(clearances(frames, robot), [gaps(each, shape).gap_m.min() for each in ends])
    low = [(each[..., 2] - shape.radius_m[:, None])[avoidable(robot)].min() for each in ends]
    np.testing.assert_allclose(heights(frames, robot), np.minimum(low, frames[:, -1, 2, 3]))
    assert min(pair.sampled_m for pair in pairs_of(robot, frames)) == pytest.approx(clearances(frames, robot).min())


def test_goals_out_of_reach_are_not_reached() -> None:
    robot = load_robot("panda")
    reached = reach_from_home(robot, np.array([[0.5, 0.0, 0.4], [2.0, 0.0, 0.4]]))
    assert reached.miss_m[0] < 1e-3 and reached.miss_m[1] > 0.8
    assert (reached.q_rad >= robot.lower_rad).all() and (reached.q_rad <= robot.upper_rad).all()


def test_joint_with_more_friction_than_effort_is_found(tmp_path: Path) -> None:
    text = robot_files()["so101"].read_text()
    path = tmp_path / "stiff.yaml"
    path.write_text(re.sub(r"friction_n_m: [\d.]+", "friction_n_m: 50", text, count=1))
    report = check(load_robot(path), 0, 2, lambda: None)
    assert any("friction_n_m must be below effort_n_m" in finding for finding in report.findings)
