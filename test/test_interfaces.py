"""What the living nodes publish, hear and offer is what docs/nodes has, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed, pytest.mark.timeout(180)]

from ros_bench import ROOT, Bench  # noqa: E402

from tdm_ros.nodes.parameters import NODES  # noqa: E402

PAGES = {name: (ROOT / "docs" / "nodes" / f"{name}.md").read_text() for name in NODES}
ROW = re.compile(r"\| (publishes|subscribes|offers) \| `([^`]+)` \| (?:\[(\w+)\]\([^)]+\)|([\w/]+)) \|")
EVERYWHERE = (
    "/rosout",
    "/parameter_events",
    "/clock",
    "get_parameter",
    "set_parameter",
    "list_param",
    "describe_param",
)
OF_REAL_ARMS = {("offers", f"~/{name}") for name in ("enable", "reset", "stop")} | {
    ("publishes", "teleop/event"),
    ("publishes", "gz/JOINT/cmd_vel"),
    ("publishes", "object_pose"),
    ("subscribes", "object_pose"),
    ("publishes", "arm_watchdog/command"),
    ("subscribes", "arm_watchdog/state"),
}
OF_LIFECYCLE = ("get_state", "get_available", "get_transition", "transition_event", "get_type_description")


MORE: dict[str, dict[str, object]] = {"console": {"port": 0}, "planner": {"planner": "graph"}}


def documented(node: str) -> dict[tuple[str, str], str]:
    """Direction and name -> type without its package, of the table on its page."""
    table = PAGES[node].split(f"<!-- table: topics {node} -->")[1].split("<!-- end -->")[0]
    rows = {(found[1], found[2]): found[3] or found[4].rpartition("/")[2] for found in ROW.finditer(table)}
    assert rows
    return {key: kind for key, kind in rows.items() if not (node == "arm" and key in OF_REAL_ARMS)}


def living(made: Bench, name: str) -> dict[tuple[str, str], str]:
    """The same of the node that runs."""
    node, space = made.node, made.namespace
    found = {}
    for direction, listed in (
        ("publishes", node.get_publisher_names_and_types_by_node(name, space)),
        ("subscribes", node.get_subscriber_names_and_types_by_node(name, space)),
        ("offers", node.get_service_names_and_types_by_node(name, space)),
    ):
        for topic, kinds in listed:
            own = topic.startswith(f"{space}/{name}/")
            short = f"~/{topic.removeprefix(f'{space}/{name}/')}" if own else topic.removeprefix(f"{space}/")
            kind = kinds[0].rpartition("/")[2]
            if short.endswith("/_action/send_goal"):
                found["offers", short.removesuffix("/_action/send_goal")] = kind.removesuffix("_SendGoal")
            elif not any(word in short for word in (*EVERYWHERE, *OF_LIFECYCLE, "/_action/")):
                found[direction, short] = kind
    return found


def test_every_topic_service_and_action_of_the_nodes_is_documented(made: Bench, tmp_path: Path) -> None:
    names = [name for name in NODES if name != "teleop_keyboard"]
    for name in names:
        folder = {"run_dir": tmp_path} if hasattr(NODES[name](), "run_dir") else {}
        made.start(name, **folder, **MORE.get(name, {}))
    made.until(lambda: all((name, made.namespace) in made.node.get_node_names_and_namespaces() for name in names), 60)
    problems = {}

    def agree() -> bool:
        for name in names:
            wanted, found = documented(name), living(made, name)
            both = {key: (wanted.get(key), found.get(key)) for key in wanted.keys() | found.keys()}
            problems[name] = {key: kinds for key, kinds in both.items() if kinds[0] != kinds[1]}
        return not any(problems.values())

    made.until(agree, 30, must=False)
    assert agree(), {name: found for name, found in problems.items() if found}


def test_every_parameter_of_the_nodes_is_documented() -> None:
    for name in NODES:
        page = PAGES[name]
        assert f"<!-- table: parameters {name} -->" in page and f"<!-- table: topics {name} -->" in page, name
