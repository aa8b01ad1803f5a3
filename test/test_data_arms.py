"""Several arms, or several versions, in one recording: each trajectory has the steps of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_for_tests import PARTS, STEPS, messages, older_recording, recording

from tdm_ros.data.bag import write_bag
from tdm_ros.data.edit import merge
from tdm_ros.data.export import export
from tdm_ros.data.pairing import chains
from tdm_ros.data.recording import Recording
from tdm_ros.data.sources import read
from tdm_ros.data.summary import check, summarise
from tdm_ros.data.table import commanded_pieces, episodes, to_table
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.training.experience import read_experience

TASK = SAWYER_REACH["velocity"]
PIECES = 5
COMMANDED = 4 * STEPS - 2


def arm(number: int, older: bool = False) -> Recording:
    """What one arm recorded; the cycles, episodes and times of all are the same."""
    content = messages(PARTS, seed=number)
    named = [
        (topic, one | {"run": f"run {number}", "arm": f"arm{number}"} if "action" in one else one)
        for topic, one in content
    ]
    return older_recording(named) if older else recording(named)


def in_turns(one: Recording, other: Recording) -> Recording:
    """One message of each in turn, in one recording with the same topics."""
    return merge([one, other], "both")[0]


def on_topics(one: Recording, other: Recording) -> Recording:
    """As `ros2 bag record` has two arms: each under its namespace."""
    channels = tuple(
        replace(c, topic=f"/arm{number}{c.topic}") for number, made in enumerate((one, other)) for c in made.channels
    )
    moved = [m._replace(channel=m.channel + len(one.channels)) for m in other.messages]
    pairs = zip_longest(one.messages, moved)
    return Recording("both", channels, [m for pair in pairs for m in pair if m is not None])


def jumps(states: Sequence[Any], following: Sequence[Any]) -> int:
    return sum((a != b).any() for a, b in zip(states, following, strict=True))


JOINED = {"merged": in_turns, "two topics": on_topics}


@pytest.mark.parametrize("older", [False, True], ids=["with runs", "without runs"])
@pytest.mark.parametrize("joined", JOINED.values(), ids=JOINED.keys())
def test_two_arms_are_learned_from_as_each_alone(tmp_path: Path, joined: Any, older: bool) -> None:
    alone = [arm(number, older) for number in (1, 2)]
    write_bag(tmp_path / "both", joined(*alone))
    found = read_experience([tmp_path / "both"], TASK)
    assert len(found.steps) == 2 * COMMANDED and found.repeated == 0 and found.problems == []
    inside = [i for i, (_, last, _) in enumerate(found.steps) if not last]
    after = [found.steps[i + 1][0].observation for i in inside]
    assert jumps([found.steps[i][0].next_observation for i in inside], after) == 0
    assert sum(last for _, last, _ in found.steps) == 2 * PIECES
    expected = set()
    for number, made in enumerate(alone):
        write_bag(tmp_path / str(number), made)
        expected |= {s.observation.tobytes() for s, _, _ in read_experience([tmp_path / str(number)], TASK).steps}
    assert {s.observation.tobytes() for s, _, _ in found.steps} == expected


@pytest.mark.parametrize("older", [False, True], ids=["with runs", "without runs"])
@pytest.mark.parametrize("joined", JOINED.values(), ids=JOINED.keys())
def test_two_arms_are_exported_and_counted_as_each_alone(tmp_path: Path, joined: Any, older: bool) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    both = joined(arm(1, older), arm(2, older))
    write_bag(tmp_path / "both", both)
    back = read(tmp_path / "both")
    table = to_table(back)
    assert len(commanded_pieces(table)) == 2 * PIECES and len(episodes(table)) == 2 * 4
    assert check(back, table) == []
    found = summarise(back, table)
    assert (found.pieces, found.episodes["count"], found.gaps) == (2 * PIECES, 2 * 4, 0)
    assert export(back, "lerobot", tmp_path / "lerobot").transitions == 2 * COMMANDED
    rows = parquet.read_table(tmp_path / "lerobot/data/chunk-000/file-000.parquet").to_pydict()
    episode, state, after = (np.array(rows[name]) for name in ("episode_index", "observation.state", "next.state"))
    assert episode.tolist() == sorted(episode) and episode[-1] == 2 * PIECES - 1
    same = np.flatnonzero(np.diff(episode) == 0)
    assert jumps(after[same], state[same + 1]) == 0


def test_recording_of_two_versions_is_counted_whole(tmp_path: Path) -> None:
    both = in_turns(arm(1, older=True), arm(2))
    write_bag(tmp_path / "both", both)
    back = read(tmp_path / "both")
    found = summarise(back, to_table(back))
    assert (found.damaged, found.pieces) == (0, 2 * PIECES)


def test_chains_follow_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    items = [(arm, cycle) for arm in "abc" for cycle in (1, 2, 3, 4, 6, 7)]
    order = rng.permutation(len(items))
    mixed = [items[i] for i in order]
    found = chains(mixed, [(arm, cycle + 1) for arm, cycle in mixed])
    assert sorted([mixed[i] for i in chain] for chain in found) == sorted(
        [[(arm, c) for c in part] for arm in "abc" for part in ((1, 2, 3, 4), (6, 7))]
    )
    assert chains([], []) == [] and chains([1, 1], [2, 2]) == [[0], [1]]
