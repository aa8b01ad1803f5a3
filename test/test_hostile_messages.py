"""Whatever well-typed message comes, no callback fails, the arm keeps its limits, and what is learned is finite.

Here the callbacks of real nodes are called in this process, so that an error is not caught by the guard of the
executor; `test_node_guard.py` sends some messages over DDS to nodes that are processes.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import struct
import time
import warnings
from array import array
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed, pytest.mark.timeout(300)]

import rclpy  # noqa: E402
from actor_for_tests import TASK, WEIGHTS  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import Point, Pose, PoseStamped, Twist, TwistStamped, Vector3  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from messages_for_tests import anything, changed  # noqa: E402
from rclpy.action import GoalResponse  # noqa: E402
from rclpy.lifecycle import LifecycleNode  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from ros_bench import resting_state  # noqa: E402
from safetensors.numpy import load  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from tdm_ros.action import ReachGoal  # noqa: E402
from tdm_ros.msg import (  # noqa: E402
    Command,
    Episode,
    KeepOut,
    PolicyWeights,
    Subgoal,
    Transition,
)
from test_live_learning import transition  # noqa: E402
from unique_identifier_msgs.msg import UUID  # noqa: E402
from visualization_msgs.msg import InteractiveMarkerFeedback  # noqa: E402

from fuzz.nodes import feed_stage  # noqa: E402
from fuzz.target import CORPUS  # noqa: E402
from tdm_ros.control.timeline import Announcement, Mode, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.arm import ArmNode  # noqa: E402
from tdm_ros.nodes.collector import CollectorNode  # noqa: E402
from tdm_ros.nodes.console import ConsoleNode  # noqa: E402
from tdm_ros.nodes.convert import doubles, floats, to_episode, to_transition  # noqa: E402
from tdm_ros.nodes.markers import markers  # noqa: E402
from tdm_ros.nodes.parameters import NODES  # noqa: E402
from tdm_ros.nodes.planner import PlannerNode  # noqa: E402
from tdm_ros.nodes.policy import PolicyNode  # noqa: E402
from tdm_ros.nodes.scene import SceneNode  # noqa: E402
from tdm_ros.nodes.subscriptions import FOREIGN  # noqa: E402
from tdm_ros.nodes.supervisor import SupervisorNode  # noqa: E402
from tdm_ros.nodes.trainer import TrainerNode  # noqa: E402
from tdm_ros.robots.sawyer import JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD  # noqa: E402

LARGE = bytes(200_000_000)
TEXTS = (TASK.fingerprint, "base", "goal", "keep_out", "subgoal", "discard", "/planner", "/arm", *JOINT_NAMES[:2])
CLASSES: dict[str, type[Node]] = {
    "arm": ArmNode,
    "policy": PolicyNode,
    "planner": PlannerNode,
    "supervisor": SupervisorNode,
    "collector": CollectorNode,
    "trainer": TrainerNode,
    "console": ConsoleNode,
    "scene": SceneNode,
}
THOROUGH = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Clock:
    """Stands in for the module `time` of the arm's node: a cycle passes at each tick, none while nothing is done."""

    time = time.time

    def __init__(self) -> None:
        self.now_s = time.monotonic()

    def monotonic(self) -> float:
        return self.now_s


CLOCK = Clock()


class Stage:
    """A node and good messages for each of its topics."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.cycle = 1
        self.clock = CLOCK

    @property
    def stamp(self) -> Any:
        return self.node.get_clock().now().to_msg()

    @property
    def episode(self) -> int:
        """A new one every 50 cycles."""
        return 1 + self.cycle // 50

    def good(self, topic: str) -> Any:
        self.cycle += "arm_state" in topic or self.node.get_name() == "trainer"
        message = GOOD[topic](self)
        if hasattr(message, "header"):
            message.header.stamp = self.stamp
        return message

    def command(self) -> Command:
        names, run = list(JOINT_NAMES), getattr(self.node, "_run", "test")
        cycle = self.node._control.cycle if hasattr(self.node, "_control") else self.cycle
        announced = self.node._control.timeline.newest.episode if hasattr(self.node, "_control") else 1
        return Command(run=run, cycle=cycle, episode=announced, joint_names=names, values=doubles([0.1] * 7), source=1)

    def announcement(self) -> Episode:
        start, goal = self.cycle - self.cycle % 50, np.full(3, 0.4, np.float32)
        announced = Announcement(State.RUNNING, Mode.TRAIN, self.episode, start, 50, goal, 0.2, 0.1)
        return to_episode(announced, TASK, self.stamp)

    def afterwards(self) -> None:
        """What the node does besides its callbacks."""
        node = self.node
        node._diagnostics.publish()
        if isinstance(node, ArmNode):
            self.clock.now_s += 0.05
            node._tick(self.clock.now_s)
            q_rad = node._control.reading().q_rad
            assert np.isfinite(q_rad).all() and ((q_rad > Q_LOWER_RAD) & (q_rad < Q_UPPER_RAD)).all()
        elif isinstance(node, PlannerNode):
            node.plan()
        elif isinstance(node, TrainerNode):
            node._draw()
            node._live.learn(1e-4)
            agent = node._live.learner.agent
            assert agent is None or all(
                np.isfinite(a).all() for a in agent.actor_tensors().values() if a.dtype.kind == "f"
            )
        elif isinstance(node, SupervisorNode):
            node._heartbeat()
            node._record.line(time.monotonic())
        elif isinstance(node, ConsoleNode):
            node._look()
        elif isinstance(node, SceneNode):
            node._draw()


VALUES = [KeyValue(key="updates", value="7"), KeyValue(key="ready", value="True")]
HEALTH = [DiagnosticStatus(name=f"/{name}", values=VALUES) for name in ("trainer", "arm", "planner")]
BOX = np.ones((1, 2, 3)) * [[[0], [1]]]
SUBGOAL = {"status": 1, "last": True, "start_cycle": 1, "steps_left": 9, "task": TASK.fingerprint}
GOOD: dict[str, Callable[[Stage], Any]] = {
    "arm_state": lambda stage: resting_state(cycle=stage.cycle, episode=stage.episode, source=1),
    "command": Stage.command,
    "deadman": lambda stage: Bool(data=True),
    "diagnostics": lambda stage: DiagnosticArray(status=HEALTH),
    "episode": Stage.announcement,
    "goal": lambda stage: PoseStamped(pose=Pose(position=Point(x=0.5, y=0.0, z=0.3))),
    "goal_marker/feedback": lambda stage: InteractiveMarkerFeedback(marker_name="goal", event_type=stage.cycle % 7),
    "keep_out": lambda stage: KeepOut(low=[Point(x=0.5, y=0.5, z=0.5)], high=[Point(x=0.6, y=0.6, z=0.6)]),
    "plan_markers": lambda stage: markers(np.zeros(3), [[0.4, 0, 0.3]], [0.1], 0.1, BOX, stage.stamp),
    "policy_weights": lambda stage: PolicyWeights(version=stage.cycle, task=TASK.fingerprint, data=WEIGHTS),
    "subgoal": lambda stage: Subgoal(episode=stage.episode, goal=floats([0.4] * 3), **SUBGOAL),
    "teleop/engaged": lambda stage: Bool(data=True),
    "teleop/event": lambda stage: String(data="pause"),
    "teleop/twist": lambda stage: TwistStamped(twist=Twist(linear=Vector3(x=0.05))),
    "transition": lambda stage: to_transition(replace(transition(stage.cycle), episode=stage.episode), TASK),
}
"""The next message of each topic that fits."""


@pytest.fixture(params=CLASSES, scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One node, in this process; nobody spins it."""
    folder = tmp_path_factory.mktemp(request.param)
    chosen = {"run_dir": folder, "port": 0, "planner": "graph", "compiled": "false", "learn_every_s": 0.5}
    given = {name: value for name, value in chosen.items() if hasattr(NODES[request.param](), name)}
    arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
    rclpy.init(args=["--ros-args", *arguments, "--log-level", "fatal"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tdm_ros.nodes.arm.time", CLOCK)
        yield from running(CLASSES[request.param])


def running(kind: Callable[[], Any]) -> Iterator[Stage]:
    node = kind()
    node.bring_up()
    collector = rclpy.create_node("collector") if kind in (TrainerNode, PlannerNode) else None
    if collector is not None:  # they take transitions of this node alone
        collector.create_publisher(Transition, "transition", qos.TRANSITION)
    try:
        yield Stage(node)
    finally:
        if hasattr(node, "close"):
            node.close()
        node.destroy_node()
        if collector is not None:
            collector.destroy_node()
        rclpy.try_shutdown()


Heard = Callable[[bytes, dict[str, int]], object]


def callbacks_of(node: Node) -> dict[str, Heard]:
    """Those of the node's subscriptions by topic, without those of rclpy."""
    found = {one.topic_name.lstrip("/"): one.callback for one in node.subscriptions}
    return {topic: callback for topic, callback in found.items() if topic not in ("parameter_events", "clock")}


NUMBERS = itertools.count(1)


def feed(stage: Stage, callback: Heard, message: Any) -> None:
    """Hand a message over as it comes, with warnings about numbers let pass: they are what is tried."""
    data = message if isinstance(message, bytes) else serialize_message(message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        callback(data, {"publication_sequence_number": next(NUMBERS)})
        stage.afterwards()


def test_no_message_makes_a_callback_fail(stage: Stage) -> None:
    callbacks = callbacks_of(stage.node)
    assert len(callbacks) > 1
    for topic in callbacks:
        hostile(stage, topic, callbacks)()


def hostile(stage: Stage, topic: str, callbacks: dict[str, Heard]) -> Callable[[], None]:
    """A search for a message that makes a callback fail, among good ones."""

    @THOROUGH
    @given(data=st.data())
    def one(data: st.DataObject) -> None:
        for other, call in callbacks.items():
            feed(stage, call, stage.good(other))
        good = stage.good(topic)
        kind = data.draw(st.sampled_from(["a part", "a part", "all of it", "bytes"]), label="what is not good")
        if kind == "bytes":
            message = data.draw(spoilt_bytes(serialize_message(good)), label=topic)
        else:
            message = data.draw(changed(good, TEXTS) if kind == "a part" else anything(type(good), TEXTS), label=topic)
        feed(stage, callbacks[topic], message)
        for _ in range(2):
            for other in (topic, "arm_state"):
                if other in callbacks:
                    feed(stage, callbacks[other], stage.good(other))

    return one


@st.composite
def spoilt_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes of a message that were cut, lengthened or overwritten; or any bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(good[:5000][: draw(st.integers(0, min(len(good), 5000)))] if draw(st.booleans()) else good)
    for at, new in draw(st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=8)), max_size=3)):
        data[at : at + len(new)] = new
    return bytes(data)


def test_no_message_that_the_fuzzer_found_makes_a_callback_fail(stage: Stage) -> None:
    for path in sorted((CORPUS / f"node_{stage.node.get_name()}").glob("*")):
        feed_stage(stage, path.read_bytes())


def test_message_that_is_too_large_is_not_read(stage: Stage) -> None:
    for topic, callback in callbacks_of(stage.node).items():
        rejected = stage.node.rejections.total
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on: see proc(5)
        before = memory_bytes("VmRSS")
        feed(stage, callback, LARGE)
        assert stage.node.rejections.total > rejected and memory_bytes("VmHWM") - before < 20_000_000, topic


def memory_bytes(name: str) -> int:
    """Memory of this process; not from tracemalloc, whose end can crash threads that allocate (CPython 128679)."""
    return 1024 * int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])


EXERCISED: dict[str, Callable[[Any], object]] = {
    "arm": lambda node: node.statistics.as_dict(0.0)["answered"],
    "policy": lambda node: node._answers,
    "planner": lambda node: node._live.planner is not None and node._experience.version,
    "supervisor": lambda node: node._record.summary()["transitions"]["published"],
    "collector": lambda node: node._published,
    "trainer": lambda node: node._live.learner.updates,
    "console": lambda node: node.console.snapshot.knots_m,
    "scene": lambda node: node._goal_m is not None,
}
"""What shows that good messages were followed all the while."""


def test_good_messages_are_followed_among_hostile_ones(stage: Stage) -> None:
    callbacks = callbacks_of(stage.node)
    for _ in range(400):
        for topic, callback in callbacks.items():
            feed(stage, callback, stage.good(topic))
        if EXERCISED[stage.node.get_name()](stage.node):
            break
    assert EXERCISED[stage.node.get_name()](stage.node)


TENSORS = load(WEIGHTS)
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL")


def stored(tensors: dict[str, np.ndarray], dtypes: dict[str, str]) -> bytes:
    """A safetensors blob, with tensors declared to be of other types: NumPy knows no BF16."""
    sizes = {"F64": 8, "I64": 8, "F32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1, "BOOL": 1}
    own = {"f4": "F32", "u1": "U8", "b1": "BOOL", "i8": "I64", "f8": "F64", "f2": "F16"}
    head, body = {}, b""
    for name, tensor in tensors.items():
        dtype = dtypes.get(name, own[tensor.dtype.str[1:]])
        data = tensor.tobytes()[: tensor.size * sizes[dtype]].ljust(tensor.size * sizes[dtype], b"\1")
        head[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


@st.composite
def spoilt_weights(draw: st.DrawFn) -> bytes:
    """Weights of which a tensor or two have another type, shape or content, or are missing; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    tensors, dtypes = dict(TENSORS), {}
    for name in draw(st.lists(st.sampled_from(sorted(tensors)), max_size=2, unique=True)):
        tensor = tensors[name]
        change = draw(st.sampled_from(["dtype", "empty", "missing", "shape", "value", "values", "flat"]))
        if change == "dtype":
            dtypes[name] = draw(st.sampled_from(DTYPES))
        elif change == "missing":
            del tensors[name]
        elif change == "shape":
            shape = draw(st.lists(st.sampled_from([1, 2, 3, 7, 16, 17]), max_size=4))
            tensors[name] = np.ones(shape, tensor.dtype)
        elif change == "empty":
            tensors[name] = tensor.reshape(-1)[:0]
        elif change == "flat":
            tensors[name] = tensor.reshape(-1)
        else:
            value = draw(st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1e38, 255.0]))
            filled = tensor.copy().reshape(-1)
            with np.errstate(all="ignore"):
                fits = value if tensor.dtype.kind == "f" else np.clip(np.nan_to_num(value), 0, 100)
                filled[: None if change == "values" else 1] = fits
            tensors[name] = filled.reshape(tensor.shape)
    return stored(tensors, dtypes)


def test_no_weights_make_a_node_fail_and_no_command_is_not_finite(stage: Stage) -> None:
    callbacks = callbacks_of(stage.node)
    if "policy_weights" not in callbacks:
        return
    commands: list[Command] = []
    if isinstance(stage.node, PolicyNode):
        stage.node._commands.publish = commands.append

    @settings(THOROUGH, max_examples=400)
    @given(data=spoilt_weights())
    def hostile_weights(data: bytes) -> None:
        message = stage.good("policy_weights")
        message.data = array("B", data)
        feed(stage, callbacks["policy_weights"], message)
        for topic in ("episode", "subgoal", "arm_state", "arm_state"):
            if topic in callbacks:
                feed(stage, callbacks[topic], stage.good(topic))
        assert all(np.isfinite(command.values).all() for command in commands)

    hostile_weights()
    feed(stage, callbacks["policy_weights"], stage.good("policy_weights"))
    before = len(commands)
    for topic in ("episode", "subgoal", "arm_state"):
        if topic in callbacks:
            feed(stage, callbacks[topic], stage.good(topic))
    assert len(commands) > before or not isinstance(stage.node, PolicyNode), "good weights are used again"


def test_transition_of_a_stranger_beside_the_collector_is_not_learned_from(stage: Stage) -> None:
    if not isinstance(stage.node, TrainerNode | PlannerNode):
        return
    trains = isinstance(stage.node, TrainerNode)

    def known() -> int:
        return int(stage.node._live.learner.transitions if trains else len(stage.node._experience))

    def fed() -> bool:
        """Whether one of five good transitions is learned from."""
        before = known()
        for _ in range(5):
            feed(stage, callbacks_of(stage.node)["transition"], stage.good("transition"))
        return known() > before

    def publishers(count: int) -> None:
        end_s = time.monotonic() + 20.0
        while stage.node.count_publishers("transition") != count:
            assert time.monotonic() < end_s
            time.sleep(0.02)

    assert fed()
    for name in ("stranger", "collector"):  # also under the name of the genuine one
        context = rclpy.Context()
        context.init()
        other = rclpy.create_node(name, context=context)
        other.create_publisher(Transition, "transition", qos.TRANSITION)
        publishers(2)
        before = stage.node.rejections.counts[f"transition: {FOREIGN}"]
        assert not fed()
        assert stage.node.rejections.counts[f"transition: {FOREIGN}"] == before + 5
        other.destroy_node()
        context.shutdown()
        publishers(1)
    assert fed()


def test_no_attribute_hides_one_of_rclpy() -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    plain = {kind: kind("plain", context=context) for kind in (LifecycleNode, Node)}
    for kind in CLASSES.values():
        base = LifecycleNode if issubclass(kind, LifecycleNode) else Node
        tree = ast.parse(inspect.getsource(inspect.getmodule(kind)))
        written = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
        assert not written & (set(vars(plain[base])) | set(dir(base))), f"{kind.__name__} writes what is rclpy's"
    for node in plain.values():
        node.destroy_node()
    context.try_shutdown()


def test_no_request_makes_a_service_fail(stage: Stage) -> None:
    offered = list(stage.node.services)
    assert any("set_parameters" in service.service_name for service in offered)
    names = tuple(field.name for field in fields(NODES[stage.node.get_name()]))

    @settings(THOROUGH, max_examples=50 * len(offered))
    @given(data=st.data())
    def hostile_request(data: st.DataObject) -> None:
        service = data.draw(st.sampled_from(offered), label="service")
        request = data.draw(anything(service.srv_type.Request, (*TEXTS, *names)), label=service.service_name)
        for parameter in getattr(request, "parameters", ()):
            parameter.value.type %= 10  # rclpy itself fails with others: `test_node_guard.py`
        service.callback(request, service.srv_type.Response())
        stage.afterwards()

    hostile_request()


class Handle:
    """Stands in for an accepted goal of an action: those of rclpy need a client and DDS."""

    is_cancel_requested = False

    def __init__(self, request: ReachGoal.Goal) -> None:
        self.request, self.goal_id = request, UUID(uuid=np.zeros(16, np.uint8))
        self.feedback: list[ReachGoal.Feedback] = []
        self.result: ReachGoal.Result | None = None

    def execute(self, settle: Callable[[Any], ReachGoal.Result]) -> None:
        self.result = settle(self)
        serialize_message(self.result)

    def publish_feedback(self, feedback: ReachGoal.Feedback) -> None:
        serialize_message(feedback)
        self.feedback.append(feedback)

    def succeed(self) -> None:
        """A transition of rclpy's."""

    abort = canceled = succeed


def test_no_action_goal_and_no_subgoal_for_it_makes_the_supervisor_fail(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(stage.node, SupervisorNode):
        return
    callbacks = callbacks_of(stage.node)
    monkeypatch.setattr(stage.node._machine, "goal_id", lambda episode: "0" * 32)
    good = ReachGoal.Goal(goal=floats([0.5, 0.1, 0.3]), tolerance=0.01, time_budget_s=1.0, task=TASK.fingerprint)
    handles = []

    @THOROUGH
    @given(
        st.one_of(changed(good, TEXTS), anything(ReachGoal.Goal, TEXTS)),
        st.lists(changed(stage.good("subgoal"), TEXTS), max_size=3),
    )
    def hostile_goal(request: ReachGoal.Goal, subgoals: list[Subgoal]) -> None:
        if stage.node._action._on_goal(request) == GoalResponse.REJECT:
            return
        handles.append(Handle(request))
        stage.node._action._on_accepted(handles[-1])
        for message in (stage.good("subgoal"), *subgoals):
            feed(stage, callbacks["subgoal"], message)
        for topic in ("arm_state", "goal"):
            feed(stage, callbacks[topic], stage.good(topic))

    hostile_goal()
    assert len(handles) > 5 and all(handle.feedback and handle.result is not None for handle in handles)
    asked = [handle.request for handle in handles]
    assert all(np.isfinite(one.goal).all() and one.tolerance >= 0 and one.time_budget_s >= 0 for one in asked)
