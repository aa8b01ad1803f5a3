"""A real Sawyer as an arm: every doubt about it is a problem, and nothing it does waits."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from intera_fake_worker import state

from tdm_ros.drivers.intera.client import InteraError, Reading
from tdm_ros.drivers.intera.wire import Answer, State
from tdm_ros.drivers.worker_arm import WorkerArm
from tdm_ros.robots.kinematics import forward, quaternion_wxyz
from tdm_ros.robots.sawyer import NEUTRAL_RAD

POSE = forward(NEUTRAL_RAD)
TOOL_M = np.array([0.0, 0.02, 0.12])
WELL = replace(
    state(1),
    q_rad=tuple(NEUTRAL_RAD.tolist()),
    effort_n_m=tuple(range(7)),
    p_base_hand_m=tuple(POSE.position_m.tolist()),
    quat_wxyz=tuple(quaternion_wxyz(POSE.rotation).tolist()),
)


class Client:
    """What the worker says is set here; what it is told is kept."""

    def __init__(self, state: State | None = WELL) -> None:
        self.reading = Reading(state, 0.01, "" if state else "nothing yet")
        self.sent: list[Any] = []
        self.answer = ""

    def state(self) -> Reading:
        return self.reading

    def command(self, mode: str, values: Any) -> str:
        self.sent.append((mode, np.asarray(values).tolist()))
        return self.answer

    def request(self, action: str) -> Future[Answer]:
        self.sent.append(action)
        return Future()


def arm_of(client: Client) -> WorkerArm:
    return WorkerArm(client)  # type: ignore[arg-type]


def test_arm_that_says_nothing_is_rejected() -> None:
    ticks = iter(range(10))
    with pytest.raises(InteraError, match="sent no state for 2 s: nothing yet"):
        WorkerArm(Client(None), clock=lambda: float(next(ticks)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problem": "the e-stop is pressed"}, "the e-stop is pressed"),
        ({"rejected": 1, "rejection": "too fast"}, "the worker rejected a command: too fast"),
    ],
)
def test_arm_that_is_not_well_reports_it(changes: dict[str, Any], words: str) -> None:
    client = Client()
    arm = arm_of(client)
    assert arm.problem() == ""
    client.reading = Reading(replace(WELL, **changes), 0.01, "")
    assert words in arm.problem()


def test_arm_whose_states_are_old_or_whose_worker_is_lost_reports_it() -> None:
    client = Client()
    arm = arm_of(client)
    client.reading = Reading(WELL, 0.15, "")
    assert arm.problem() == "joint states are 0.15 s old"
    client.reading = Reading(WELL, 5.0, "the worker ended with status 1")
    assert arm.problem() == "the worker ended with status 1"
    assert arm.reading().q_rad.shape == (7,), "the last reading is still there"


def turned(q0_rad: float) -> State:
    """The robot after its first joint has turned, with its tool."""
    pose = forward(q := NEUTRAL_RAD + np.array([q0_rad, 0, 0, 0, 0, 0, 0]))
    tip = pose.position_m + pose.rotation @ TOOL_M
    return replace(WELL, q_rad=tuple(q.tolist()), p_base_hand_m=tuple(tip.tolist()))


def test_arm_whose_hand_does_not_follow_its_joints_reports_it() -> None:
    client = Client(turned(0.0))
    arm = arm_of(client)
    client.reading = Reading(turned(0.5), 0.01, "")
    assert arm.problem() == "", "a tool is no problem"
    client.reading = Reading(replace(turned(0.2), p_base_hand_m=turned(0.0).p_base_hand_m), 0.01, "")
    assert arm.problem().startswith("the hand that the robot reports is 0.1")


def test_arm_command_that_does_not_go_out_is_a_problem_once() -> None:
    client = Client()
    arm = arm_of(client)
    client.answer = "the worker does not read"
    arm.drive("velocity", np.zeros(7))
    assert arm.problem() == "the worker does not read"
    assert arm.problem() == ""


def test_arm_holds_once() -> None:
    client = Client()
    arm = arm_of(client)
    arm.hold()
    assert client.sent == [], "it was not driven"
    arm.drive("velocity", np.full(7, 0.1))
    arm.hold()
    arm.hold()
    assert client.sent == [("velocity", [0.1] * 7), "hold"]


def test_arm_whose_cuff_is_held_is_guided_which_is_no_problem() -> None:
    client = Client()
    arm = arm_of(client)
    assert not arm.guided()
    client.reading = Reading(replace(WELL, cuff=True, buttons={"right_button_ok": 1}), 0.01, "")
    assert arm.guided() and arm.problem() == "" and arm.buttons() == {"right_button_ok": 1}
