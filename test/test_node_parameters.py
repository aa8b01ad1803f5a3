"""Parameters: declared from one dataclass a node, checked at the start and when they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tdm_ros.bringup.table import load_table
from tdm_ros.nodes.parameters import NODES, PLANNERS, PlannerParameters, SupervisorParameters, check
from tdm_ros.nodes.parameters import table as parameter_table
from tdm_ros.planning import OPTIMISERS
from tdm_ros.tasks import SCENES

SPECS = {spec.name: spec for spec in fields(SupervisorParameters)}


def test_check_whole_number_for_a_float_becomes_one() -> None:
    value = check("supervisor", "duration_min", SPECS["duration_min"], 3)
    assert value == 3.0 and isinstance(value, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exploration", 1.5),
        ("exploration", float("nan")),
        ("seed", -1),
        ("seed", True),
        ("auto_start", "yes"),
        ("actuation", "telekinesis"),
    ],
)
def test_check_bad_value_is_refused_with_what_is_expected(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"supervisor\.{name} must be"):
        check("supervisor", name, SPECS[name], value)


@pytest.mark.parametrize("node", NODES)
def test_parameters_defaults_are_valid_and_described(node: str) -> None:
    for spec in fields(NODES[node]):
        assert check(node, spec.name, spec, spec.default) == spec.default
        assert spec.metadata["description"].endswith(".")
        assert f"| `{spec.name}` |" in parameter_table(node)


def test_every_way_to_plan_is_known_to_the_planner_and_to_the_system() -> None:
    assert set(PLANNERS) - {"direct"} <= set(OPTIMISERS)
    table = load_table(Path(__file__).parents[1] / "config" / "sawyer_reach.system.yaml")
    assert table.arguments["planner"].choices == PLANNERS
    assert set(table.arguments["scene"].choices) == set(SCENES)


@pytest.fixture
def declared() -> Iterator[tuple[Any, Any]]:
    rclpy = pytest.importorskip("rclpy")
    from tdm_ros.nodes.parameters import Declared

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("supervisor", context=context)
    yield node, Declared(node, SupervisorParameters)
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.ros
@pytest.mark.any_speed
def test_declared_change_in_range_takes_effect(declared: tuple[Any, Any]) -> None:
    from rclpy.parameter import Parameter

    node, parameters = declared
    (result,) = node.set_parameters([Parameter("exploration", value=0.05)])
    assert result.successful and parameters.values.exploration == 0.05


@pytest.mark.ros
@pytest.mark.any_speed
@pytest.mark.parametrize(("name", "value"), [("exploration", 2.0), ("seed", 3), ("reset_every", 0)])
def test_declared_change_out_of_range_or_read_only_is_refused(declared: tuple[Any, Any], name: str, value: Any) -> None:
    from rclpy.parameter import Parameter

    node, parameters = declared
    before = parameters.values
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful and result.reason
    assert parameters.values == before


@pytest.mark.parametrize("node", NODES)
def test_every_text_that_can_be_changed_is_checked_before_it_is(node: str) -> None:
    for spec in fields(NODES[node]):
        if isinstance(spec.default, str) and not spec.metadata["read_only"]:
            with pytest.raises(ValueError, match=f"{node}.{spec.name}"):
                check(node, spec.name, spec, "nonsense")


@pytest.mark.ros
@pytest.mark.any_speed
@pytest.mark.parametrize("text", ["nonsense", "1 2 3", "1 1 1 0 0 0", "0 0 nan 1 1 1", "0 0 0 1 1 1; 2"])
def test_declared_keep_out_that_is_no_box_is_refused_and_the_old_one_stays(text: str) -> None:
    rclpy = pytest.importorskip("rclpy")
    from rclpy.parameter import Parameter

    from tdm_ros.nodes.parameters import Declared

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("planner", context=context)
    parameters = Declared(node, PlannerParameters)
    good, bad = (node.set_parameters([Parameter("keep_out", value=v)])[0] for v in ("0 0 0 1 1 1", text))
    assert good.successful and not bad.successful and "box" in bad.reason
    assert parameters.values.keep_out == "0 0 0 1 1 1" == node.get_parameter("keep_out").value
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.ros
@pytest.mark.any_speed
def test_declared_unknown_parameter_is_not_refused(declared: tuple[Any, Any]) -> None:
    from rclpy.parameter import Parameter

    node, _ = declared
    node.declare_parameter("somebody_elses", 1)
    (result,) = node.set_parameters([Parameter("somebody_elses", value=2)])
    assert result.successful
    (result,) = node.set_parameters([Parameter("use_sim_time", value=True)])
    assert result.successful
