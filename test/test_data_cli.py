"""`tdm_ros data`: exit statuses, sentences, and what is left on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recording_for_tests import STEPS, changed, messages, recording, truncate, write_log

from tdm_ros.cli import main
from tdm_ros.data.sources import read

RECORDING = recording()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, as `tdm_ros up` leaves it."""
    write_log(tmp_path / "run" / "log_mcap", RECORDING)
    return tmp_path / "run"


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """The log of a machine that lost its power."""
    path = write_log(tmp_path / "torn" / "log_mcap", RECORDING)
    truncate(path, RECORDING, 20)
    return tmp_path / "torn"


def data(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


def test_data_list_shows_runs_below_a_folder(run: Path, torn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data("list", run.parent) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(run), str(torn)]
    assert "ends in the middle of a record" in err
    assert data("list", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["transitions"] == 4 * STEPS + 3


def test_data_inspect_as_text_and_json(run: Path, torn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data("inspect", run) == 0
    assert "human 17" in capsys.readouterr().out
    assert data("inspect", run, torn, "--json") == 1
    out, err = capsys.readouterr()
    assert [one["pieces"] > 0 for one in json.loads(out)] == [True, True]
    assert "torn" in err


def test_data_plot_writes_a_picture(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data("plot", run, "--out", tmp_path / "it.png") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'it.png'}\n"
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


def test_data_merge_trim_convert_chain_gives_the_log_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part, whole, back = (tmp_path / name for name in ("part", "whole", "back"))
    assert data("trim", run, "--episodes", "2-3", "--out", part) == 0
    assert data("merge", part, run, "--out", whole) == 0
    assert data("convert", whole, "--to", "npz", "--out", tmp_path / "arrays.npz") == 0
    assert data("convert", whole, "--to", "mcap", "--out", back) == 0
    assert capsys.readouterr().out.count(f": {4 * STEPS + 3} transitions\n") == 2
    assert sorted(read(back).messages) == sorted(read(run).messages)
    assert data("validate", back) == 0
    assert {path.name for path in back.iterdir()} == {"0000.mcap", "metadata.yaml"}


def test_convert_of_a_truncated_log_writes_its_whole_messages(
    torn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data("convert", torn, "--to", "mcap", "--out", tmp_path / "mended") == 1
    assert "cannot be read" in capsys.readouterr().err
    assert data("validate", tmp_path / "mended") == 0
    assert read(tmp_path / "mended").messages == read(torn).messages


def test_data_validate_names_what_is_invalid(
    run: Path, torn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "wild" / "log_mcap", recording(changed(messages(), 3, action=[3.0] * 7)))
    (tmp_path / "foreign.mcap").write_bytes(b"hello, world")
    assert data("validate", run, torn, tmp_path / "wild", tmp_path / "foreign.mcap") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[2] for line in lines if not line.startswith("  ")] == ["valid", *["invalid"] * 3]
    assert any("outside [-1, 1]" in line for line in lines) and any("no MCAP file" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("inspect", "nowhere"), "nowhere does not exist"),
        (("plot", "nowhere", "--out", "x.png"), "nowhere does not exist"),
        (("trim", "run", "--episodes", "x", "--out", "y"), "3,5-8"),
        (("trim", "run", "--episodes", "77", "--out", "y"), "no transition of run is left"),
        (("trim", "run", "--sources", "cat", "--out", "y"), "got cat"),
        (("convert", "run", "--to", "npz", "--out", "y"), "ends in .npz"),
        (("convert", "run", "--to", "mcap", "--out", "run"), "never overwritten"),
        (("merge", "run", "nowhere", "--out", "y"), "nowhere does not exist"),
        (("list", "nowhere"), "nowhere does not exist"),
    ],
)
def test_data_that_can_not_be_done_ends_with_2_and_one_sentence(
    run: Path,
    arguments: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.parent)
    assert data(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"tdm_ros data {arguments[0]}: ") and sentence in err and err.count("\n") == 1
    assert [path.name for path in run.parent.iterdir()] == ["run"]
