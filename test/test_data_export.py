"""Export as NumPy arrays, Parquet and LeRobot datasets, and import of the latter two as experience to learn from."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_for_tests import (
    DEFINITIONS,
    STEPS,
    Part,
    changed,
    discarding,
    messages,
    older_recording,
    recording,
)

from tdm_ros.cli import main
from tdm_ros.control.timeline import Source
from tdm_ros.data.bag import write_bag
from tdm_ros.data.export import FORMATS, export
from tdm_ros.data.recording import Channel, DataError, Message, Recording
from tdm_ros.data.sources import read, read_nonempty
from tdm_ros.data.summary import check, summarise
from tdm_ros.data.table import NUMBERS, TEXTS, VECTORS, commanded_pieces, to_table
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.training.experience import read_experience

RECORDING = recording()
TASK = SAWYER_REACH["velocity"]
TRANSITIONS = [m for topic, m in messages() if topic == "/transition"]
DATASETS = ("parquet", "lerobot")


def test_npz_has_an_array_for_each_field(tmp_path: Path) -> None:
    made = export(RECORDING, "npz", tmp_path / "made.npz")
    assert (made.transitions, made.discarded) == (len(TRANSITIONS), 0)
    with np.load(tmp_path / "made.npz") as found:
        assert set(found) == {*VECTORS, *NUMBERS, *TEXTS, "stamp_ns"}
        for name in ("observation", "action", "next_achieved_goal"):
            np.testing.assert_array_equal(found[name], np.float32([m[name] for m in TRANSITIONS]))
        assert found["action"].shape == (len(TRANSITIONS), TASK.action.size) and found["action"].dtype == np.float32
        goals = found["desired_goal"]
        assert np.isnan(goals[found["episode"] == 0]).all() and np.isfinite(goals[found["episode"] > 0]).all()
        for name in ("cycle", "episode", "step", "source", "limited", "terminated", "truncated", "task", "run"):
            assert found[name].tolist() == [m[name] for m in TRANSITIONS]
        assert found["source"].dtype == np.uint8 and found["limited"].dtype == bool
        stamps = [m["header"]["stamp"] for m in TRANSITIONS]
        assert found["stamp_ns"].tolist() == [one["sec"] * 10**9 + one["nanosec"] for one in stamps]


def test_parquet_has_a_column_for_each_field(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(RECORDING, "parquet", tmp_path / "made")
    found = parquet.read_table(tmp_path / "made" / "data" / "train-00000-of-00001.parquet")
    assert set(found.column_names) == {*VECTORS, *NUMBERS, *TEXTS, "stamp_ns"}
    assert found["cycle"].to_pylist() == [m["cycle"] for m in TRANSITIONS]
    actions = np.float32(found["action"].to_pylist())
    np.testing.assert_array_equal(actions, np.float32([m["action"] for m in TRANSITIONS]))
    assert str(found.schema.field("observation").type) == f"fixed_size_list<element: float>[{TASK.observation.size}]"
    assert (tmp_path / "made" / "README.md").read_text().startswith("---\n")


def test_lerobot_layout_is_consistent(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "made"
    export(RECORDING, "lerobot", folder)
    info = json.loads((folder / "meta/info.json").read_text())
    data = parquet.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0))
    episodes = parquet.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    pieces = commanded_pieces(to_table(RECORDING))
    assert info["codebase_version"] == "v3.0" and info["fps"] == 20 and info["splits"] == {"train": f"0:{len(pieces)}"}
    assert info["total_frames"] == data.num_rows == sum(map(len, pieces)) == len(TRANSITIONS) - 3 - 2
    assert set(info["features"]) == set(data.column_names)
    assert info["features"]["observation.state"]["names"] == list(TASK.observation.names)
    assert info["features"]["observation.environment_state"]["shape"] == [TASK.goal.size]
    assert [e["length"] for e in episodes] == [len(piece) for piece in pieces] == [STEPS, STEPS, STEPS, 5, 5]
    assert [e["dataset_from_index"] for e in episodes[1:]] == [e["dataset_to_index"] for e in episodes[:-1]]
    for one in episodes:
        rows = data.slice(one["dataset_from_index"], one["length"]).to_pydict()
        assert set(rows["episode_index"]) == {one["episode_index"]}
        assert rows["frame_index"] == list(range(one["length"]))
        np.testing.assert_allclose(rows["timestamp"], np.arange(one["length"]) / 20, atol=1e-6)
        assert rows["next.done"] == [False] * (one["length"] - 1) + [True]
        np.testing.assert_allclose(one["stats/action/mean"], np.mean(rows["action"], axis=0), atol=1e-6)
    tasks = parquet.read_table(folder / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert episodes[0]["tasks"] == tasks["task"].to_pylist()
    stats = json.loads((folder / "meta/stats.json").read_text())
    assert stats["action"]["count"] == [data.num_rows] and len(stats["action"]["q99"]) == TASK.action.size


DISCARDED = (2, 6)


def discarded_recording() -> Recording:
    """The recording with four transitions of its first piece discarded by the operator."""
    topic, announced = next(one for one in messages() if "state" in one[1])
    cycles = [m["cycle"] for m in TRANSITIONS]
    span = discarding(*(cycles[at] for at in DISCARDED))
    return recording([*messages(), (topic, {**announced, **span})])


CASES = {
    "as recorded": lambda: RECORDING,
    "with discarded transitions": discarded_recording,
    "of an older version without runs": older_recording,
}


@pytest.mark.parametrize("form", DATASETS)
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_dataset_is_the_same_experience_as_the_log_and_each_transition_counts_once(tmp_path: Path, make, form) -> None:
    pytest.importorskip("pyarrow")
    made = make()
    write_bag(tmp_path / "log", made)
    out = export(made, form, tmp_path / "made")
    expected, found = (read_experience([tmp_path / name], TASK) for name in ("log", "made"))
    for (step, *rest), (other, *others) in zip(expected.steps, found.steps, strict=True):
        assert rest == others
        for one, another in zip(step, other, strict=True):
            np.testing.assert_array_equal(one, another)
    assert out.discarded == expected.discarded == (4 if make is discarded_recording else 0)
    assert found.discarded == 0 and found.problems == []
    for paths in (("log", "made"), ("made", "log")):
        both = read_experience([tmp_path / name for name in paths], TASK)
        assert len(both.steps) == len(found.steps)


@pytest.mark.parametrize("form", DATASETS)
def test_dataset_is_listed_inspected_plotted_and_valid(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "made"
    export(RECORDING, form, out)
    found = read_nonempty(out)
    table = to_table(found)
    holds_are_no_frames = ["2 cycles are missing in 1 gaps inside episodes"] if form == "lerobot" else []
    assert check(found, table) == holds_are_no_frames and found.problems == ()
    made, expected = summarise(found, table), summarise(RECORDING, to_table(RECORDING))
    assert (made.pieces, made.tasks, made.takeovers) == (expected.pieces, expected.tasks, expected.takeovers)
    for verb, more in (("list", ()), ("inspect", ()), ("plot", ("--out", tmp_path / "it.png"))):
        assert main(["data", verb, str(out), *map(str, more)]) == 0
    assert main(["data", "validate", str(out)]) == len(holds_are_no_frames)
    assert str(len(table)) in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        *[("convert", "DATASET", "--to", form, "--out", "new.npz") for form in FORMATS],
        ("merge", "DATASET", "--out", "new"),
        ("trim", "DATASET", "--episodes", "1", "--out", "new"),
        ("convert", "made.npz", "--to", "mcap", "--out", "new"),
        ("inspect", "made.npz"),
    ],
    ids=" ".join,
)
def test_export_cannot_be_converted_back_and_the_remedy_is_the_original_log(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    for form, name in (("npz", "made.npz"), ("parquet", "pq"), ("lerobot", "lr")):
        export(RECORDING, form, Path(name))
    for name in ("pq", "lr") if "DATASET" in arguments else ("",):
        assert main(["data", *(name if one == "DATASET" else one for one in arguments)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "the original log" in err and "export" in err
    assert {path.name for path in tmp_path.iterdir()} == {"made.npz", "pq", "lr"}


FLOATS = st.floats(width=32, allow_nan=True)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "header": st.fixed_dictionaries(
            {
                "stamp": st.fixed_dictionaries(
                    {"sec": st.integers(-(2**31), 2**31 - 1), "nanosec": st.integers(0, 2**32 - 1)}
                ),
                "frame_id": st.text(max_size=8),
            }
        ),
        "cycle": st.integers(0, 2**64 - 1),
        "episode": st.integers(0, 2**32 - 1),
        **{name: st.lists(FLOATS, max_size=5) for name in ("observation", "action", "achieved_goal", "desired_goal")},
        "source": st.integers(0, 255),
        "truncated": st.booleans(),
        "task": st.text(max_size=20),
    },
)
SMALL = (Part(1, (Source.POLICY,) * 4), Part(0, (Source.RESET,) * 2), Part(2, (Source.HUMAN,) * 3))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_table_of_any_transitions_and_any_bytes_has_all_that_fit_and_counts_the_others(data: st.DataObject) -> None:
    content = messages(SMALL)
    for where in data.draw(st.lists(st.integers(0, 8), max_size=4, unique=True)):
        content = changed(content, where, **data.draw(CHANGES))
    made = recording(content)
    damaged = list(made.messages)
    for where in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=3, unique=True)):
        before = bytearray(damaged[where].data)
        for at in data.draw(st.lists(st.integers(0, len(before) - 1), max_size=80)):
            before[at] = data.draw(st.integers(0, 255))
        damaged[where] = damaged[where]._replace(data=bytes(before[: data.draw(st.integers(0, len(before)))]))
    made = made.with_messages(damaged)
    table = to_table(made)
    assert all(len(column) == len(table) for column in table.columns.values())
    assert bool(made.not_taken(len(table))) == (len(table) < 9)
    assert len(table) >= 1


def test_table_of_a_foreign_definition_is_empty() -> None:
    """Of the same type name, with fields of other names or types."""
    text = DEFINITIONS["/transition"]
    for foreign in (
        "string a\nstring b\n",
        text.replace("uint64 cycle", "string cycle"),
        text.replace("float32[] action", "float32 action"),
    ):
        channel = Channel("/transition", "tdm_ros/msg/Transition", foreign.encode())
        made = replace(RECORDING, channels=(channel, *RECORDING.channels[1:]))
        assert len(to_table(made)) == 0 and "transitions cannot be decoded" in made.not_taken(0)[0]


@pytest.mark.parametrize("form", DATASETS)
def test_export_and_import_without_pyarrow_name_the_remedy(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    export(RECORDING, form, tmp_path / "made")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        export(RECORDING, form, tmp_path / "other")
    with pytest.raises(DataError, match="pip install pyarrow"):
        read(tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("form", FORMATS)
def test_export_never_overwrites(form: str, tmp_path: Path) -> None:
    out = tmp_path / ("made.npz" if form == "npz" else "made")
    out.write_text("precious")
    with pytest.raises(FileExistsError, match="never overwritten"):
        export(RECORDING, form, out)
    assert out.read_text() == "precious"


def test_export_of_what_has_no_transitions_is_rejected(tmp_path: Path) -> None:
    foreign = Recording(
        "foreign", (Channel("/chatter", "std_msgs/msg/String", b"string data"),), [Message(0, 1, 1, 0, b"x")]
    )
    for form in ("npz", *DATASETS):
        with pytest.raises(DataError, match=r"no transition of tdm_ros.*/chatter"):
            export(foreign, form, tmp_path / "made.npz")
    several = recording(changed(changed(messages(), 3, task="another"), 4, task="another"))
    with pytest.raises(DataError, match="one task"):
        export(several, "lerobot", tmp_path / "made")
    with pytest.raises(DataError, match="one task"):
        export(recording(messages((Part(0, (Source.RESET,) * 9),))), "lerobot", tmp_path / "made")
    with pytest.raises(DataError, match=r"ends in \.npz"):
        export(RECORDING, "npz", tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_datasets_give_a_sentence(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for form, name in (("parquet", "pq"), ("lerobot", "lr"), *(("parquet", n) for n in ("narrow", "typed", "null"))):
        export(RECORDING, form, tmp_path / name)
    path = "data/train-00000-of-00001.parquet"
    whole = parquet.read_table(tmp_path / "pq" / path)
    parquet.write_table(whole.drop_columns(["cycle", "desired_goal"]), tmp_path / "narrow" / path)
    typed = whole.set_column(0, "stamp_ns", pa.array(["noon"] * whole.num_rows))
    parquet.write_table(typed, tmp_path / "typed" / path)
    place = whole.column_names.index("task")
    null = whole.set_column(place, "task", pa.array([None] * whole.num_rows, pa.string()))
    parquet.write_table(null, tmp_path / "null" / path)
    (tmp_path / "pq" / path).write_bytes(b"PAR1 and nothing else")
    (tmp_path / "lr/data/chunk-000/file-000.parquet").unlink()
    for name in ("pq", "lr"):
        with pytest.raises(DataError, match=rf"{name} is damaged"):
            read(tmp_path / name)
    with pytest.raises(DataError, match="without the columns desired_goal, cycle: give one that"):
        read(tmp_path / "narrow")
    with pytest.raises(DataError, match="column stamp_ns has type object"):
        read(tmp_path / "typed")
    with pytest.raises(DataError, match="column task has values that are no text"):
        read(tmp_path / "null")
    (tmp_path / "lr/meta/tdm_ros/rows.parquet").unlink()
    with pytest.raises(DataError, match="another program"):
        read(tmp_path / "lr")


def test_lerobot_episode_ends_where_transitions_are_discarded(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(discarded_recording(), "lerobot", tmp_path / "made")
    episodes = parquet.read_table(tmp_path / "made/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    first, last = DISCARDED
    assert [one["length"] for one in episodes] == [first, STEPS - last, STEPS, STEPS, 5, 5]
