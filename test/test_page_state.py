"""Between the page and ROS: orders, the last word of who drives, rejections; and what is drawn from the model."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from tdm_ros.console.console_state import (
    QUEUED,
    REMEDIES,
    TEXT,
    VALUES,
    ConsoleState,
    NodeValues,
    Snapshot,
    curve_options,
    cycle_rows,
    fault_of,
    recorded_rows,
    remedy_of,
    why_of,
)
from tdm_ros.console.view import arm_links, tool_shape, turned
from tdm_ros.drivers.intera.sdk import robot_problem
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.kinematics import forward, link_frames
from tdm_ros.robots.sawyer import NEUTRAL_RAD
from tdm_ros.tasks.pushing import push_setup, tip_of

LOW, HIGH = (0.4, -0.3, 0.1), (0.8, 0.3, 0.6)


def test_console_state_goal_is_brought_into_the_box_and_one_that_is_not_finite_is_rejected() -> None:
    console = ConsoleState(LOW, HIGH)
    console.request_goal(5.0, 0.1, -1.0)
    assert [order.point_m for order in console.take_requests()] == [(0.8, 0.1, 0.1)]
    with pytest.raises(ValueError, match="three finite numbers"):
        console.request_goal(0.5, math.nan, 0.2)
    assert console.take_requests() == []


def test_console_state_more_orders_than_can_be_carried_out_are_rejected_and_counted() -> None:
    console = ConsoleState(LOW, HIGH)
    for _ in range(QUEUED + 5):
        console.request("pause")
    assert len(console.take_requests()) == QUEUED
    assert [(why, count) for why, _, count in console.take_rejections()] == [
        ("page: too many requests of the operator", 5)
    ]


def test_console_state_of_driving_only_the_last_word_counts_and_once() -> None:
    console = ConsoleState(LOW, HIGH)
    console.drive((0.1, 0, 0), True)
    console.drive((0, 0, 0), False)
    said = console.take_drive()
    assert said is not None and not said.engaged and time.monotonic() - said.received_s < 1.0
    assert console.take_drive() is None


def test_console_state_rejections_with_ever_new_details_take_no_more_room() -> None:
    console = ConsoleState(LOW, HIGH)
    for number in range(1000):
        console.reject("page: flood", str(number))
    taken = console.take_rejections()
    assert sum(count for _, _, count in taken) == 1000 and len(taken) <= QUEUED + 1


def test_links_of_the_model_are_where_kinematics_says_at_any_posture() -> None:
    links = arm_links()
    q = np.array(NEUTRAL_RAD) + np.linspace(-0.4, 0.5, 7)
    poses = [np.eye(4)]
    for link in links[1:]:
        local = np.eye(4)
        local[:3, :3] = turned(link, q[link.joint] if link.joint >= 0 else 0.0)
        local[:3, 3] = link.position_m
        poses.append(poses[link.parent] @ local)
    moved = {link.joint: pose for link, pose in zip(links, poses, strict=True) if link.joint >= 0}
    assert sorted(moved) == list(range(7))
    assert np.allclose([moved[joint] for joint in range(7)], link_frames(q)[:7], atol=1e-6)
    assert sum(len(link.shapes) for link in links) > 40
    assert {shape.colour for link in links for shape in link.shapes} >= {"#990a12", "#1f1f21"}


def test_readings_of_nothing_and_of_garbled_values_are_dashes() -> None:
    rows = dict(
        cycle_rows(Snapshot(values={"arm": {"rate_hz": "much", "rejected: x": "3"}, "planner": {"plans": "7"}}))
    )
    assert rows["commands in time"] == "- Hz" and rows["plans"] == "7" and rows["inputs rejected, all nodes"] == "3"
    assert recorded_rows(Snapshot(executed={"HUMAN": 5}, log=(("0000.mcap", 2_500_000),))) == [
        ("transitions by human", "5"),
        ("0000.mcap", "2.50 MB"),
    ]


@pytest.mark.parametrize("name", ["sawyer", "panda", "so101"])
def test_tool_that_is_drawn_ends_at_the_tip_that_pushes(name: str) -> None:
    robot, tool = load_robot(name), tool_shape(load_robot(name))
    hand, setup = forward(robot.home_rad, robot), push_setup(robot)
    frame = link_frames(robot.home_rad, robot)[len(robot.joint_names) - 1]
    ends = [tool.position_m + side * tool.size_m[1] * tool.rotation[:, 2] for side in (-1, 1)]
    drawn = [frame[:3, :3] @ end + frame[:3, 3] for end in ends]
    np.testing.assert_allclose(drawn, [hand.position_m, tip_of(hand, setup)], atol=1e-9)
    assert tool.kind == "capsule" and tool.size_m[0] == setup.tool_radius_m


def test_curve_of_a_long_run_shows_its_end() -> None:
    curve = tuple((float(n), 1.0, "train" if n % 2 else "evaluate") for n in range(5000))
    data = {series["name"]: series["data"] for series in curve_options(curve)["series"]}
    assert data["train"][-1] == [4999.0, 1.0] and len(data["train"]) == len(data["evaluate"]) == 300


def test_values_of_made_up_nodes_and_without_end_take_no_more_room() -> None:
    values = NodeValues(("arm", "trainer"))
    for number in range(1000):
        values.take(f"made_up_{number}", [("rate_hz", "20")])
        values.take("arm", ((f"{number} {key}" + "k" * 1000, "v" * 100_000) for key in range(1000)))
    assert set(values.by_node) == {"arm"}
    assert len(values.by_node["arm"]) == VALUES
    assert max(map(len, (*values.by_node["arm"], *values.by_node["arm"].values()))) == TEXT
    values.take("arm", [("rate_hz", "20")])
    assert values.by_node == {"arm": {"rate_hz": "20"}}


def test_fault_is_what_the_arm_says_or_else_the_supervisor() -> None:
    assert fault_of(Snapshot(state="RUNNING", reason="episode 3", hold_reason="no command")) == ""
    assert fault_of(Snapshot(state="FAULT", reason="the arm: silent")) == "the arm: silent"
    assert fault_of(Snapshot(state="RUNNING", fault="the robot reports an error")) == "the robot reports an error"


def test_page_shows_at_once_what_is_not_recorded_whatever_the_arm_does() -> None:
    values = {"collector": {"alarm": "NOT RECORDED: no room"}, "trainer": {"alarm": "checkpoint is not saved"}}
    for state in ("RUNNING", "FAULT"):
        shown = why_of(Snapshot(state=state, reason="episode 3", values=values), silent=False)
        assert shown == "episode 3 · NOT RECORDED: no room · checkpoint is not saved"
    assert "NOT RECORDED" in why_of(Snapshot(values=values), silent=True)
    assert why_of(Snapshot(reason="", episode=3, values={"collector": {"alarm": ""}}), silent=False) == "episode 3"


def test_remedy_of_every_fault_ends_with_clear_fault_and_start_and_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[1] / "docs" / "real_robot.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for words, todo in REMEDIES:
        assert any(words in row.split("|")[1] for row in rows), words
        assert remedy_of(f"the arm: {words} ...") == f"What to do: {todo}; then Clear fault, then Start."
    assert remedy_of("something else").startswith("What to do: remove the cause; then Clear fault")


@pytest.mark.parametrize("flag", ["estop", "stopped", "error", "collided", "motors off", "not homed"])
def test_remedy_is_known_for_whatever_the_robot_reports(flag: str) -> None:
    flags = dict.fromkeys(("estop", "stopped", "error", "collided"), False)
    flags |= {"enabled": flag != "motors off", "homed": flag != "not homed"}
    said = robot_problem(flags | ({flag: True} if flag in flags else {}), 0.0)
    assert said and "remove the cause;" not in remedy_of(said)
