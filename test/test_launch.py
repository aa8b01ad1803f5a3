"""The launch files, built with ROS's own `launch` wherever it can be imported, for each documented argument."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

launch = pytest.importorskip("launch", reason="ROS's launch is not installed (no wheel has it): source a ROS 2")
launch_ros = pytest.importorskip("launch_ros", reason="ROS's launch_ros is not installed: source a ROS 2")

from ament_index_python.packages import get_packages_with_prefixes  # noqa: E402
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription  # noqa: E402
from launch_ros.actions import Node  # noqa: E402
from test_launching import launch_file  # noqa: E402

from tdm_ros.bringup.environment import LOOPBACK, PEERS, PROFILES, RANGE  # noqa: E402
from tdm_ros.bringup.table import SystemTable, load_table  # noqa: E402

FOLDER = Path(__file__).resolve().parents[1] / "launch"
TABLES = [load_table(path) for path in sorted((FOLDER.parent / "config").glob("*.system.yaml"))]
INSTALLED = set(get_packages_with_prefixes())


def described(name: str, **given: str) -> tuple[dict[str, DeclareLaunchArgument], list[Any]]:
    """Arguments, and the actions that a launch file comes to with what is given."""
    module = launch_file(name.removesuffix(".launch.py"))
    context = launch.LaunchContext()
    context.launch_configurations.update(given)
    arguments: dict[str, DeclareLaunchArgument] = {}
    actions: list[Any] = []

    def visit(entities: list[Any]) -> None:
        for entity in entities:
            if isinstance(entity, DeclareLaunchArgument):
                arguments[entity.name] = entity
            if isinstance(entity, Node | IncludeLaunchDescription):
                actions.append(entity)
                ENVIRONMENTS[id(entity)] = dict(os.environ)
            else:
                visit(entity.execute(context) or [])

    visit(module.generate_launch_description().entities)
    return arguments, actions


ENVIRONMENTS: dict[int, dict[str, str]] = {}
"""The environment in which each action of `described` is executed, by identity."""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A launch file makes the folder of the run; what it sets in the environment is put back."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def names(actions: list[Any]) -> set[str]:
    nodes = [action for action in actions if isinstance(action, Node)]
    return {f"{a._Node__node_namespace or ''}/{a._Node__node_name}".removeprefix("/") for a in nodes}


def included(actions: list[Any]) -> set[str]:
    sources = [a.launch_description_source for a in actions if isinstance(a, IncludeLaunchDescription)]
    return {Path(str(source._LaunchDescriptionSource__location[0].text)).name for source in sources}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_launch_file_has_the_arguments_of_the_table(table: SystemTable) -> None:
    arguments, actions = described(f"{table.name}.launch.py")
    assert set(arguments) == set(table.arguments)
    assert names(actions) == {node.full_name for node in table.started(table.values([]))}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.launch.py")), ids=lambda path: path.name)
def test_every_launch_file_has_the_common_arguments(path: Path) -> None:
    entities = launch_file(path.name.removesuffix(".launch.py")).generate_launch_description().entities
    declared = {entity.name for entity in entities if isinstance(entity, DeclareLaunchArgument)}
    assert {"namespace", "use_sim_time", "log_level"} <= declared


@pytest.mark.usefixtures("bare")
def test_namespace_argument_is_below_that_of_the_parent_launch_file() -> None:
    arguments = {"namespace": "left", "ros_namespace": "/lab", "use_sim_time": "true", "log_level": "warn"}
    _, actions = described("fleet.launch.py", arms="1", **arguments)
    assert {name.rpartition("/")[0] for name in names(actions)} == {"lab/left", "lab/left/arm1"}


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        pytest.param(table, argument.name, text, id=f"{table.name} {argument.name}:={text}")
        for table in TABLES
        for argument in table.arguments.values()
        for text in (("true", "false") if argument.kind is bool else map(str, argument.choices))
    ],
)
def test_launch_file_starts_with_each_value_of_each_argument(table: SystemTable, name: str, value: str) -> None:
    _, actions = described(f"{table.name}.launch.py", **{name: value})
    values = table.values([f"{name}:={value}"])
    assert names(actions) == {node.full_name for node in table.started(values)}
    assert included(actions) == {part.launch_file for part in table.included(values)}
    gazebo = {"gazebo.launch.py"} & {part.launch_file for part in table.includes}
    wanted = {("sim", "gazebo"): gazebo, ("driver", "gazebo"): gazebo, ("rviz", "true"): {"rviz.launch.py"}}
    assert included(actions) == wanted.get((name, value), set())


def run_launch(folder: Path, actions: str, interrupt: Callable[[str], bool] | None = None) -> tuple[int, str]:
    """Run a launch file as `ros2 launch` does, in a process group of its own; return exit status and output."""
    path = folder / "own.launch.py"
    path.write_text(INCLUDES.format(folder=FOLDER, actions=actions))
    command = [sys.executable, "-c", RUN.format(path)]
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, start_new_session=True)
    try:
        while process.poll() is None:
            if interrupt is not None and interrupt((folder / "out").read_text()):
                os.killpg(process.pid, signal.SIGINT)  # as the terminal does
                process.wait(60)
            time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, (folder / "out").read_text()


RUN = """
import sys, launch
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = launch.LaunchService()
source = PythonLaunchDescriptionSource("{}")
service.include_launch_description(launch.LaunchDescription([launch.actions.IncludeLaunchDescription(source)]))
sys.exit(service.run())
"""
INCLUDES = """
from launch import LaunchDescription
from launch.actions import ExecuteProcess, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

def one(namespace, **given):
    source = PythonLaunchDescriptionSource("{folder}/sawyer_reach.launch.py")
    given = {{"evaluate_goals": "0", "console": "false"}} | given
    return GroupAction([PushRosNamespace(namespace), IncludeLaunchDescription(source, launch_arguments=given.items())])

def generate_launch_description():
    return LaunchDescription([{actions}])
"""


@pytest.mark.real_time
@pytest.mark.timeout(240)
def test_launch_file_runs_the_system_to_its_end(tmp_path: Path) -> None:
    """The real thing: every node a process of ROS's launch, half a minute of learning, and all that a run leaves."""
    os.environ["HOME"] = str(tmp_path)
    status, output = run_launch(tmp_path, 'one("", duration_min="0.5", evaluate_goals="1", run_dir="~/mine")')
    folder = tmp_path / "mine"
    assert status == 0 and (tmp_path / "runs" / "latest").resolve() == folder
    assert json.loads((folder / "summary.json").read_text())["finished"]
    assert json.loads((folder / "config.json").read_text())["arguments"]["duration_min"] == 0.5
    live = [line for line in output.splitlines() if " robot time | " in line]
    assert len(live) > 3 and max(map(len, live)) < 300 and "\r" not in output
    assert live[0].partition("] ")[2] in (folder / "log" / "supervisor.log").read_text()


OF_ONE_ARM = ("arm", "policy", "planner", "collector", "trainer")
"""Its nodes besides the supervisor."""


@pytest.mark.real_time
@pytest.mark.timeout(240)
def test_two_inclusions_record_apart_and_the_end_of_one_ends_nothing_else(tmp_path: Path) -> None:
    """The first ends, before a trainer has learned anything; the second and another process go on, until Ctrl-C."""
    own = 'ExecuteProcess(cmd=["sleep", "200"], name="camera")'
    finished = "process has finished cleanly"
    status, output = run_launch(
        tmp_path,
        f'{own}, one("left", duration_min="0.01"), one("right", duration_min="inf", auto_start="false")',
        lambda output: output.count(finished) >= len(OF_ONE_ARM),
    )
    before, _, after = output.partition("user interrupted")
    assert status == 0 and before.count(finished) == len(OF_ONE_ARM)
    assert re.search(r"nothing was learned", before) and re.search(r"supervisor-\d+\]: process has died", before)
    assert after.count(finished) == len(OF_ONE_ARM) + 1, "those of the other arm, its supervisor included"
    assert "ros2 service call /right/supervisor/start std_srvs/srv/Trigger" in before
    folders = sorted(path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    transitions = [json.loads((folder / "summary.json").read_text())["transitions"] for folder in folders]
    assert len(folders) == 2
    assert all(counts["logged"] == counts["published"] for counts in transitions)


GZ = {"ros_gz_sim", "ros_gz_bridge", "ros_gz_interfaces"}
OPTIONAL = [
    (
        "gazebo",
        {"scene": scene, "actuation": by, "headless": quiet, "lock_step": step},
        GZ,
        "sim:=gazebo",
        {"gz_bridge"},
    )
    for scene, by in (("open", "velocity"), ("wall", "torque"), ("push", "velocity"))
    for quiet in ("true", "false")
    for step in ("true", "false")
]
JOY, JOY_NODES = {"joy", "teleop_twist_joy"}, {"joy_node", "teleop_twist_joy_node"}
OPTIONAL += [
    ("rviz", {}, {"rviz2"}, "rviz:=true", {"rviz"}),
    ("teleop", {"device": "joy"}, JOY, "device:=joy", JOY_NODES),
    ("teleop", {"device": "spacenav"}, {"spacenav"}, "device:=spacenav", {"spacenav_node"}),
]


@pytest.mark.parametrize(("file", "given", "packages", "argument", "started"), OPTIONAL)
def test_optional_part_is_started_or_it_is_said_what_to_install(
    file: str, given: dict[str, str], packages: set[str], argument: str, started: set[str]
) -> None:
    if not packages <= INSTALLED:
        instead = " or take sim:=mujoco" if file == "gazebo" else ""
        with pytest.raises(RuntimeError, match=f"{argument} needs the ROS packages .*: apt install .*{instead}"):
            described(f"{file}.launch.py", **given)
        return
    _, actions = described(f"{file}.launch.py", **given)
    assert names(actions) == started
    assert included(actions) == ({"gz_sim.launch.py"} if file == "gazebo" else set())


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a terminal that says nothing about DDS."""
    for name in (*PROFILES, RANGE, PEERS, "FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION"):
        monkeypatch.setenv(name, "")  # so that what launch sets is put back
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_launch_keeps_nodes_to_this_machine_unless_the_argument_says_otherwise(table: SystemTable) -> None:
    before = dict(os.environ)
    for network, wanted in (
        ("localhost", {PROFILES[0]: str(LOOPBACK)}),
        ("subnet", {RANGE: "SUBNET", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}),
    ):
        _, actions = described(f"{table.name}.launch.py", network=network)
        assert all(wanted.items() <= ENVIRONMENTS[id(action)].items() for action in actions)
        assert dict(os.environ) == before, "a launch file that includes this one keeps its own"


@pytest.mark.usefixtures("bare")
def test_launch_with_the_range_subnet_in_the_environment_alone_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, "SUBNET")
    with pytest.raises(ValueError, match="give network:=subnet"):
        described("sawyer_reach.launch.py")
