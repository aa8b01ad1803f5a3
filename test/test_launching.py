"""Tables as launch actions, on a stand-in for `launch`, which has no wheels.

The stand-in executes actions as ROS's own launch does, as far as they are used here: in order, each inclusion by
itself, groups with an environment of their own, a process with the environment of the moment in which it is executed,
and ShutdownProcess with what it reaches. `test_launch.py` has the same on the real one, if that is
installed.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tdm_ros.bringup.environment import LIVE_LINES, RANGE
from tdm_ros.bringup.table import load_table, sections_of
from tdm_ros.bringup.terminal import LIVE_EVERY, LiveLine

CONFIG = Path(__file__).parent.parent / "config"
ACTIONS = ("DeclareLaunchArgument", "EmitEvent", "GroupAction", "IncludeLaunchDescription", "LogInfo")
ACTIONS += ("OpaqueFunction", "RegisterEventHandler", "SetEnvironmentVariable")


class Kept(SimpleNamespace):
    """An action; keyword arguments are its attributes, and it equals itself alone."""

    __hash__ = object.__hash__

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(given=given, **named)

    def __eq__(self, other: object) -> bool:
        return self is other


class Node(Kept):
    running = False
    process_details: dict[str, Any] | None = None

    @property
    def full_name(self) -> str:
        return "/".join(filter(None, (self.namespace, self.name)))


class Launch:
    """One `ros2 launch`: what it has executed."""

    def __init__(self, launching: ModuleType) -> None:
        self._launching = launching
        self.processes: list[Node] = []
        self.handlers: list[Any] = []
        self.said: list[str] = []
        self.context: dict[str, str] = {}

    def include(self, system: str, **chosen: str) -> list[Node]:
        """Execute the launch file of a system; return its nodes."""
        before = len(self.processes)
        actions = self._launching.describe_system(CONFIG / f"{system}.system.yaml")
        declared = [action for action in actions if type(action).__name__ == "DeclareLaunchArgument"]
        defaults = {action.given[0]: action.default_value for action in declared}
        assert set(chosen) <= set(defaults)
        self._launching.LaunchConfiguration.texts = defaults | chosen
        self.execute(actions)
        return self.processes[before:]

    def execute(self, actions: Iterable[Any]) -> None:
        for action in actions:
            kind = type(action).__name__
            if kind == "GroupAction":
                before = dict(os.environ)
                self.execute(action.given[0])
                os.environ.clear()
                os.environ.update(before)
            elif kind == "OpaqueFunction":
                context = SimpleNamespace(launch_configurations=self.context, environment=os.environ)
                self.execute(action.function(context, *getattr(action, "args", [])) or [])
            elif kind == "SetEnvironmentVariable":
                os.environ[action.given[0]] = str(action.given[1])
            elif kind == "RegisterEventHandler":
                self.handlers.append(action.given[0])
            elif kind == "LogInfo":
                self.said.append(action.msg)
            elif kind == "Node":
                action.process_details = {"name": f"{action.name}-1", "env": dict(os.environ)}
                action.running = True
                self.processes.append(action)

    def end(self, process: Node) -> set[str]:
        """Let a process end by itself; return the names of those that are ended because of it."""
        process.running = False
        before = {other for other in self.processes if other.running}
        made = process.on_exit(object(), object()) if process.on_exit else None
        ended = {other for other in before if made is not None and made.event.process_matcher(other)}
        for other in ended:
            other.running = False
        return {other.full_name for other in ended}

    def prints(self, process: Node, text: str) -> None:
        for handler in self.handlers:
            if handler.target_action(process):
                handler.on_stdout(SimpleNamespace(action=process, text=text.encode()))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Launch]:
    pytest.importorskip("rclpy")  # that nodes can start is checked before
    modules: dict[str, dict[str, Any]] = {
        "launch": {"Action": Kept, "LaunchContext": object, "LaunchDescription": list},
        "launch.actions": {kind: type(kind, (Kept,), {}) for kind in ACTIONS},
        "launch.event_handlers": {"OnProcessIO": Kept, "OnProcessExit": Kept},
        "launch.events.process": {"ProcessIO": Kept, "ShutdownProcess": Kept},
        "launch.launch_description_sources": {"PythonLaunchDescriptionSource": Kept},
        "launch.substitutions": {"EnvironmentVariable": lambda name, default_value: default_value},
        "launch_ros.actions": {"Node": Node},
    }
    modules["launch.substitutions"]["LaunchConfiguration"] = Named
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    monkeypatch.delitem(sys.modules, "tdm_ros.bringup.launching", raising=False)
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield Launch(importlib.import_module("tdm_ros.bringup.launching"))
    os.environ.clear()
    os.environ.update(before)
    sys.modules.pop("tdm_ros.bringup.launching", None)


GroupAction, OpaqueFunction = (type(name, (Kept,), {}) for name in ("GroupAction", "OpaqueFunction"))
RUN = "TDM_ROS_RUN"


class Named(Kept):
    """A value of an argument, which is what it was given or its default."""

    texts: dict[str, str]

    def perform(self, context: object) -> str:
        return self.texts[self.given[0]]


def by_name(nodes: list[Node]) -> Callable[[str], Node]:
    return {node.full_name: node for node in nodes}.__getitem__


def test_fleet_nodes_are_those_that_the_runner_starts(launched: Launch, tmp_path: Path) -> None:
    nodes = launched.include("fleet", arms="2", run_dir="there")
    table = load_table(CONFIG / "fleet.system.yaml")
    assert [node.full_name for node in nodes] == [entry.full_name for entry in table.started(table.values(["arms:=2"]))]
    policy = by_name(nodes)("arm2/policy")
    assert policy.remappings == [("policy_weights", "/policy_weights")]
    assert policy.parameters[-1] == {"robot": "sawyer", "actuation": "velocity", "seed": 1} and policy.respawn
    assert by_name(nodes)("arm2/collector").parameters[-1]["run_dir"] == str(tmp_path / "there" / "arm2")


def test_namespace_time_and_log_level_are_those_of_every_node_and_of_what_they_share(launched: Launch) -> None:
    launched.context["ros_namespace"] = "/lab"
    common = {"namespace": "left", "use_sim_time": "true", "log_level": "warn"}
    nodes = launched.include("fleet", arms="1", **common)
    assert {node.namespace for node in nodes} == {"/lab/left", "/lab/left/arm1"}
    assert all(node.parameters[-1]["use_sim_time"] is True for node in nodes)
    assert all(node.ros_arguments == ["--log-level", "warn"] for node in nodes)
    policy = by_name(nodes)("/lab/left/arm1/policy")
    assert policy.remappings == [("policy_weights", "/lab/left/policy_weights")]


def test_line_for_another_terminal_is_printed_and_the_environment_of_the_including_launch_file_stays(
    launched: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = dict(os.environ)
    node = by_name(launched.include("sawyer_reach", run_dir="~/mine"))
    assert dict(os.environ) == before
    line = f"export ROS_DOMAIN_ID=42 {RANGE}={os.environ.get(RANGE, 'LOCALHOST')}"
    assert launched.said[1].splitlines()[1] == line
    assert node("collector").parameters[-1]["run_dir"] == str(tmp_path / "home" / "mine")
    times = {name: float(node(name).sigterm_timeout) + float(node(name).sigkill_timeout) for name in ("arm", "trainer")}
    assert times["arm"] < 3 and times["trainer"] == 30, "one that writes files has the time for it"


def test_arm_ends_with_its_required_nodes_and_the_system_with_its_last_arm(launched: Launch) -> None:
    node = by_name(launched.include("fleet", arms="2"))
    first = launched.end(node("arm1/supervisor"))
    assert first == {f"arm1/{name}" for name in ("arm", "policy", "planner", "collector", "scene")}
    last = launched.end(node("arm2/arm"))
    assert last == {"trainer", *(f"arm2/{name}" for name in ("supervisor", "policy", "planner", "collector", "scene"))}


def test_system_of_one_arm_ends_with_its_required_nodes(launched: Launch) -> None:
    node = by_name(launched.include("sawyer_reach", robot="sawyer"))
    assert node("supervisor").parameters[-1]["auto_start"] is False, "auto is the variant's"
    assert launched.end(node("policy")) == set() and node("policy").respawn
    assert launched.end(node("supervisor")) >= {"arm", "collector", "trainer"}


def test_two_inclusions_in_one_launch_file_are_two_runs_and_end_by_themselves(launched: Launch, tmp_path: Path) -> None:
    """As a person does it for two arms, each under a namespace, beside something of their own."""
    launched.execute([Node(name="camera", namespace="", on_exit=None)])
    left, right = (launched.include("sawyer_reach", console="false") for _ in range(2))
    folders = [Path(by_name(nodes)("collector").parameters[-1]["run_dir"]) for nodes in (left, right)]
    assert folders[0] != folders[1] and {folder.parent for folder in folders} == {tmp_path / "runs"}
    launched.end(by_name(left)("supervisor"))
    assert not any(node.running for node in left)
    assert all(node.running for node in (*right, *launched.processes[:1]))


def launch_file(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_launch", CONFIG.parent / "launch" / f"{name}.launch.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


TELEOP = {"params": "", "namespace": "/left", "use_sim_time": "true", "log_level": "warn"}


@pytest.mark.usefixtures("launched")
def test_launch_file_without_the_packages_of_a_device_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from ament_index_python import packages

    def share(package: str) -> str:
        if package == "teleop_twist_joy":
            raise packages.PackageNotFoundError(package)
        return "/share"

    module, Named.texts = launch_file("teleop"), TELEOP | {"device": "joy"}
    monkeypatch.setattr(packages, "get_package_share_directory", share)
    with pytest.raises(RuntimeError, match=r"the ROS packages teleop_twist_joy: apt install ros-\S+teleop-twist-joy"):
        module.start(object())


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize("device", ["joy", "spacenav"])
def test_launch_file_starts_the_nodes_of_a_device_with_our_parameters(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, Named.texts = launch_file("teleop"), TELEOP | {"device": device}
    monkeypatch.setattr(module, "require", lambda *_: None)
    nodes = module.start(object())
    assert all(node.namespace == "left" and node.ros_arguments == ["--log-level", "warn"] for node in nodes)
    assert all(node.parameters[1] == {"use_sim_time": True} for node in nodes)
    assert {f"/**/{node.name}" for node in nodes} == {pattern for pattern, _ in sections_of(nodes[0].parameters[0])}
    assert [target for node in nodes for _, target in node.remappings] == ["teleop/twist"]


def test_end_of_gazebo_ends_its_bridge_and_nothing_of_a_launch_file_that_includes_it(
    launched: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = launch_file("gazebo")
    monkeypatch.setattr(module, "require", lambda *_: None)
    monkeypatch.setattr(module, "get_package_share_directory", str)
    launched.execute([Node(name="camera", namespace="", on_exit=None)])
    actions = module.generate_launch_description()
    declared = [action for action in actions if type(action).__name__ == "DeclareLaunchArgument"]
    Named.texts = {action.given[0]: action.default_value for action in declared} | {"namespace": "left"}
    assert {"namespace", "use_sim_time", "log_level"} <= set(Named.texts)
    (group,) = [action for action in actions if type(action).__name__ == "GroupAction"]
    gazebo = Node(name="gazebo", namespace="", on_exit=None)
    launched.execute([GroupAction([*group.given[0], OpaqueFunction(function=lambda _: [gazebo])])])
    camera, bridge, gazebo = launched.processes
    assert (bridge.name, bridge.namespace) == ("gz_bridge", "left")
    (end,) = launched.handlers
    assert end.target_action(gazebo) and not end.target_action(bridge) and not end.target_action(camera)
    ended = end.on_exit.event.process_matcher
    assert ended(bridge) and not ended(camera)
    assert RUN not in os.environ


@pytest.mark.usefixtures("launched")
def test_gazebo_of_another_arm_gets_a_world_and_a_bridge_from_its_description(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = launch_file("gazebo")
    monkeypatch.setattr(module, "require", lambda *_: None)
    monkeypatch.setattr(module, "get_package_share_directory", str)
    run, given = tmp_path / "a run", {"scene": "open", "actuation": "velocity", "headless": "true", "lock_step": "true"}
    Named.texts = given | {"robot": "ur5e", "namespace": "", "use_sim_time": "false", "log_level": "info"}
    *_, gazebo, bridge = module.start(SimpleNamespace(environment={RUN: str(run)}))
    assert f"-v1 '{run}/gazebo/world.sdf'" in dict(gazebo.launch_arguments)["gz_args"]
    assert '<model name="ur5e">' in (run / "gazebo" / "world.sdf").read_text()
    assert {"config_file": str(run / "gazebo" / "gz_bridge.yaml")} in bridge.parameters
    assert bridge.arguments == ["/world/tdm_ur5e/control@ros_gz_interfaces/srv/ControlWorld"]
    Named.texts |= {"scene": "wall"}
    with pytest.raises(ValueError, match="scene wall has keep-outs for sawyer alone"):
        module.start(SimpleNamespace(environment={RUN: str(run)}))


def test_run_folder_has_what_the_documentation_names(launched: Launch, tmp_path: Path) -> None:
    nodes = launched.include("fleet", arms="1", seed="7")
    launched.prints(by_name(nodes)("arm1/policy"), "hello\nand more\n")
    latest = tmp_path / "runs" / "latest"
    config = json.loads((latest / "config.json").read_text())
    assert config["arguments"]["seed"] == 7 and config["nodes"]["arm1/policy"]["seed"] == 7
    assert (latest / "log" / "arm1" / "policy.log").read_text() == "hello\nand more\n"
    assert by_name(nodes)("trainer").process_details["env"]["ROS_LOG_DIR"] == str(latest.resolve() / "log" / "ros")
    assert str(latest.resolve()) in launched.said[0]


def test_real_time_priority_is_that_of_arm_and_policy_alone(launched: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no node inherits that of `chrt -r 5 ros2 launch`."""
    if subprocess.run(["chrt", "--rr", "7", "true"], capture_output=True).returncode:
        pytest.skip("this user may not have real-time priorities")
    node = by_name(launched.include("sawyer_reach", real_time="7"))
    assert [node(name).prefix for name in ("arm", "policy", "trainer")] == ["chrt --rr 7", "chrt --rr 7", None]
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_RR)
    assert {node.prefix for node in launched.include("sawyer_reach")} == {"chrt --other 0"}


def test_another_checkout_that_is_sourced_is_rejected(launched: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tdm_ros.bringup.launching.get_package_prefix", lambda _: "/opt/other")
    with pytest.raises(ValueError, match="tdm_ros of /opt/other is sourced, this program is of"):
        launched.include("sawyer_reach")
    assert not launched.processes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy:\n  ros_parameters:\n    seed: 3\n", r"own\.yaml, line 3: .* ros__parameters"),
        ("arm:\n  ros__parameters:\n    latch: true\n", r"own\.yaml: arm has no parameter latch"),
        ("/**/arm:\n  ros__parameters: {limits: {hand_spead_m_s: 0.2}}\n", r"own\.yaml: .* limits\.hand_speed_m_s\?"),
        ("/**/armm:\n  ros__parameters: {}\n", r"own\.yaml: no node is called armm; expected arm, "),
        ("/left/arm:\n  ros__parameters: {}\n", r"own\.yaml: /left/arm applies to none of /arm: write /\*\*/arm"),
        ("arm:\n  ros__parameters: {a: [0, 0.5]}\n", r"own\.yaml, line 2: an array has numbers of one type"),
    ],
)
def test_parameters_that_are_wrong_start_nothing(launched: Launch, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=words):
        launched.include("sawyer_reach", params=str(tmp_path / "own.yaml"))
    assert not launched.processes and not (tmp_path / "runs").exists()


class Terminal(io.StringIO):
    """Text that is shown on a terminal."""

    def isatty(self) -> bool:
        return True


EACH = [f"\r{number} s\x1b[K" for number in range(LIVE_EVERY + 1)]


@pytest.mark.parametrize(
    ("out", "environ", "shown"),
    [
        (io.StringIO(), {}, f"0 s\n{LIVE_EVERY} s\n"),
        # Launch shows what ends with a newline, from nodes with a terminal (emulate_tty), too.
        (Terminal(), {LIVE_LINES: "some"}, f"0 s\n{LIVE_EVERY} s\n"),
        (Terminal(), {}, "".join(EACH)),
        (io.StringIO(), {LIVE_LINES: "each"}, "\n".join([*EACH, ""])),
    ],
    ids=["pipe", "launch", "terminal", "runner"],
)
def test_live_line_is_drawn_in_place_whole_for_the_runner_or_printed_now_and_then(
    out: io.StringIO, environ: dict[str, str], shown: str
) -> None:
    live = LiveLine(out, environ)
    for line in EACH:
        live.show(line)
    assert out.getvalue() == shown
