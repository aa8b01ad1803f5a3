"""What moves or stops the arm comes from one publisher: with two the nodes stop, name both, and take neither's word."""

from __future__ import annotations

import itertools
import signal
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

import rclpy  # noqa: E402
from actor_for_tests import TASK, WEIGHTS  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.node import Node  # noqa: E402
from ros_bench import Bench  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from tdm_ros.msg import ArmState, Command, Episode, PolicyWeights, Subgoal  # noqa: E402
from test_node_arm import Commander  # noqa: E402
from test_node_policy import Stage  # noqa: E402
from test_node_supervisor import Arm  # noqa: E402
from test_node_teleop import Stick  # noqa: E402

from tdm_ros.control.timeline import Announcement, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import to_episode  # noqa: E402


class Second:
    """Another node that publishes the same, so many times a second."""

    def __init__(self, made: Bench, kind: type[Any], topic: str, profile: Any, message: Any, hz: float = 20.0) -> None:
        self.made = made
        self.node: Node = rclpy.create_node("second", namespace=made.namespace, context=made.context)
        publisher = self.node.create_publisher(kind, topic, profile)
        made.until(lambda: publisher.get_subscription_count() > 0)
        self._timer = made.node.create_timer(1 / hz, lambda: publisher.publish(message()))

    def end(self) -> None:
        self._timer.cancel()
        self.node.destroy_node()


def both(made: Bench, topic: str) -> tuple[str, str, str]:
    """What a sentence about two publishers names."""
    return f"{made.namespace}/{topic}", f"{made.namespace}/bench", f"{made.namespace}/second"


def test_arm_with_two_supervisors_stops_for_good_and_names_both(commander: Commander) -> None:
    made = commander.bench

    def message() -> Episode:
        other = Announcement(State.RUNNING, episode=7, length=10**6, goal=np.full(3, 0.3, np.float32))
        return to_episode(other, TASK, made.node.get_clock().now().to_msg())

    second = Second(made, Episode, "episode", qos.LATCHED, message)
    made.until(lambda: "more than one publisher" in commander.states[-1].fault)
    assert all(name in commander.states[-1].fault for name in both(made, "episode")), commander.states[-1].fault
    made.until(lambda: commander.speed() < 0.01)
    second.end()
    commander.announced = Announcement(State.FAULT, reason="two supervisors")
    made.spin(1.0)
    assert commander.states[-1].fault, "until somebody clears it"
    commander.announced = Announcement(State.DISABLED, reason="cleared")
    made.until(lambda: not commander.states[-1].fault)


def test_arm_with_two_policies_stops_for_good_and_names_both(commander: Commander) -> None:
    made = commander.bench
    Second(made, Command, "command", qos.COMMAND, lambda: commander.answer(commander.states[-1]))
    made.until(lambda: "more than one publisher" in commander.states[-1].fault)
    assert all(name in commander.states[-1].fault for name in both(made, "command")), commander.states[-1].fault
    made.until(lambda: commander.speed() < 0.01)


@pytest.mark.parametrize("profile", [qos.TELEOP, qos.EXTERNAL], ids=["reliable", "best effort"])
def test_arm_follows_neither_of_two_who_drive(commander: Commander, profile: Any) -> None:
    made, stick = commander.bench, Stick(commander.bench)
    stick.push(0.0, 0.0, 0.08)
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_HUMAN, 5)
    second = Second(made, type(stick.message()), "teleop/twist", profile, stick.message)
    made.until(lambda: "teleop/twist: two publishers" in made.rejected("arm"))
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_SAFETY)
    begin = commander.states[-1].cycle
    made.spin(0.5)
    assert not [s for s in commander.states if s.cycle > begin and s.source == ArmState.SOURCE_HUMAN]
    running = commander.announced
    for announced in (
        Announcement(State.PAUSED, reason="two drive"),
        running,
    ):  # as a supervisor does that resumes by itself
        commander.announced = announced
        made.spin(0.5)
    assert commander.states[-1].source == ArmState.SOURCE_SAFETY, "nor is the policy followed"
    second.end()
    stick.push(0.0, 0.0, 0.0)
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_POLICY)
    stick.push(0.0, 0.0, 0.08)
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_HUMAN)


def test_arm_whose_supervisor_was_killed_and_started_again_sees_one(made: Bench) -> None:
    made.start("arm")
    states = made.collect(ArmState, "arm_state", qos.STATE)
    for _ in range(2):  # for a while the graph has the one that was killed, too
        made.start("supervisor", auto_start=False)
        made.until(lambda: "supervisor" in made.diagnostics)
        made.until(lambda: bool(states) and "waiting for ~/start" in states[-1].hold_reason)
        made.stop("supervisor", signal.SIGKILL)
        made.diagnostics.pop("supervisor")
        made.until(lambda: "no message of the supervisor" in states[-1].hold_reason)
    assert not [state.fault for state in states if state.fault]


@pytest.fixture
def held(made: Bench) -> Commander:
    """An arm that moves while the deadman is held."""
    made.start("arm", **{"deadman.required": True})
    return Commander(made)


def deadman(made: Bench, name: str = "deadman", profile: Any = qos.COMMAND) -> Node:
    """A node of that name that publishes `deadman` as held, 20 times a second."""
    node = rclpy.create_node(name, namespace=made.namespace, context=made.context)
    publisher = node.create_publisher(Bool, "deadman", profile)
    made.node.create_timer(0.05, lambda: node.handle and publisher.publish(Bool(data=True)))
    return node


def test_deadman_of_another_node_than_the_named_one_moves_nothing(held: Commander) -> None:
    made = held.bench
    deadman(made, "somebody")
    made.until(lambda: "deadman: not from the configured source" in made.rejected("arm"))
    made.spin(1.0)
    assert not any(state.source == ArmState.SOURCE_POLICY for state in held.states)
    words = (f"{made.namespace}/somebody", f"expected {made.namespace}/deadman alone", "arm.deadman.source")
    assert all(word in made.output("arm") for word in words)


@pytest.mark.parametrize("profile", [qos.COMMAND, qos.EXTERNAL], ids=["reliable", "best effort"])
def test_deadman_with_a_second_publisher_counts_as_let_go(held: Commander, profile: Any) -> None:
    made = held.bench
    deadman(made, profile=profile)
    made.until(held.moves)
    second = Second(made, Bool, "deadman", profile, lambda: Bool(data=True))
    made.until(lambda: held.states[-1].hold_reason == "the deadman is not held")
    begin = held.states[-1].cycle
    made.spin(0.5)
    assert not [state for state in held.states if state.cycle > begin and state.source == ArmState.SOURCE_POLICY]
    second.end()
    made.until(held.moves)


def test_arm_receives_deadman_and_teleoperation_of_best_effort_senders(held: Commander) -> None:
    """A reliable subscription would receive nothing."""
    made = held.bench
    deadman(made, profile=qos.EXTERNAL)
    made.until(held.moves)
    stick = Stick(made, qos.EXTERNAL)
    made.until(lambda: all(one.get_subscription_count() for one in (stick.twists, stick.engaged)))
    stick.push(0.0, 0.0, 0.06)
    made.until(lambda: held.states[-1].source == ArmState.SOURCE_HUMAN)
    stick.let_go()
    made.until(held.moves)
    made.until(lambda: bool(stick.engaged.publish(Bool(data=True))) or held.states[-1].source == ArmState.SOURCE_HUMAN)


def test_supervisor_receives_events_and_goals_of_best_effort_senders(made: Bench) -> None:
    made.start("supervisor")
    Arm(made)
    events = made.node.create_publisher(String, "teleop/event", qos.EXTERNAL)
    goals = made.node.create_publisher(PoseStamped, "goal", qos.EXTERNAL)
    made.until(lambda: all(one.get_subscription_count() for one in (events, goals)), 60)
    made.until(lambda: bool(events.publish(String(data="pause"))) or "PAUSED" in made.output("supervisor"))
    far = PoseStamped()
    far.pose.position.x = 9.0
    made.until(lambda: bool(goals.publish(far)) or "goal" in made.rejected("supervisor"))


def test_message_of_a_reliable_publisher_counts_once(made: Bench) -> None:
    """Two subscriptions receive it."""
    made.start("supervisor")
    Arm(made)
    events = made.node.create_publisher(String, "teleop/event", qos.EVENT)
    made.until(lambda: events.get_subscription_count() == 2, 60)
    for _ in range(3):
        events.publish(String(data="nonsense"))
    made.until(lambda: sum(made.rejected("supervisor").values()) >= 3)
    made.spin(2.0)
    assert sum(made.rejected("supervisor").values()) == 3, made.rejected("supervisor")


def test_deadman_of_a_node_that_is_named_in_full_is_the_one(made: Bench) -> None:
    made.start("arm", **{"deadman.required": True, "deadman.source": f"{made.namespace}/pedal"})
    player = Commander(made)
    deadman(made, "pedal")
    made.until(player.moves)


@pytest.fixture
def stage(made: Bench) -> Stage:
    made.start("policy")
    player = Stage(made)
    made.until(lambda: len(player.commands) > 3)
    return player


@pytest.mark.parametrize("topic", ["policy_weights", "subgoal"])
def test_policy_with_two_trainers_or_planners_is_silent_until_there_is_one(stage: Stage, topic: str) -> None:
    made, versions = stage.bench, itertools.count(1)
    stage.aim()
    stage.weights(WEIGHTS, next(versions))
    made.until(lambda: stage.commands[-1].weights_version == 1)
    again = stage.aim if topic == "subgoal" else lambda: stage.weights(WEIGHTS, next(versions))
    made.node.create_timer(0.1, again)

    def message() -> Any:
        if topic == "policy_weights":
            return PolicyWeights(version=1000, task=TASK.fingerprint, data=WEIGHTS)
        other = Subgoal(episode=1, status=1, last=True, steps_left=9, goal=[0.4] * 3, task=TASK.fingerprint)
        other.header.stamp = made.node.get_clock().now().to_msg()
        return other

    second = Second(made, type(message()), topic, qos.LATCHED, message, 10)
    made.until(lambda: f"{topic}: two publishers" in made.rejected("policy"))
    if topic == "policy_weights":
        made.until(lambda: any("more than one publisher" in why for why in made.rejected("policy")))
    assert stage.silent(0.5)
    second.end()
    made.until(lambda: bool(stage.commands))


def second_arm(made: Bench) -> tuple[Node, Arm]:
    """Another node, which publishes states of another arm."""
    node = rclpy.create_node("second", namespace=made.namespace, context=made.context)
    arm = Arm(made, "other")
    arm.publish = node.create_publisher(ArmState, "arm_state", qos.STATE).publish
    return node, arm


def test_supervisor_that_begins_beside_another_arm_ends_with_both_names(made: Bench) -> None:
    process = made.start("supervisor")
    Arm(made)
    made.until(lambda: "supervisor" in made.diagnostics)
    other, _ = second_arm(made)
    made.until(lambda: process.poll() is not None, 30)
    assert process.returncode == 1
    said = made.output("supervisor")
    assert all(name in said for name in both(made, "arm_state")) and "more than one publisher" in said
    assert "FAULT" in said and other.handle


def test_supervisor_that_was_there_before_another_arm_ends_when_it_stays(made: Bench) -> None:
    process = made.start("supervisor", program=OLDER)
    Arm(made)
    made.until(lambda: "supervisor" in made.diagnostics)
    for lasts in (False, True):
        other, second = second_arm(made)
        episodes = made.collect(Episode, "episode", qos.EPISODE)
        made.until(lambda episodes=episodes: any("more than one publisher" in e.reason for e in episodes))
        assert process.poll() is None
        if not lasts:
            second.end()
            other.destroy_node()
            made.spin(3.0)
            assert process.poll() is None and episodes[-1].state == Episode.FAULT, "a person decides how it goes on"
    made.until(lambda: process.poll() is not None, 30)
    assert process.returncode == 1


OLDER = """
import sys
from tdm_ros.nodes import supervisor
supervisor.YOUNG_S = 0.0
sys.exit(supervisor.main())
"""
"""As the executable, in a system that has run for longer than ten seconds."""
