"""The protocol between the arm process and the ROS 1 worker, and what the worker's files may import."""

from __future__ import annotations

import ast
import json
import math
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intera_fake_worker import state

from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.worker import HAND_SPEED_M_S, VELOCITY_RAD_S, VELOCITY_SCALE
from tdm_ros.robots.limits import REAL_LIMITS
from tdm_ros.robots.sawyer import QD_MAX_RAD_S

FOLDER = Path(wire.__file__).parent
WORKER_FILES = ("authentication", "wire", "command_watchdog", "sdk", "devices", "output", "listener", "worker")
COMMAND = wire.Command(1, 2, "velocity", (0.1,) * 7)
MESSAGES = [
    wire.Hello(1, "genuine", "5.3.0", "5.5.2", ("cuff: no config",)),
    wire.Failure("no ROS master"),
    replace(state(7), buttons={"right_button_ok": 2}),
    COMMAND,
    wire.Request(3, "step", 0.02),
    wire.Answer(3, "a reason"),
    wire.Alive(),
    wire.Challenge("a" * 64),
    wire.Proof("b" * 64, "c" * 64),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_comes_out_as_it_went_in(message):
    assert list(wire.Frames().feed(wire.encode(message))) == [message]


@given(st.lists(st.integers(1, 200), max_size=30))
@settings(max_examples=50, deadline=None)
def test_messages_cut_anywhere_come_out_whole(cuts):
    stream = b"".join(map(wire.encode, MESSAGES))
    frames, seen = wire.Frames(), []
    for size in cuts:
        seen += frames.feed(stream[:size])
        stream = stream[size:]
    seen += frames.feed(stream)
    frames.end()
    assert seen == MESSAGES


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_messages_or_a_wire_error(data):
    frames = wire.Frames()
    try:
        list(frames.feed(data))
        frames.end()
    except wire.WireError as error:
        assert str(error)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300])
def test_a_number_that_is_not_finite_is_not_sent(number):
    with pytest.raises(wire.WireError, match=r"values must be 7 finite numbers"):
        wire.encode(replace(COMMAND, values=(number,) * 7))
    with pytest.raises(wire.WireError, match=r"joints_age_s must be a finite number"):
        wire.encode(replace(state(1), joints_age_s=number))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_not_taken(text):
    body = json.dumps({"type": "command", **vars(COMMAND)}).replace("0.15", text)
    with pytest.raises(wire.WireError, match=r"Command.hold_s must be a finite number"):
        wire.decode(body.encode())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": [0.1] * 6}, "Command.values must be 7 finite numbers"),
        ({"values": "0.1"}, "Command.values must be 7 finite numbers"),
        ({"values": [True] * 7}, "Command.values must be 7 finite numbers"),
        ({"seq": 1.5}, "Command.seq must be a whole number"),
        ({"seq": None}, "Command.seq must be a whole number"),
        ({"mode": 3}, "Command.mode must be str"),
        ({"extra": 1}, "Command: .* unexpected keyword argument 'extra'"),
        ({"type": "order"}, "a message's type must be one of hello, failure, state"),
        ({"type": ["command"]}, "a message's type must be one of"),
    ],
)
def test_a_message_of_another_shape_is_rejected(change, says):
    with pytest.raises(wire.WireError, match=says):
        wire.decode(json.dumps({"type": "command", **vars(COMMAND), **change}).encode())


def test_a_missing_field_is_named():
    with pytest.raises(wire.WireError, match=r"Answer: .* missing .* 'number'"):
        wire.decode(b'{"type": "answer"}')


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"null", b"{", b"\xff", b"[" * 10000])
def test_a_frame_without_an_object_is_rejected(body):
    with pytest.raises(wire.WireError):
        wire.decode(body)


def test_a_frame_that_is_too_long_is_rejected_before_it_has_come():
    with pytest.raises(wire.WireError, match="a frame may have 16384 bytes, got 1195725856"):
        list(wire.Frames().feed(b"GET / HTTP/1.1"))
    with pytest.raises(wire.WireError, match="shorten its texts"):
        wire.encode(wire.Failure("x" * 20000))


def test_an_end_within_a_frame_is_told():
    frames = wire.Frames()
    assert not list(frames.feed(wire.encode(COMMAND)[:-1]))
    with pytest.raises(wire.WireError, match="ended within a frame"):
        frames.end()


def test_sender_never_waits_for_one_who_does_not_read_and_loses_no_frame():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = wire.Sender(ours)
        sent = [n for n in range(20000) if sender.send(wire.Answer(n))]
        assert 100 < len(sent) < 20000
        assert not sender.send(wire.Answer(-1), droppable=True)
        theirs.settimeout(0.2)
        frames, seen = wire.Frames(), []
        while len(seen) < len(sent):
            seen += [message.number for message in frames.feed(theirs.recv(1 << 20))]
            sender.send(wire.Answer(-1), droppable=True)
        assert [number for number in seen if number >= 0] == sent


def test_limits_of_the_worker_are_those_of_the_robot():
    np.testing.assert_allclose(VELOCITY_RAD_S, QD_MAX_RAD_S)
    assert REAL_LIMITS.velocity_scale == VELOCITY_SCALE
    assert REAL_LIMITS.hand_speed_m_s < HAND_SPEED_M_S <= 1.25 * REAL_LIMITS.hand_speed_m_s


@pytest.mark.parametrize("name", WORKER_FILES)
def test_files_of_the_worker_need_the_standard_library_ros_and_the_sdk_alone(name):
    allowed = {*sys.stdlib_module_names, "rospy", "sensor_msgs", "std_msgs", "intera_core_msgs", "intera_interface"}
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(), feature_version=(3, 8))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for module in names:
            ours = module in WORKER_FILES or module.startswith("tdm_ros.drivers.intera")
            assert ours or module.split(".")[0] in allowed, f"{name}.py imports {module}"
