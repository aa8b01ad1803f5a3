"""Teleoperation over real DDS: arm, collector and supervisor as processes, a device and a keyboard that publish."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from geometry_msgs.msg import TwistStamped  # noqa: E402
from ros_bench import PROGRAM, ROOT, Bench  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from tdm_ros.msg import ArmState, Command, Episode, Transition  # noqa: E402
from test_node_arm import Commander  # noqa: E402

from tdm_ros.control.timeline import Announcement, State  # noqa: E402
from tdm_ros.data.log import LOG_FOLDER, read_transitions  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import to_stamp  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402

TASK = SAWYER_REACH["velocity"]


class Stick:
    """Publishes a velocity of the hand 20 times per second while it is pushed."""

    def __init__(self, made: Bench, profile: Any = qos.TELEOP) -> None:
        self.bench, self.velocity, self.change = made, np.zeros(3), lambda message: message
        self.pushed = False
        self.twists = made.node.create_publisher(TwistStamped, "teleop/twist", profile)
        self.engaged = made.node.create_publisher(Bool, "teleop/engaged", profile)
        made.node.create_timer(0.05, self.say)

    def say(self) -> None:
        if self.pushed:
            self.twists.publish(self.change(self.message()))

    def message(self) -> TwistStamped:
        message = TwistStamped()
        message.header.stamp = self.bench.node.get_clock().now().to_msg()
        message.header.frame_id = "base"
        message.twist.linear.x, message.twist.linear.y, message.twist.linear.z = self.velocity.tolist()
        return message

    def push(self, *velocity: float) -> None:
        self.velocity, self.pushed = np.array(velocity), True
        self.say()

    def let_go(self) -> None:
        self.push(0.0, 0.0, 0.0)
        self.pushed = False


def stamp_s(state: ArmState) -> float:
    return state.header.stamp.sec + state.header.stamp.nanosec * 1e-9


def test_device_takes_control_and_after_it_the_policy_does_or_the_arm_holds_if_it_is_lost(
    commander: Commander,
) -> None:
    made, stick = commander.bench, Stick(commander.bench)
    start = commander.states[-1]
    stick.push(0.0, 0.0, 0.08)
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_HUMAN, 5)
    made.spin(1.0)
    assert commander.states[-1].hand.position.z - start.hand.position.z > 0.04
    stick.let_go()
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_POLICY, 5)
    sources = [state.source for state in commander.states if state.cycle > start.cycle]
    runs = [source for i, source in enumerate(sources) if i == 0 or source != sources[i - 1]]
    assert runs[-2:] == [ArmState.SOURCE_HUMAN, ArmState.SOURCE_POLICY]
    stick.push(0.0, 0.0, -0.08)
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_HUMAN, 5)
    stick.pushed = False
    made.until(lambda: "ended without a release of the control" in commander.states[-1].hold_reason, 5)
    begin = commander.states[-1].cycle
    made.spin(1.0)
    after = [state for state in commander.states if state.cycle > begin]
    assert len(after) > 10 and {state.source for state in after} == {ArmState.SOURCE_SAFETY}
    assert commander.speed() < 0.01


INVALID: dict[str, Callable[[TwistStamped], object]] = {
    "nan": lambda message: setattr(message.twist.linear, "x", float("nan")),
    "old": lambda message: setattr(message.header, "stamp", to_stamp((message.header.stamp.sec - 10) * 10**9)),
    "no stamp": lambda message: setattr(message.header, "stamp", to_stamp(0)),
    "frame": lambda message: setattr(message.header, "frame_id", "right_hand"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_device_with_invalid_twists_is_rejected_counted_and_moves_nothing(commander: Commander, kind: str) -> None:
    made, stick = commander.bench, Stick(commander.bench)
    stick.change = lambda message: (INVALID[kind](message), message)[1]
    begin = commander.states[-1].cycle
    stick.push(0.1, 0.0, 0.0)
    made.until(lambda: any(why.startswith("teleop/twist") for why in made.rejected("arm")), 5)
    assert ArmState.SOURCE_HUMAN not in {state.source for state in commander.states if state.cycle > begin}


def test_device_moves_a_paused_arm_but_none_that_is_disabled(commander: Commander) -> None:
    made, stick = commander.bench, Stick(commander.bench)
    commander.announced = Announcement(State.PAUSED, reason="test")
    commander.announce()
    made.until(lambda: "paused" in commander.states[-1].hold_reason, 5)
    stick.push(0.0, 0.05, 0.0)
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_HUMAN, 5)
    made.spin(0.5)
    assert commander.speed() > 0.02 and commander.states[-1].hold_reason == ""
    commander.announced = Announcement(State.DISABLED, reason="test")
    commander.announce()
    made.until(lambda: "disabled" in commander.states[-1].hold_reason, 5)
    made.spin(0.3)
    assert commander.speed() < 0.01 and commander.states[-1].source != ArmState.SOURCE_HUMAN


def test_flood_of_twists_leaves_the_arm_its_clock(commander: Commander) -> None:
    made, stick = commander.bench, Stick(commander.bench)
    stick.push(0.0, 0.02, 0.0)
    begin, end_s = commander.states[-1].cycle, time.monotonic() + 2.0
    while time.monotonic() < end_s:
        for _ in range(20):
            stick.say()
        made.spin(0.001)
    made.spin(0.3)
    cycles = [state.cycle for state in commander.states if state.cycle > begin]
    assert len(cycles) > 30 and cycles == list(range(cycles[0], cycles[-1] + 1))


class Terminal:
    """The keyboard's node on a terminal of its own, and its keys; its output goes there, too, or into a file."""

    def __init__(self, made: Bench, shown: bool = False, autostart: bool = True) -> None:
        self.keys, inner = pty.openpty()
        log = (made.folder / "teleop_keyboard.out").open("ab")
        arguments = ["--ros-args", "-r", f"__ns:={made.namespace}", "-p", f"autostart:={str(autostart).lower()}"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format("teleop_keyboard"), *arguments],
            stdin=inner,
            stdout=inner if shown else log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        os.close(inner)
        made.processes["teleop_keyboard"] = self.process
        text = b""
        while shown and b"forward, back" not in text:
            text += os.read(self.keys, 4096)
        made.until(lambda: shown or not autostart or "forward, back" in made.output("teleop_keyboard"))

    def press(self, key: str) -> None:
        os.write(self.keys, key.encode())


def test_keyboard_whose_terminal_is_stopped_goes_on_and_ends_on_a_signal(made: Bench) -> None:
    """Ctrl-S stops the output of a terminal: a write into it waits for ever."""
    events = made.collect(String, "teleop/event", qos.EVENT)
    terminal = Terminal(made, shown=True)
    while not events:  # until it is discovered
        terminal.press("y")
        made.spin(0.2)
    terminal.press("\x13")
    for _ in range(2):
        events.clear()
        terminal.press("y")
        made.until(lambda: bool(events), 5)
    terminal.process.terminate()
    assert terminal.process.wait(10) == 0


def test_key_moves_the_arm_within_two_cycles_and_space_stops_it(commander: Commander) -> None:
    made = commander.bench
    terminal = Terminal(made)
    events = made.collect(String, "teleop/event", qos.EVENT)
    made.until(lambda: made.values("teleop_keyboard").get("arms") == "1")
    taken_s = []
    for _ in range(8):
        made.until(lambda: commander.states[-1].source == ArmState.SOURCE_POLICY, 5)
        made.spin(0.2 + 0.013 * len(taken_s))
        pressed_s, cycle = time.time(), commander.states[-1].cycle
        terminal.press("r")
        made.until(lambda c=cycle: any(s.source == ArmState.SOURCE_HUMAN for s in commander.states if s.cycle > c), 5)
        first = next(s for s in commander.states if s.cycle > cycle and s.source == ArmState.SOURCE_HUMAN)
        taken_s.append(stamp_s(first) - pressed_s)
        terminal.press(" ")
    print("key to the end of the first cycle that it moved the arm in [ms]:", [round(1e3 * t) for t in sorted(taken_s)])
    assert np.median(taken_s) < 0.3
    terminal.press("y")
    made.until(lambda: [event.data for event in events] == ["success"], 5)
    terminal.press("q")
    assert terminal.process.wait(10) == 0


def test_keyboard_says_that_a_pause_which_nobody_receives_is_lost(made: Bench) -> None:
    terminal = Terminal(made)
    terminal.press("p")
    made.until(lambda: "\npause" in made.output("teleop_keyboard"), 5)
    assert "\npause: LOST, no supervisor subscribes, press again" in made.output("teleop_keyboard")
    events = made.collect(String, "teleop/event", qos.EVENT)
    begin = len(made.output("teleop_keyboard"))
    made.until(lambda: terminal.press("p") or "\npause\n" in made.output("teleop_keyboard")[begin:], 10)
    made.until(lambda: bool(events), 5)


def test_keyboard_without_a_terminal_says_so(made: Bench) -> None:
    process = made.start("teleop_keyboard")
    assert process.wait(30) == 1
    assert "needs a terminal on its standard input" in made.output("teleop_keyboard")


def test_system_records_the_operator_and_what_they_discard(made: Bench, tmp_path: Path) -> None:
    """All nodes live: operator transitions are in topic, log and replay; discarded ones are not learned from."""
    transitions = made.collect(Transition, "transition", qos.TRANSITION)
    states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
    announced = made.collect(Episode, "episode", qos.EPISODE)
    events = made.node.create_publisher(String, "teleop/event", qos.EVENT)
    made.node.create_publisher(Command, "command", qos.COMMAND)
    stick = Stick(made)
    for node in ("arm", "collector", "policy", "planner"):
        made.start(node)
    made.start("trainer", duration_min=".inf")
    made.start("supervisor", duration_min=".inf", evaluate_goals=0, reset_every=1000)
    made.until(lambda: any(t.source == ArmState.SOURCE_RANDOM for t in transitions), 60)
    stick.push(0.02, 0.05, 0.03)
    made.until(lambda: sum(t.source == ArmState.SOURCE_HUMAN for t in transitions) > 20, 30)
    stick.let_go()
    made.until(lambda: states[-1].source == ArmState.SOURCE_RANDOM, 10)
    made.until(lambda: int(made.values("trainer").get("human", 0)) > 20, 60)
    kept = int(made.values("trainer")["human"])

    made.until(lambda: announced[-1].state == Episode.RUNNING and states[-1].episode == announced[-1].episode, 20)
    episode = states[-1].episode
    events.publish(String(data="discard"))
    made.until(lambda: len(announced[-1].discarded_run) == 1, 10)
    events.publish(String(data="dance"))
    made.until(lambda: made.rejected("supervisor").get("teleop/event", 0) == 1, 10)
    made.until(lambda: int(made.values("trainer").get("discarded", 0)) > 0, 30)
    made.until(lambda: states[-1].episode > episode, 20)
    for node in ("supervisor", "collector", "trainer"):
        made.stop(node)
    rows = (tmp_path / "metrics.csv").read_text()
    assert f",{episode},train," in rows and ",discarded," in rows
    logged = list(read_transitions(tmp_path / LOG_FOLDER, TASK.fingerprint))
    by_cycle = {state.cycle - 1: state for state in states}
    both = [t for t in logged if t.cycle in by_cycle]
    assert len(both) > 20 and all(by_cycle[t.cycle].source == t.source for t in both)
    assert all(np.array_equal(by_cycle[t.cycle].executed_action, t.step.action) for t in both)
    heard = [t for t in transitions if t.cycle in by_cycle]
    assert len(heard) > 20 and all(by_cycle[t.cycle].source == t.source for t in heard)
    assert sum(t.source == ArmState.SOURCE_HUMAN for t in logged) >= kept
    assert any(t.episode == episode for t in logged), "discarded transitions are still on disk"
