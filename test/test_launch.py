"""The launch files, built with ROS's own `launch` wherever it can be imported, for each documented argument."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

launch = pytest.importorskip("launch", reason="ROS's launch is not installed (no wheel has it): source a ROS 2")
launch_ros = pytest.importorskip("launch_ros", reason="ROS's launch_ros is not installed: source a ROS 2")

from ament_index_python.packages import get_packages_with_prefixes  # noqa: E402
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_ros.actions import Node  # noqa: E402

from tdm_ros.system.environment import LOOPBACK, PEERS, PROFILES, RANGE  # noqa: E402
from tdm_ros.system.table import SystemTable, load_table  # noqa: E402

FOLDER = Path(__file__).resolve().parents[1] / "launch"
TABLES = [load_table(path) for path in sorted((FOLDER.parent / "config").glob("*.system.yaml"))]
INSTALLED = set(get_packages_with_prefixes())


def described(name: str, **given: str) -> tuple[dict[str, DeclareLaunchArgument], list[Any]]:
    """Arguments, and the actions that a launch file comes to with what is given."""
    spec = importlib.util.spec_from_file_location(name.replace(".", "_"), FOLDER / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = launch.LaunchContext()
    context.launch_configurations.update(given)
    arguments, actions = {}, []
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            arguments[entity.name] = entity
        if isinstance(entity, Node | IncludeLaunchDescription):
            actions.append(entity)
        else:
            made = entity.execute(context)
            actions += made or [] if isinstance(entity, OpaqueFunction) else []
    return arguments, actions


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
    wanted = {("sim", "gazebo"): {"gazebo.launch.py"}, ("rviz", "true"): {"rviz.launch.py"}}
    assert included(actions) == wanted.get((name, value), set())


@pytest.mark.real_time
@pytest.mark.timeout(240)
def test_launch_file_runs_the_system_to_its_end(tmp_path: Path) -> None:
    """The real thing: every node a process of ROS's launch, a few seconds of learning, and an exit status of 0."""
    given = {"duration_min": "0.1", "evaluate_goals": "1", "console": "false", "run_dir": str(tmp_path)}
    source = PythonLaunchDescriptionSource(str(FOLDER / "sawyer_reach.launch.py"))
    service = launch.LaunchService()
    description = IncludeLaunchDescription(source, launch_arguments=given.items())
    service.include_launch_description(launch.LaunchDescription([description]))
    assert service.run() == 0
    assert (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("lock_step", ["true", "false"])
@pytest.mark.parametrize("headless", ["true", "false"])
@pytest.mark.parametrize(("scene", "actuation"), [("open", "velocity"), ("wall", "torque"), ("push", "velocity")])
def test_gazebo_is_started_or_it_is_said_what_to_install(
    scene: str, actuation: str, headless: str, lock_step: str
) -> None:
    given = {"scene": scene, "actuation": actuation, "headless": headless, "lock_step": lock_step}
    if not {"ros_gz_sim", "ros_gz_bridge", "ros_gz_interfaces"} <= INSTALLED:
        with pytest.raises(RuntimeError, match=r"sim:=gazebo needs .* apt install .* or take sim:=mujoco"):
            described("gazebo.launch.py", **given)
        return
    _, actions = described("gazebo.launch.py", **given)
    assert names(actions) == {"gz_bridge"} and included(actions) == {"gz_sim.launch.py"}


def test_rviz_is_started_or_it_is_said_what_to_install() -> None:
    if not {"rviz2", "robot_state_publisher"} <= INSTALLED:
        with pytest.raises(RuntimeError, match="rviz:=true needs the ROS packages"):
            described("rviz.launch.py")
        return
    assert "rviz" in names(described("rviz.launch.py")[1])


@pytest.mark.parametrize("device", ["joy", "spacenav"])
def test_teleop_is_started_or_it_is_said_what_to_install(device: str) -> None:
    if not {"joy", "teleop_twist_joy", "spacenav"} <= INSTALLED:
        with pytest.raises(RuntimeError, match=f"device:={device} needs the ROS packages"):
            described("teleop.launch.py", device=device)
        return
    assert names(described("teleop.launch.py", device=device)[1])


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a terminal that says nothing about DDS."""
    for name in (*PROFILES, RANGE, PEERS, "FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION"):
        monkeypatch.setenv(name, "")  # so that what launch sets is put back
        monkeypatch.delenv(name)


def set_by(actions: list[Any]) -> dict[str, str]:
    """Variables that these actions set."""
    return {
        "".join(part.text for part in action.name): "".join(part.text for part in action.value)
        for action in actions
        if isinstance(action, SetEnvironmentVariable)
    }


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_launch_keeps_nodes_to_this_machine_unless_the_argument_says_otherwise(table: SystemTable) -> None:
    _, actions = described(f"{table.name}.launch.py")
    assert set_by(actions)[PROFILES[0]] == str(LOOPBACK)
    _, actions = described(f"{table.name}.launch.py", network="subnet")
    assert set_by(actions) == {RANGE: "SUBNET", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
    first = next(index for index, action in enumerate(actions) if isinstance(action, Node))
    assert not set_by(actions[first:]), "set before the first node"


@pytest.mark.usefixtures("bare")
def test_launch_with_the_range_subnet_in_the_environment_alone_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, "SUBNET")
    with pytest.raises(ValueError, match="give network:=subnet"):
        described("sawyer_reach.launch.py")
