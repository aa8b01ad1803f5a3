"""The fast decoder of transitions gives what the general one gives, or leaves the bytes to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recording_for_tests import CHANNELS, messages, older_recording, recording, write_log

from tdm_ros.data import log
from tdm_ros.data.log import from_message
from tdm_ros.data.recording import TRANSITION_TYPE, Channel, Recording, decoded, decoder
from tdm_ros.data.transition_cdr import Raw, parser_of, to_transition
from tdm_ros.tasks import SAWYER_REACH

TASK = SAWYER_REACH["velocity"].fingerprint
TRANSITIONS = CHANNELS[0]
MADE = recording()


def parser(channel: Channel) -> Any:
    return parser_of(channel.type_name, channel.schema_encoding, channel.schema)


def flat(transition: Any) -> list[Any]:
    """Every field, arrays as bytes with their type and shape; all NaN, whose bits the decoders may change, are one."""
    values = [*transition.step, *(value for name, value in vars(transition).items() if name != "step")]
    return [_flat_array(value) if isinstance(value, np.ndarray) else value for value in values]


def _flat_array(values: Any) -> tuple[str, tuple[int, ...], bytes]:
    return str(values.dtype), values.shape, np.where(np.isnan(values), np.float32(np.nan), values).tobytes()


def both(channel: Channel, data: bytes) -> tuple[Raw | None, list[Any] | None, list[Any] | None, Any]:
    """What the fast decoder parses, what it makes of it, and what the general decoder makes, with the task."""
    raw, message = parser(channel)(data), decoded(decoder(channel), data)
    fast = None if raw is None else flat(to_transition(data, raw))
    return raw, fast, None if message is None else flat(from_message(message)), getattr(message, "task", None)


@pytest.mark.parametrize("made", [MADE, older_recording()], ids=["now", "older"])
def test_transitions_of_a_log_are_decoded_fast_and_as_before(made: Recording) -> None:
    count = 0
    for message in made.messages:
        channel = made.channels[message.channel]
        if channel.type_name == TRANSITION_TYPE:
            raw, fast, general, task = both(channel, message.data)
            assert raw is not None and raw.task == task and fast == general and fast is not None
            count += 1
    assert count == made.count(TRANSITION_TYPE) > 50


@settings(max_examples=150, deadline=None)
@example(cut=0, changes=[(400, 127)], number=0)  # a NaN with other bits
@given(
    cut=st.integers(0, 600),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4),
    number=st.integers(0, 50),
)
def test_damaged_bytes_are_decoded_as_before_or_left_to_the_general_decoder(
    cut: int, changes: list[tuple[int, int]], number: int
) -> None:
    made = MADE
    data = bytearray([m.data for m in made.messages if made.channels[m.channel] == made.channels[0]][number])
    for at, value in changes:
        data[at % len(data)] = value
    raw, fast, general, task = both(made.channels[0], bytes(data[: cut or None]))
    assert raw is None or (raw.task == task and fast == general)


def test_log_is_read_without_the_general_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recording()
    write_log(tmp_path, made)
    monkeypatch.setattr(log, "_decoder_of", lambda schema: pytest.fail("the general decoder is used"))
    transitions = list(log.TransitionLog(tmp_path, TASK).read_after(lambda one: False))
    assert len(transitions) == made.count(TRANSITION_TYPE)


def test_definitions_of_others_are_left_to_the_general_decoder() -> None:
    (_, content), data = messages()[1], recording().messages[1].data
    assert content["cycle"] and parser(TRANSITIONS)(data) is not None
    for before, after in (
        (b"uint64 cycle", b"uint32 cycle"),
        (b"string run", b"string name"),
        (b"int32 sec", b"uint32 sec"),
        (b"string frame_id", b"uint32 seq\nstring frame_id"),
    ):
        text = TRANSITIONS.schema.replace(before, after)
        assert text != TRANSITIONS.schema
        assert parser(Channel("/transition", TRANSITION_TYPE, text))(data) is None
