"""Targets that are nodes: the bytes of one message go to the callback of a real node, among good messages.

The first byte selects the topic; its two highest bits say whether the stamp is made a present one, and whether run,
cycle and episode are those that the node expects now: a search would not guess them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any

from fuzz.target import Target, empty

NAMES = ("arm", "policy", "planner", "supervisor", "collector", "trainer", "console", "scene")
FRESH, EXPECTED = 0x80, 0x40
IDENTITY = ("run", "cycle", "episode", "start_cycle")
TESTS = Path(__file__).parents[1] / "test"


@cache
def hostile_tests() -> Any:
    """Module of the tests with hostile messages, which has good messages and nodes to hand them to."""
    sys.path.append(str(TESTS))
    os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")  # before the first import of rclpy
    return importlib.import_module("test_hostile_messages")


@cache
def stage_of(name: str) -> Any:
    """Node of that name in this process, with good messages for its topics."""
    import rclpy

    hostile = hostile_tests()

    chosen = {"run_dir": empty(name), "port": 0, "planner": "graph", "compiled": "false", "learn_every_s": 0.5}
    given = {key: value for key, value in chosen.items() if key in {one.name for one in fields(hostile.NODES[name])}}
    arguments = [part for key, value in given.items() for part in ("-p", f"{key}:={value}")]
    rclpy.init(args=["--ros-args", *arguments, "--log-level", "fatal"])
    importlib.import_module("tdm_ros.nodes.arm").time = hostile.CLOCK  # a cycle passes when the stage says so
    node = hostile.CLASSES[name]()
    node.bring_up()
    return hostile.Stage(node)


def handle(name: str, data: bytes) -> None:
    """Hand a message to the node of that name, between good ones."""
    feed_stage(stage_of(name), data)


def feed_stage(stage: Any, data: bytes) -> None:
    """Hand a message to a node, between good ones."""
    hostile = hostile_tests()

    callbacks = hostile.callbacks_of(stage.node)
    topics = sorted(callbacks)
    first = data[0] if data else 0
    topic = topics[(first & 0x3F) % len(topics)]
    _keep_away_from_limits(stage.node)
    for other, call in callbacks.items():
        hostile.feed(stage, call, stage.good(other))
    good = stage.good(topic)
    hostile.feed(stage, callbacks[topic], present(data[1:], type(good), good, first))
    for other in (topic, "arm_state"):
        if other in callbacks:
            hostile.feed(stage, callbacks[other], stage.good(other))


def _keep_away_from_limits(node: Any) -> None:
    """Put a simulated arm home whose joint drifted far into its margin: that takes a thousand inputs, and is known."""
    if hasattr(node, "_control"):
        robot, q_rad = node.robot, node._control.reading().q_rad
        if min((q_rad - robot.lower_rad).min(), (robot.upper_rad - q_rad).min()) < 0.03:
            node._arm.reset(robot.home_rad)


def present(data: bytes, kind: type[Any], good: Any, flags: int) -> bytes:
    """Serialised message with the stamp and the identity of a good one, if the flags say so and it can be read."""
    from rclpy.serialization import deserialize_message, serialize_message

    try:
        message = deserialize_message(data, kind)
    except Exception:  # rclpy has its own kinds of it
        return data
    names = [name for name in IDENTITY if hasattr(message, name)] if flags & EXPECTED else []
    names += ["header"] if flags & FRESH and hasattr(message, "header") else []
    for name in names:
        setattr(message, name, getattr(good, name))
    return serialize_message(message)


def seeds(name: str) -> list[bytes]:
    """A good message of each topic of the node."""
    hostile = hostile_tests()
    from rclpy.serialization import serialize_message

    stage = stage_of(name)
    return [
        bytes([FRESH | EXPECTED | number]) + serialize_message(stage.good(topic))
        for number, topic in enumerate(sorted(hostile.callbacks_of(stage.node)))
        if topic != "policy_weights"  # of a megabyte: the target `weights` has small ones
    ]


def _target(name: str) -> Target:
    handler: Callable[[bytes], None] = partial(handle, name)
    return Target(f"node_{name}", handler, seeds=partial(seeds, name), max_len=2048)


TARGETS = list(map(_target, NAMES))
