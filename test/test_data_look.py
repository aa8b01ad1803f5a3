"""Summary, plot, validation and list of a recording."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from recording_for_tests import PARTS, START_NS, STEPS, Part, changed, messages, recording, truncate, write_log

from tdm_ros.control.timeline import Source
from tdm_ros.data.bag import METADATA, remove_metadata, write_bag, write_log_metadata
from tdm_ros.data.counting import as_table, overview
from tdm_ros.data.edit import Selection, merge, numbers, sources, trim
from tdm_ros.data.picture import draw
from tdm_ros.data.recording import TRANSITION_TYPE, DataError, Recording
from tdm_ros.data.sources import read
from tdm_ros.data.summary import as_text, check, summarise
from tdm_ros.data.table import commanded_pieces, to_table
from tdm_ros.tasks import SAWYER_REACH

RECORDING = recording()
TASK = SAWYER_REACH["velocity"]


def summary_of(made: Recording):
    return summarise(made, to_table(made))


def test_summary_counts_everything() -> None:
    found = summary_of(RECORDING)
    assert found.sources == {"policy": 7 + 10, "human": 5 + STEPS, "random": STEPS, "reset": 3, "safety": 2}
    assert found.transitions == 4 * STEPS + 3 == sum(found.sources.values())
    assert found.topics == {"/transition": found.transitions, "/episode": 4}
    assert found.tasks == [TASK.fingerprint] and found.unit == "m" and found.damaged == 0
    assert found.pieces == 5 and found.takeovers == 2
    assert found.limited == STEPS and found.limited_share == pytest.approx(STEPS / found.transitions)
    assert (found.gaps, found.lost_cycles) == (0, 0)
    assert found.episodes["count"] == 4
    assert {mode: ends["count"] for mode, ends in found.episodes["modes"].items()} == {"train": 3, "evaluate": 1}
    assert found.robot_s == pytest.approx(found.transitions / 20)
    assert json.loads(json.dumps(asdict(found)))["pieces"] == 5


def test_summary_final_distances_are_those_of_the_last_steps() -> None:
    content = messages()
    goal = next(m for t, m in content if t == "/transition" and m["episode"] == 1)["desired_goal"]
    near = [goal[0] + 0.015, *goal[1:]]
    content = changed(content, STEPS - 1, next_achieved_goal=near)
    last = [m for t, m in content if t == "/transition" and m["step"] == STEPS - 1]
    wanted = [float(TASK.distance(m["next_achieved_goal"], m["desired_goal"])) for m in last if m["episode"] < 4]
    train = summary_of(recording(content)).episodes["modes"]["train"]
    assert train["final_distance"]["median"] == pytest.approx(np.median(wanted))
    assert train["reached"]["0.02"] == sum(d <= 0.02 for d in wanted) >= 1
    assert train["reached"]["0.01"] < train["reached"]["0.02"]


def test_summary_lost_cycles_are_those_inside_episodes() -> None:
    content = [one for one in messages() if one[1].get("cycle") not in (108, 109, 112)]
    found = summary_of(recording(content))
    assert (found.gaps, found.lost_cycles) == (2, 3)
    assert len(commanded_pieces(to_table(recording(content)))) == 5 + 2


def test_summary_counts_foreign_and_damaged_messages() -> None:
    data = [m._replace(data=m.data[:40]) if i == 5 else m for i, m in enumerate(RECORDING.messages)]
    found = summary_of(RECORDING.with_messages(data))
    assert found.damaged == 1 and "cannot be decoded" in as_text(found)
    assert "no transition of tdm_ros" in as_text(summary_of(Recording("empty")))


def test_summary_text_names_sources_goals_and_gaps() -> None:
    text = as_text(summary_of(RECORDING))
    for words in ("human 17", "safety 2", "in 5 unbroken pieces", "within 0.02", "2 times", "0 cycles lost"):
        assert words in text, text


def test_picture_shows_something(tmp_path: Path) -> None:
    table = to_table(RECORDING)
    path = draw(tmp_path / "it.png", RECORDING, table, summarise(RECORDING, table))
    with Image.open(path) as image:
        assert image.size == (1320, 1045)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)} <= colours  # policy, human, random, safety
    with pytest.raises(DataError, match=r"that ends in \.png"):
        draw(tmp_path / "it.nonsense", RECORDING, table, summarise(RECORDING, table))
    with pytest.raises(DataError, match="nothing to draw"):
        draw(path, Recording("empty"), to_table(Recording("empty")), summary_of(Recording("empty")))


def test_valid_recording_passes_every_check() -> None:
    assert check(RECORDING, to_table(RECORDING)) == []


NAN = float("nan")


@pytest.mark.parametrize(
    ("where", "values", "sentence"),
    [
        (3, {"action": [2.0, *[0.0] * 6]}, r"1 commanded actions are outside \[-1, 1\], the largest is 2"),
        (
            3,
            {"observation": [NAN] + [0.0] * 16},
            "1 commanded transitions lack a finite observation, the first in cycle 108",
        ),
        (3, {"desired_goal": []}, "lack a finite desired_goal"),
        (3, {"source": 99}, "1 transitions have an unknown source"),
        (3, {"task": "another:1"}, "1 transitions cannot be decoded, or have another shape or task"),
        (3, {"observation": [0.0] * 17}, "1 transitions do not begin where the one before them ended"),
        (3, {"header": {"stamp": {"sec": 5, "nanosec": 0}, "frame_id": "base"}}, "1 stamps do not come after"),
        (3, {"action": [0.0] * 9}, "have another shape"),
    ],
)
def test_check_reports_deviation(where: int, values: dict, sentence: str) -> None:
    made = recording(changed(messages(), where, **values))
    found = "\n".join(check(made, to_table(made)))
    assert re.search(sentence, found), found


def test_check_finds_transitions_of_two_tasks() -> None:
    made = recording(changed(changed(messages(), 3, task="another:1"), 4, task="another:1"))
    assert any("transitions of 2 tasks" in sentence for sentence in check(made, to_table(made)))


def test_check_finds_missing_cycles_and_other_sizes() -> None:
    made = recording([one for one in messages() if one[1].get("cycle") != 110])
    assert "1 cycles are missing in 1 gaps inside episodes" in check(made, to_table(made))
    wide = messages(PARTS[:1])
    for where in range(STEPS):
        wide = changed(wide, where, action=[0.0] * 9)
    made = recording(wide)
    assert f"action has 9 numbers, task {TASK.name} has 7" in check(made, to_table(made))
    for where in range(STEPS):
        wide = changed(wide, where, task="another:1")
    made = recording(wide)
    assert any("not in this package" in one for one in check(made, to_table(made)))


def test_list_has_a_line_for_each_recording(tmp_path: Path) -> None:
    write_log(tmp_path / "good" / "log_mcap", RECORDING)
    write_log(tmp_path / "open" / "log_mcap", recording(messages((Part(1, (Source.HUMAN,) * 3),))), close=False)
    path = write_log(tmp_path / "torn" / "log_mcap", RECORDING)
    truncate(path, RECORDING, 20)
    (tmp_path / "foreign.mcap").write_bytes(b"something else entirely")
    rows = [overview(tmp_path / name) for name in ("good", "open", "torn", "foreign.mcap")]
    assert [row["transitions"] for row in rows[:2]] == [4 * STEPS + 3, 3] and 0 < rows[2]["transitions"] < 4 * STEPS
    assert [row["human"] for row in rows[:2]] == [17, 3] and rows[0]["episodes"] == 4
    lines = as_table(rows).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["whole", "unfinished", "damaged", "damaged"]
    assert as_table([]) == "no recording"


# Merging, trimming and bags


def transitions(made: Recording) -> list:
    return [message for _, message in made.of_type(TRANSITION_TYPE)]


def later(days: int, seed: int = 1) -> Recording:
    return recording(messages(PARTS[:2], seed=seed, start_ns=START_NS + days * 86_400 * 10**9), seed)


def test_merge_puts_recordings_in_the_order_of_time() -> None:
    first, second = later(1), later(2)
    whole, repeated = merge([second, first], "both")
    assert repeated == 0
    assert [m.data for m in whole.messages] == [m.data for m in (*first.messages, *second.messages)]
    assert len(whole.channels) == 2


def test_merge_interleaves_recordings_of_the_same_time_and_keeps_the_order_of_each() -> None:
    halves = [RECORDING.with_messages(RECORDING.messages[offset::2]) for offset in (0, 1)]
    whole, repeated = merge(halves[::-1], "both")
    assert whole.messages == RECORDING.messages and repeated == 0


def test_merge_keeps_duplicates_once() -> None:
    part = trim(RECORDING, Selection(episodes=numbers("2-3")))
    whole, repeated = merge([RECORDING, part, RECORDING], "all")
    assert whole.messages == RECORDING.messages
    assert repeated == len(part.messages) + len(RECORDING.messages)


def test_merge_of_two_tasks_is_rejected() -> None:
    content = messages(PARTS[:1])
    for where in (0, 1):
        content = changed(content, where, task="another:123")
    with pytest.raises(DataError, match=r"another:123.*merge those of each task alone"):
        merge([RECORDING, recording(content)], "both")


def test_trim_by_episodes_keeps_them_and_their_announcements() -> None:
    kept = trim(RECORDING, Selection(episodes=numbers("2,3-3")))
    assert {m.episode for m in transitions(kept)} == {2, 3}
    assert len(kept.messages) == 2 * STEPS + 2
    assert all(message in RECORDING.messages for message in kept.messages)


def test_trim_by_source_and_time_and_of_motions_home() -> None:
    operator = transitions(trim(RECORDING, Selection(sources=sources(["human"]))))
    assert {m.source for m in operator} == {Source.HUMAN} and len(operator) == 5 + STEPS
    early = transitions(trim(RECORDING, Selection(start_s=0.1, end_s=0.5)))
    assert [m.cycle for m in early] == list(range(107, 116)), "counted from the first transition"
    assert {m.source for m in transitions(trim(RECORDING, Selection(episodes=numbers("0"))))} == {Source.RESET}


def test_trim_by_a_range_without_an_end_in_sight_keeps_what_is_there() -> None:
    kept = trim(RECORDING, Selection(episodes=numbers("3-999999999999")))
    assert {m.episode for m in transitions(kept)} == {3, 4}


def test_trim_that_leaves_nothing_names_the_present_episodes() -> None:
    with pytest.raises(DataError, match="episodes 0 to 4"):
        trim(RECORDING, Selection(episodes=numbers("17")))


@pytest.mark.parametrize("text", ["", "a", "1,,2", "3-", "-3", "1-2-3", "1-" + 5000 * "9"])
def test_episodes_that_are_no_list_are_rejected(text: str) -> None:
    with pytest.raises(DataError, match="3,5-8"):
        numbers(text)


def test_unknown_source_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"policy, human.*got cat"):
        sources(["human", "cat"])


def test_bag_is_never_overwritten_and_appears_whole(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", RECORDING)
    with pytest.raises(FileExistsError, match="give another --out"):
        write_bag(tmp_path / "bag", RECORDING)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    assert read(tmp_path / "bag").messages == RECORDING.messages


def metadata_of(folder: Path) -> dict:
    return yaml.safe_load((folder / METADATA).read_text())["rosbag2_bagfile_information"]


def test_metadata_describes_the_files(tmp_path: Path) -> None:
    for number, part in enumerate((later(1), later(2))):
        write_log(tmp_path / "x", part, close=number == 0).rename(tmp_path / f"000{number}.mcap")
    write_log_metadata(tmp_path)
    found = metadata_of(tmp_path)
    assert found["version"] == 9 and found["storage_identifier"] == "mcap"
    assert found["relative_file_paths"] == ["0000.mcap", "0001.mcap"]
    assert found["message_count"] == sum(file["message_count"] for file in found["files"]) == 2 * (2 * STEPS + 2)
    counts = {one["topic_metadata"]["name"]: one["message_count"] for one in found["topics_with_message_count"]}
    assert counts == {"/transition": 4 * STEPS, "/episode": 4}
    assert 86_400 * 10**9 < found["duration"]["nanoseconds"] < 86_402 * 10**9
    for one in found["topics_with_message_count"]:
        assert one["topic_metadata"]["offered_qos_profiles"][0]["deadline"] == {"sec": 9223372036, "nsec": 854775807}
    remove_metadata(tmp_path)
    remove_metadata(tmp_path)
    assert not (tmp_path / METADATA).exists()


def test_bags_are_read_by_another_implementation_of_rosbag2(tmp_path: Path) -> None:
    """rosbags, which knows nothing of us, opens the collector's log and what is written here by their metadata.yaml."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    typesys = pytest.importorskip("rosbags.typesys")
    write_log(tmp_path / "log", recording([*messages(PARTS[:1]), *messages((Part(7),), start_ns=START_NS + 10**12)]))
    write_log_metadata(tmp_path / "log")
    write_bag(tmp_path / "bag", RECORDING)
    for folder, count in ((tmp_path / "log", 2 * STEPS + 2), (tmp_path / "bag", len(RECORDING.messages))):
        store = typesys.get_typestore(typesys.Stores.EMPTY)
        with rosbag2.Reader(folder) as reader:
            assert reader.message_count == count
            for connection in reader.connections:
                store.register(typesys.get_types_from_msg(connection.msgdef.data, connection.msgtype))
                assert connection.ext.offered_qos_profiles[0].depth == 1000
            times = []
            for connection, time_ns, raw in reader.messages():
                times.append(time_ns)
                message = store.deserialize_cdr(raw, connection.msgtype)
                assert message.task.startswith("sawyer_reach_velocity:")
        assert len(times) == count and times == sorted(times)
