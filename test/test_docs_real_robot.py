"""docs/real_robot.md is followed by people with a robot: its commands, files and error texts are those of the code."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tdm_ros.bringup.table import flat, load_table
from tdm_ros.drivers.intera import devices, listener, sdk, wire, worker
from tdm_ros.drivers.intera.command_watchdog import Caps, CommandWatchdog
from tdm_ros.drivers.intera.wire import Command
from tdm_ros.nodes.parameters import NODES, check, specs_of
from tdm_ros.robots.description import load_robot, robot_files

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "real_robot.md").read_text()
ROWS = [cell for line in PAGE.splitlines() if line.startswith("| ") for cell in line.split("|")[1].split(";")]
"""Texts in the first column of its tables."""


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language, without their indent."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", PAGE, re.DOTALL | re.MULTILINE)
    return ["\n".join(line[len(indent) :] for line in text.splitlines()) for indent, text in found]


def fixed_parts(text: str) -> str:
    """Return a text without what differs from case to case: numbers, and what is in brackets."""
    return re.sub(r"\d+(\.\d+)?|\([^)]*\)", "#", text)


def says_of_the_robot() -> Iterable[str]:
    well = dict.fromkeys(("estop", "stopped", "error", "collided"), False) | {"enabled": True, "homed": True}
    for flag, value in (*((name, True) for name in ("estop", "stopped", "error", "collided")), ("enabled", False)):
        yield sdk.robot_problem(well | {flag: value}, 0.0)
    yield sdk.robot_problem(well | {"homed": False}, 0.0)
    yield sdk.robot_problem(well, 0.5)
    received = sdk.Received()
    received._joints = sdk.Joints(0.0, (), (), ())
    for name in sdk.WATCHED:
        if name != "collision state":
            received._note(name)
    yield received._never_received()
    for stopped, pressed, error in ((True, 1, False), (False, 0, True), (False, 0, False)):
        yield sdk.reset_problem(SimpleNamespace(stopped=stopped, estop_button=pressed, error=error))
    yield sdk.ERROR_PERSISTS
    yield from (f"the {name} is 0.4 s old" for name in sdk.WATCHED)


def says_of_commands() -> Iterable[str]:
    caps = Caps((0.5,) * 7, (5.0,) * 7)
    watchdog = CommandWatchdog(caps)
    watchdog.state_sent(1, 0.0)
    yield "the worker rejected a command: " + watchdog.offer(Command(1, 1, "velocity", (1.0,) * 7), 0.0, "")
    watchdog.step(0.0, "the robot is stopped", True)
    yield watchdog.offer(Command(2, 1, "velocity", (0.1,) * 7), 0.0, "")
    yield caps.overspeed((0.0,) * 7, (0.9,) * 7)
    yield replace(caps, hand_speed_m_s=0.25).overspeed((0.0,) * 7, (0.4,) * 7)


@pytest.mark.parametrize("text", [*says_of_the_robot(), *says_of_commands()])
def test_what_the_worker_says_has_a_row(text: str) -> None:
    assert text
    parts = [part.strip() for row in ROWS for part in fixed_parts(row).split("...")]
    said = fixed_parts(text)
    assert any(len(part) > 10 and (part in said or said in part) for part in parts), text


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("this Python has no rospy", sdk),
        ("intera_interface cannot be imported", sdk),
        ("no ROS master at", sdk),
        ("ROS_MASTER_URI must be like", sdk),
        ("must have joints right_j0 to right_j6, got", sdk),
        ("cannot be made", sdk),
        ("the robot has to connect back to this machine, at", sdk),
        ("no subscriber of", sdk),
        ("the robot is stopped: ask for a reset first", sdk),
        ("the robot was not there after", worker),
        ("the client has sent nothing for", worker),
        ("another client has the arm: end it first", listener),
        ("the secret of this client is not the worker's", listener),
        ("it is unknown whether the arm is held by hand", devices),
        ("cuff and buttons cannot be asked", devices),
    ],
)
def test_text_that_keeps_the_arm_from_coming_up_has_a_row(words: str, source: object) -> None:
    assert words in Path(str(getattr(source, "__file__"))).read_text()  # noqa: B009 - of any module
    assert any(words in row for row in ROWS)


def test_rows_of_the_sdk_are_its_own_words() -> None:
    """The stand-in says what the genuine one says, which a test run with it shows (docs/architecture.md)."""
    text = (ROOT / "test" / "intera" / "stand_in" / "intera_interface" / "robot_enable.py").read_text()
    for words in ("Failed to enable robot", "Failed to Reset: E-Stop Engaged"):
        assert words in text and any(words in row for row in ROWS)


def test_files_that_it_names_exist() -> None:
    for name in re.findall(r"(?<![\w/])((?:test|tools|config|tdm_ros)/[\w/.]+\.(?:py|yaml))", PAGE):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("text", blocks("yaml"))
def test_parameters_that_it_gives_exist(text: str) -> None:
    found = yaml.safe_load(re.sub(r"<[^>]*>", "x", text))
    if "/**/arm" not in found:
        found = {"/**/arm": {"ros__parameters": found}}
    for node, values in found.items():
        names, known = flat(values["ros__parameters"]), specs_of(NODES[node.removeprefix("/**/")])
        for name, value in names.items():
            check(node, name, known[name], value)


def test_worker_command_of_noetic_sources_its_workspace(tmp_path: Path) -> None:
    given = next(yaml.safe_load(text)["worker"]["command"] for text in blocks("yaml") if "devel/setup.bash" in text)
    setup = tmp_path / "setup.bash"
    setup.write_text("export FROM_WORKSPACE=yes\n")
    script = tmp_path / "worker.py"
    script.write_text("import os, sys; print(os.environ['FROM_WORKSPACE'], sys.argv[1:])")
    command = [*shlex.split(given.replace("/home/me/ros_ws/devel/setup.bash", str(setup))), str(script), "--fd", "3"]
    assert subprocess.check_output(command, text=True) == "yes ['--fd', '3']\n"


def test_arguments_of_the_worker_that_it_names_exist() -> None:
    known = worker.parser().format_help()
    for name in ("--listen", "--secret-file", "--without", "--velocity-scale", "--hand-speed-m-s"):
        assert name in PAGE and name in known


def test_time_until_it_gives_up_is_the_worker_s() -> None:
    assert f"`arm` says why within {wire.UP_S:g} s" in PAGE


BEHIND_ROS2_CONTROL = [name for name in robot_files() if "ros2_control" in load_robot(name).drivers]


@pytest.mark.parametrize("name", BEHIND_ROS2_CONTROL)
def test_limits_of_an_arm_behind_ros2_control_are_those_of_its_description_and_of_the_preset(name: str) -> None:
    robot = load_robot(name)
    preset = yaml.safe_load((ROOT / "config" / "arm_real.yaml").read_text())["/**/arm"]["ros__parameters"]["limits"]
    speeds = sorted({f"{preset['velocity_scale'] * speed:.2f}" for speed in robot.velocity_rad_s})
    box = " to ".join("(" + ", ".join(f"{x:g}" for x in corner) + ")" for corner in robot.hand_box_m)
    cells = [f"`{name}`", f"`{robot.base_frame}`", f"`{robot.hand_frame}`", " to ".join(speeds), box]
    assert f"| {' | '.join(cells)} |" in PAGE
    assert f"`robot:={name}`" in PAGE.partition("## Universal Robots")[2], "it has a section"


def test_converter_of_a_status_is_python() -> None:
    (program,) = blocks("python")
    compile(program, "converter", "exec")


TEXTS = [
    path
    for folder, pattern in ((".", "*.md"), ("docs", "*.md"), ("test", "**/*.py"), ("tools", "*.py"), ("launch", "*.py"))
    for path in sorted((ROOT / folder).glob(pattern))
    if path.name != "CHANGELOG.md"
]


@pytest.mark.parametrize("argument", ["robot", "sim", "network", "scene", "planner", "actuation"])
def test_values_of_arguments_that_texts_and_programs_name_exist(argument: str) -> None:
    choices = load_table(ROOT / "config" / "sawyer_reach.system.yaml").arguments[argument].choices
    choices += tuple(robot_files()) if argument == "robot" else ()  # of the system reach
    for path in TEXTS:
        for value in re.findall(rf"\b{argument}:=(\w+)", path.read_text()):
            assert value in choices, f"{path.relative_to(ROOT)}: {argument}:={value}"
