"""Tables as launch actions, on stand-ins for `launch`, which has no wheels: they keep what they are given."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tdm_ros.system.table import load_table

CONFIG = Path(__file__).parent.parent / "config"


class Kept(SimpleNamespace):
    """An action; keyword arguments are its attributes, and it equals itself alone."""

    __hash__ = object.__hash__

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(given=given, **named)

    def __eq__(self, other: object) -> bool:
        return self is other


class Named(Kept):
    """A value of an argument, which is what it was given or its default."""

    texts: dict[str, str]

    def perform(self, context: object) -> str:
        return self.texts[self.given[0]]


@pytest.fixture
def launching(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    kinds = ("DeclareLaunchArgument", "EmitEvent", "IncludeLaunchDescription", "OpaqueFunction")
    kinds += ("SetEnvironmentVariable", "Shutdown")
    named = type("Configuration", (Named,), {"texts": {}})
    modules: dict[str, dict[str, Any]] = {
        "launch": {"LaunchContext": object, "LaunchDescription": list},
        "launch.actions": {kind: type(kind, (Kept,), {}) for kind in kinds},
        "launch.events.process": {"ShutdownProcess": Kept},
        "launch.launch_description_sources": {"PythonLaunchDescriptionSource": Kept},
        "launch.substitutions": {"EnvironmentVariable": Kept, "LaunchConfiguration": named},
        "launch_ros.actions": {"Node": Kept},
    }
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    monkeypatch.delitem(sys.modules, "tdm_ros.system.launching", raising=False)
    return importlib.import_module("tdm_ros.system.launching")


def started(launching: ModuleType, system: str, **chosen: str) -> list[Any]:
    """The nodes that `ros2 launch` would start, with what was chosen on its command line."""
    path = CONFIG / f"{system}.system.yaml"
    actions = launching.describe_system(path)
    declared = [action for action in actions if type(action).__name__ == "DeclareLaunchArgument"]
    defaults = {action.given[0]: action.default_value for action in declared}
    launching.LaunchConfiguration.texts = defaults | chosen
    assert set(chosen) <= set(defaults)
    return launching.start_all(object(), load_table(path))


def test_fleet_nodes_are_those_that_the_runner_starts(launching: ModuleType) -> None:
    nodes = started(launching, "fleet", arms="2", run_dir="there")
    names = [f"{node.namespace}/{node.name}" for node in nodes]
    assert names[0] == "None/trainer" and "arm2/policy" in names and len(names) == 11
    (policy,) = (node for node in nodes if (node.namespace, node.name) == ("arm2", "policy"))
    assert policy.remappings == [("policy_weights", "/policy_weights")]
    assert policy.parameters[-1] == {"actuation": "velocity", "seed": 1} and policy.respawn
    (collector,) = (node for node in nodes if (node.namespace, node.name) == ("arm2", "collector"))
    assert collector.parameters[-1]["run_dir"] == "there/arm2"


def test_arm_ends_with_its_required_nodes_and_the_system_with_its_last_arm(launching: ModuleType) -> None:
    nodes = started(launching, "fleet", arms="2")
    ends = {f"{node.namespace}/{node.name}": node.on_exit for node in nodes if node.on_exit}
    assert set(ends) == {"arm1/arm", "arm1/supervisor", "arm2/arm", "arm2/supervisor"}
    first = ends["arm1/supervisor"](object(), object())
    assert type(first).__name__ == "EmitEvent"
    stopped = [node for node in nodes if first.event.process_matcher(node)]
    assert len(stopped) == 5 and {node.namespace for node in stopped} == {"arm1"}
    last = ends["arm2/arm"](object(), object())
    assert type(last).__name__ == "Shutdown" and last.reason == "arm2/arm has ended"


def test_system_of_one_arm_ends_with_its_required_nodes(launching: ModuleType) -> None:
    nodes = started(launching, "sawyer_reach", robot="sawyer")
    (supervisor,) = (node for node in nodes if node.name == "supervisor")
    assert supervisor.namespace is None and supervisor.parameters[-1]["auto_start"] is False, "auto is the variant's"
    assert type(supervisor.on_exit(object(), object())).__name__ == "Shutdown"
