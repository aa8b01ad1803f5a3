"""`tdm_ros data list` and `inspect` keep no recording in memory, and give what reading it at once gives."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from recording_for_tests import CHANNELS, RUN, changed, messages, older_recording, recording, write_file, write_log

from tdm_ros.cli import main
from tdm_ros.data import counting, inspection, log_writer, mcap_layout, repeats
from tdm_ros.data.counting import overview
from tdm_ros.data.inspection import inspect
from tdm_ros.data.log import mcap_files
from tdm_ros.data.log_index import INDEX, read_index
from tdm_ros.data.log_writer import LogLimits, LogWriter
from tdm_ros.data.recording import Recording
from tdm_ros.data.sources import read
from tdm_ros.data.summary import summarise
from tdm_ros.data.table import to_table

CONTENT = messages()


def long_log(folder: Path, parts: int = 4) -> LogWriter:
    """Log with finished files and an open one; each part is a run of its own."""
    writer = LogWriter(folder, CHANNELS, LogLimits(segment_bytes=20_000))
    for part in range(parts):
        made = recording(messages(start_ns=1_700_000_000_000_000_007 + part * 10**12, run=f"run {part}"))
        for message in made.messages:
            writer.write(made.channels[message.channel].topic, message.data, message.publish_time)
    return writer


def never(*given: object) -> None:
    pytest.fail("it is read")


def test_list_of_a_finished_log_opens_no_file_of_it_and_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_log(tmp_path / "log_mcap").close()
    files = mcap_files(tmp_path / "log_mcap")
    assert len(files) > 3 and all(one.tally for one in read_index(tmp_path / "log_mcap").values())
    with monkeypatch.context() as patch:
        patch.setattr(counting, "RecordReader", never)
        listed = overview(tmp_path)
    (tmp_path / "log_mcap" / INDEX).unlink()
    counted = overview(tmp_path)
    assert listed.pop("bytes") > counted.pop("bytes") and listed == counted
    assert (listed["transitions"], listed["human"], listed["episodes"]) == (4 * 51, 4 * 17, 4)
    assert listed["problems"] == [] and listed["duration_s"] > 3000


def test_list_reads_the_files_alone_that_the_index_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = long_log(tmp_path / "log_mcap")
    end_s = time.monotonic() + 30
    while len(read_index(tmp_path / "log_mcap")) < len(mcap_files(tmp_path / "log_mcap")) - 1:
        assert time.monotonic() < end_s, "a thread adds finished files to the index"
        time.sleep(0.01)
    names: list[str] = []
    real = counting.RecordReader

    def watched(path: Path, *given: object) -> object:
        names.append(path.name)
        return real(path, *given)

    monkeypatch.setattr(counting, "RecordReader", watched)
    row = overview(tmp_path)
    writer.close()
    assert row["transitions"] == 4 * 51 and names == [writer.path.name]
    with mcap_files(tmp_path / "log_mcap")[1].open("ab") as file:
        file.write(b"\0")
    names.clear()
    assert overview(tmp_path)["transitions"] == 4 * 51 and names == ["0001.mcap"]


def test_index_has_the_numbers_of_a_recovered_file(tmp_path: Path) -> None:
    write_log(tmp_path, recording(), close=False)
    assert log_writer.recover_all(tmp_path)
    (found,) = read_index(tmp_path).values()
    assert found.tally is not None and (found.tally.transitions, found.tally.human) == (51, 17)


RECORDINGS = {
    "a run": recording(),
    "two runs": recording([*CONTENT, *messages(run="another")]),
    "a repetition": recording([*CONTENT, *changed(CONTENT, 4, limited=True)[:8]]),
    "no announcements": recording([one for one in CONTENT if "cycle" in one[1]]),
    "missing cycles": recording([one for one in CONTENT if one[1].get("cycle") not in (110, 111, 130)]),
    "an unknown task": recording([(topic, {**one, "task": "foreign:1"}) for topic, one in CONTENT]),
    "an action without numbers": recording(changed(CONTENT, 5, action=[])),
    "no run": older_recording(),
    "out of order": recording([CONTENT[0], *CONTENT[9:13], *CONTENT[1:9], *CONTENT[13:]]),
    "two tasks": recording(changed(changed(CONTENT, 3, task="another:1"), 4, task="another:1")),
    "another size": recording(changed(CONTENT, 3, action=[0.0] * 9)),
    "no transition": recording([one for one in CONTENT if "cycle" not in one[1]]),
}
IN_MEMORY = ("no run", "out of order", "two tasks", "another size")


@pytest.mark.parametrize("name", RECORDINGS)
def test_inspect_reads_message_by_message_and_gives_what_the_table_gives(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.mcap"
    write_file(path, RECORDINGS[name])
    whole = read(path)
    expected = summarise(whole, to_table(whole))
    if name not in IN_MEMORY:
        monkeypatch.setattr(inspection, "read_nonempty", never)
    assert inspect(path) == expected


def test_inspect_of_a_damaged_file_reports_what_reading_it_does(tmp_path: Path) -> None:
    path = write_log(tmp_path, RECORDINGS["a run"])
    data = bytearray(path.read_bytes())
    data[data.index(RECORDINGS["a run"].messages[20].data) + 50] ^= 1
    path.write_bytes(data)
    whole = read(path)
    found = inspect(path)
    assert found == summarise(whole, to_table(whole)) and "a chunk is damaged" in found.problems[0]
    assert main(["data", "inspect", str(path)]) == 1


def peak(path: Path) -> int:
    tracemalloc.start()
    inspect(path)
    overview(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_number_of_transitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "REMEMBERED", 100)
    monkeypatch.setattr(mcap_layout, "WINDOW", 10_000)
    parts: list[Recording] = [recording(messages(run=f"{RUN}{number}")) for number in range(30)]
    few, many = tmp_path / "few.mcap", tmp_path / "many.mcap"
    for path, some in ((few, parts[:3]), (many, parts)):
        write_file(path, parts[0].with_messages([m for part in some for m in part.messages]), chunk_size=20_000)
    inspect(few)
    more = sum(len(m.data) for part in parts[3:] for m in part.messages)
    assert peak(many) - peak(few) < more / 5
