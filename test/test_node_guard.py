"""An error in a callback, and bytes that are no message, do not end a node: it counts, logs, holds, and goes on."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]

import rclpy  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from ros_bench import Bench  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Command, Episode  # noqa: E402

from tdm_ros.control.validation import Rejections  # noqa: E402
from tdm_ros.drivers.watchdog import NEWEST, Polled  # noqa: E402
from tdm_ros.files import FolderInUseError  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.node_runner import QUIET_S, STUCK_S, GuardedExecutor, every  # noqa: E402

HEARD_BY_ALL = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Fragile(Node):
    """Fails at the word "fail"."""

    configured = True

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__("fragile", context=context)
        self.lines: list[str] = []
        self.rejections = Rejections(self.lines.append)
        self.held: list[str] = []
        self.heard: list[str] = []
        self.ticks = 0
        self.create_subscription(String, "words", self.hear, 10)
        self.create_service(Trigger, "fail", lambda request, response: 1 / 0)
        every(self, 0.01, self.tick)

    def hear(self, message: String) -> None:
        if message.data == "fail":
            raise KeyError("a word")
        self.heard.append(message.data)

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks % 5 == 0:
            raise RuntimeError("now and then")

    def on_callback_error(self, why: str) -> None:
        self.held.append(why)


@pytest.fixture
def context() -> Iterator[rclpy.Context]:
    made = rclpy.Context()
    rclpy.init(context=made)
    yield made
    made.try_shutdown()


def test_executor_goes_on_after_errors_and_bytes_that_are_no_message(context: rclpy.Context) -> None:
    node = Fragile(context)
    executor = GuardedExecutor(node)
    other = rclpy.create_node("other", context=context)
    words = other.create_publisher(String, "words", 10)
    client = other.create_client(Trigger, "fail")
    assert client.wait_for_service(20)
    for message in (String(data="one"), String(data="fail"), b"\0\1\0\0\3\0\0\0\xff\xfe\0", b"\0\1\0\0"):
        words.publish(message)
    client.call_async(Trigger.Request())
    words.publish(String(data="two"))
    words.publish(b"")  # the last: from UDP, Fast DDS takes no empty sample, nor what its writer sends later
    for _ in range(1000):
        executor.spin_once(timeout_sec=0.01)
        counts = node.rejections.counts
        if "two" in node.heard and node.ticks > 20 and counts["error in /words"] and counts["error in /fail"]:
            break
    assert node.heard == ["one", "\ufffd\ufffd", "two"], "rclpy replaces what is not UTF-8"
    assert counts["error in /words"] == 1
    assert counts["error in Fragile.tick"] >= 4 and counts["error in /fail"] == 1
    assert "an error in /words: KeyError: 'a word'" in node.held
    assert sum("Traceback" in line for line in node.lines) == 3, "one for each place"


def test_guard_raises_an_error_that_does_not_stop(context: rclpy.Context) -> None:
    now_s = [100.0]
    guard = GuardedExecutor(Fragile(context), clock=lambda: now_s[0])

    def fail(seconds: float, by_itself: bool = True) -> None:
        for _ in range(round(seconds / 0.05)):
            now_s[0] += 0.05
            guard.failed("here", OSError("no room"), by_itself=by_itself)

    fail(STUCK_S - 0.2)
    now_s[0] += QUIET_S + 0.1
    fail(STUCK_S - 0.2)
    fail(10 * STUCK_S, by_itself=False)  # messages that cannot be used, however many
    now_s[0] += QUIET_S + 0.1
    with pytest.raises(OSError, match="no room"):
        fail(STUCK_S + 0.2)


def test_guard_raises_at_once_when_another_process_writes_our_folder(context: rclpy.Context) -> None:
    with pytest.raises(FolderInUseError, match="another"):
        GuardedExecutor(Fragile(context)).failed("/arm_state", FolderInUseError("another process"))


def test_polled_subscription_goes_on_after_errors_and_bytes_that_are_no_message(made: Bench) -> None:
    node = rclpy.create_node("watchdog", namespace=made.namespace, context=made.context)
    polled, received = Polled(node), []

    def receive(message: String) -> None:
        if message.data == "fail":
            raise KeyError("a word")
        received.append(message.data)

    polled.subscribe(String, "words", receive, NEWEST)
    words = made.node.create_publisher(String, "words", 10)

    def arrived(text: str) -> bool:
        polled.poll()
        return text in received

    made.until(lambda: words.get_subscription_count() > 0)
    for number, message in enumerate((String(data="fail"), b"\0\1\0\0\3\0\0\0\xff\xfe\0", b"")):
        words.publish(message)
        made.until(lambda: arrived("never"), 0.1, must=False)
        words.publish(String(data=str(number)))
        made.until(lambda number=number: arrived(str(number)))
    assert sum(polled.rejections.counts.values()) == 1, "rclpy replaces or drops bytes that are no text"


def cdr(text: bytes) -> bytes:
    """An `ArmState` or the like whose header's frame is no UTF-8."""
    return b"\0\1\0\0" + struct.pack("<iI", 1, 1) + struct.pack("<I", len(text) + 1) + text + b"\0" + bytes(1000)


@pytest.mark.any_speed
@pytest.mark.parametrize("name", ["arm", "policy", "planner", "supervisor", "collector", "trainer", "console", "scene"])
def test_node_lives_through_bytes_that_are_no_message(made: Bench, name: str) -> None:
    process = made.start(name)
    made.until(lambda: bool(made.values(name)), 60)
    topics = {"arm_state": ArmState, "episode": Episode, "command": Command}
    publishers = [made.node.create_publisher(kind, topic, HEARD_BY_ALL) for topic, kind in topics.items()]
    made.until(lambda: any(one.get_subscription_count() for one in publishers))
    rejected = sum(made.rejected(name).values())
    for publisher, kind in zip(publishers, topics.values(), strict=True):
        for data in (
            cdr(b"\xff\xfe"),
            b"",
            b"\0\1\0\0",
            serialize_message(kind())[:20],
            np.random.default_rng(0).bytes(500),
        ):
            publisher.publish(data)
    made.until(lambda: sum(made.rejected(name).values()) > rejected)
    made.spin(1.5)
    before = made.diagnostics.pop(name, None)
    made.until(lambda: bool(made.values(name)), 10)
    assert process.poll() is None and before is not None


BROKEN = """import sys
from tdm_ros.nodes.arm import ArmNode
from tdm_ros.nodes.node_runner import run

class Broken(ArmNode):
    def _on_deadman(self, message):
        raise KeyError("a mistake")

sys.exit(run(Broken))
"""


def test_error_in_a_callback_of_the_arm_is_a_fault_and_in_one_of_rclpy_it_is_not(made: Bench) -> None:
    made.start("arm", program=BROKEN)
    states = made.collect(ArmState, "arm_state")
    made.until(lambda: bool(states), 60)
    client = made.node.create_client(SetParameters, "arm/set_parameters")
    made.until(client.service_is_ready, 60)
    unknown = Parameter(name="x", value=ParameterValue(type=77))
    client.call_async(SetParameters.Request(parameters=[unknown]))
    made.until(lambda: any("set_parameters" in why for why in made.rejected("arm")))
    begin = len(states)
    made.until(lambda: len(states) > begin + 5)
    deadman = made.node.create_publisher(Bool, "deadman", qos.COMMAND)
    made.until(lambda: deadman.get_subscription_count() > 0)
    assert not states[-1].fault
    deadman.publish(Bool(data=True))
    made.until(lambda: "error in" in states[-1].fault and "a mistake" in states[-1].fault)
    before = len(states)
    made.until(lambda: len(states) > before + 5)
    assert states[-1].fault, "it stays until an operator says otherwise"


BROKEN_LOOP = BROKEN.replace("_on_deadman(self, message)", "_tick(self, *given)")


def test_error_in_every_cycle_of_the_arm_ends_it(made: Bench) -> None:
    """Callbacks that succeed in between, and timers, do not hide that the arm's own loop fails."""
    process = made.start("arm", program=BROKEN_LOOP)
    assert process.wait(60) == 1
    assert "a mistake" in made.output("arm")
