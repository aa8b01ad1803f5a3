"""Parameters: declared from one dataclass a node, checked at the start and when they change."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tdm_ros.bringup.table import load_table
from tdm_ros.nodes.parameters import (
    NODES,
    PLANNERS,
    ArmParameters,
    SupervisorParameters,
    build,
    check,
    check_names,
    specs_of,
)
from tdm_ros.planning import OPTIMISERS
from tdm_ros.tasks import SCENES

SPECS = specs_of(SupervisorParameters)
NAN = float("nan")
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action_noise_std", 1.5),
        ("action_noise_std", NAN),
        ("seed", -1),
        ("seed", True),
        ("auto_start", "yes"),
        ("actuation", "telekinesis"),
        ("duration_min", 0.0),
        ("duration_min", NAN),
        ("goal_box.low_m", "0.42 -0.28 0.08"),
        ("goal_box.low_m", [True, 0.0, 0.0]),
        ("episode_length.steps", 0),
        *(("goal_box.low_m", corner) for corner in ((0.1, 0.2), (0.1, 0.2, 0.3, 0.4), (0.1, 0.2, NAN))),
    ],
)
def test_check_bad_value_is_rejected_with_what_is_expected(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"supervisor\.{name}( must be|: expected three finite numbers)"):
        check("supervisor", name, SPECS[name], value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slow_start.velocity_scale", 0.0),
        ("slow_start.velocity_scale", 1.5),
        ("slow_start.ramp_s", -1.0),
        ("slow_start.duration_s", NAN),
        ("home.lift_m", -0.1),
        ("rate.stop_hz", NAN),
        ("deadman.timeout_s", 0.0),
        ("teleop.timeout_s", 0.2),
        ("teleop.max_speed_m_s", 0.001),
        ("teleop.threshold_m_s", 0.2),
        ("teleop.ramp_s", -1.0),
    ],
)
def test_safeguard_of_the_arm_out_of_range_is_rejected(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"arm\.{name} must be in"):
        check("arm", name, specs_of(NODES["arm"])[name], value)


@pytest.mark.parametrize("node", NODES)
def test_parameters_defaults_are_valid_and_described(node: str) -> None:
    for name, spec in specs_of(NODES[node]).items():
        assert check(node, name, spec, spec.default) == spec.default
        assert spec.metadata["description"].endswith(".")
        assert f"| `{name}` |" in (ROOT / "docs" / "nodes" / f"{node}.md").read_text()
        words = spec.metadata["description"]
        assert not re.search(r"(?<!\.)\b0: |\bempty: ", words), (
            f"{node}.{name}: a word or a boolean, not a special number"
        )


@pytest.mark.parametrize(
    ("given", "shared", "words"),
    [
        (["limits.hand_box.lowm"], [], "lowm; did you mean limits.hand_box.low_m?"),
        (["action_noise_std"], [], "arm has no parameter action_noise_std"),
        (["explorations"], ["explorations"], "arm has no parameter explorations"),
        (["limits.link_box.low_m"], [], r"limits.link_box.low_m is given without limits.link_box.enabled"),
        (["limits.self_collision.clearance_m"], [], "set limits.self_collision.enabled: true to apply it, or false"),
    ],
)
def test_parameters_unknown_or_without_effect_are_rejected(given: list[str], shared: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_names("arm", given, shared)


def test_parameters_of_rclpy_and_of_other_nodes_in_a_shared_section_are_accepted() -> None:
    given = ["use_sim_time", "qos_overrides./clock.subscription.depth", "action_noise_std"]
    check_names("arm", given, ["action_noise_std"])
    check_names("arm", ["limits.link_box.enabled", "limits.link_box.low_m"])


def test_build_puts_values_into_their_groups_and_leaves_the_other_defaults() -> None:
    whole = check("supervisor", "duration_min", SPECS["duration_min"], 3)
    assert whole == 3.0 and isinstance(whole, float)
    made = build(ArmParameters, {"limits.hand_box.low_m": (0.1, 0.2, 0.3), "driver": "intera"})
    assert made.limits.hand_box.low_m == (0.1, 0.2, 0.3) and made.driver == "intera"
    assert made.limits.hand_box.high_m == ArmParameters().limits.hand_box.high_m


def test_every_way_to_plan_is_known_to_the_planner_and_to_the_system() -> None:
    assert set(PLANNERS) - {"direct"} <= set(OPTIMISERS)
    table = load_table(Path(__file__).parents[1] / "config" / "sawyer_reach.system.yaml")
    assert table.arguments["planner"].choices == PLANNERS
    assert set(table.arguments["scene"].choices) == set(SCENES)


@pytest.fixture
def declared(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[[str, Any], Any], Any]]:
    """Parameters of a node (`supervisor`, or the one of the test), and a function that sets one."""
    rclpy = pytest.importorskip("rclpy")
    from rclpy.parameter import Parameter

    from tdm_ros.nodes.parameters import Declared

    name = getattr(request, "param", "supervisor")
    rclpy.init(context=(context := rclpy.Context()))
    node = rclpy.create_node(name, context=context)
    node.declare_parameter("of_another_library", 1)
    parameters = Declared(node, NODES[name])
    yield (lambda key, value: node.set_parameters([Parameter(key, value=value)])[0]), parameters
    node.destroy_node()
    context.try_shutdown()


ON_ROS = [pytest.mark.ros, pytest.mark.any_speed]


class TestDeclared:
    """Parameters of a node of rclpy."""

    pytestmark = ON_ROS

    def test_change_in_range_takes_effect(self, declared: tuple[Any, Any]) -> None:
        set_, parameters = declared
        assert set_("action_noise_std", 0.05).successful and parameters.values.action_noise_std == 0.05

    @pytest.mark.parametrize(("name", "value"), [("action_noise_std", 2.0), ("seed", 3), ("reset_every", 0)])
    def test_change_out_of_range_or_read_only_is_rejected(
        self, declared: tuple[Any, Any], name: str, value: Any
    ) -> None:
        set_, parameters = declared
        before = parameters.values
        result = set_(name, value)
        assert not result.successful and result.reason and parameters.values == before

    @pytest.mark.parametrize("declared", ["planner"], indirect=True)
    @pytest.mark.parametrize(
        "bad", [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, NAN, 1.0, 1.0, 1.0], ["a"]]
    )
    def test_keep_out_that_is_no_box_is_rejected_and_the_old_one_stays(
        self, declared: tuple[Any, Any], bad: list[Any]
    ) -> None:
        set_, parameters = declared
        name, box = "keep_out.boxes_m", (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
        assert set_(name, list(box)).successful
        result = set_(name, bad)
        assert not result.successful and f"planner.{name}" in result.reason
        assert parameters.values.keep_out.boxes_m == box
        assert set_(name, []).successful and not parameters.values.keep_out.boxes_m

    @pytest.mark.parametrize(("name", "value"), [("of_another_library", 2), ("use_sim_time", True)])
    def test_parameter_of_a_library_is_left_to_it(self, declared: tuple[Any, Any], name: str, value: Any) -> None:
        assert declared[0](name, value).successful


@pytest.mark.ros
@pytest.mark.any_speed
@pytest.mark.parametrize(
    ("node", "given", "words"),
    [
        ("console", "token:=123456", "console.token must be text, got 123456: write it in quotes"),
        ("console", "port:=70000", "console.port: Invalid parameter value (70000)"),
        ("console", "port:=abc", "console.port must be a whole number, got 'abc'"),
        ("arm", "/**:\n  ros__parameters: {latch: true}", "arm has no parameter latch (docs/nodes/arm.md lists them)"),
        ("arm", "arm:\n  ros__parameters: {limits: {hand_speed: 0.2}}", "did you mean limits.hand_speed_m_s?"),
        ("arm", "arm:\n  ros__parameters: {action_noise_std: 0.2}", "arm has no parameter action_noise_std"),
        ("arm", "arm:\n  ros__parameters: {actuation: telekinesis}", "arm.actuation must be one of velocity, torque"),
        (
            "arm",
            "/**:\n  ros__parameters: {action_noise_std: 0.2, limits.hand_box.low_m: [0.9, 0.7, 0.0]}",
            "must be below",
        ),
    ],
)
def test_node_with_a_wrong_or_unknown_parameter_ends_with_a_sentence(
    tmp_path: Path, node: str, given: str, words: str
) -> None:
    pytest.importorskip("rclpy")
    (tmp_path / "own.yaml").write_text(given)
    program = f"import sys; from tdm_ros.bringup.starting import start; sys.exit(start({node!r}))"
    option = ["-p", given] if ":=" in given else ["--params-file", str(tmp_path / "own.yaml")]
    command = [sys.executable, "-c", program, "--ros-args", *option]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and words in ran.stderr and "Traceback" not in ran.stderr
