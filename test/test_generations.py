"""Generations of weights: checksums, how many are kept, refusal of weights that are not finite, and going back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tdm_ros import TDM
from tdm_ros.cli import main
from tdm_ros.files import FolderLock
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training import generations as generations_module
from tdm_ros.training.checkpoint import INDEX, load_actor, load_learner, save_checkpoint
from tdm_ros.training.generations import generations

CONFIG = TdmConfig(hidden_size=16, batch_size=16, learning_starts=30, initial_gradient_steps=4, gradient_steps=1)


@pytest.fixture(scope="module")
def agent() -> TDM:
    return TDM("sawyer_reach", CONFIG).learn(60)


@pytest.fixture
def run(tmp_path: Path, agent: TDM) -> Iterator[Path]:
    """A run folder after five checkpoints; four of them are kept."""
    for _ in range(5):
        agent.learner.updates += 1
        save_checkpoint(tmp_path / "checkpoint", agent.learner)
    yield tmp_path


def names(run: Path) -> list[str]:
    return [one.name for one in generations(run / "checkpoint")]


def updates(run: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_learner(run / "checkpoint").updates


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_flipped_bit_in_a_weight_is_found_and_the_weights_before_are_used(run: Path, share: float) -> None:
    newest, before = generations(run / "checkpoint")[:2]
    data = bytearray(newest.files[1].read_bytes())
    data[int(share * len(data))] ^= 1
    newest.files[1].write_bytes(data)
    with pytest.warns(UserWarning, match="checksum of weights-.* does not match"):
        assert load_learner(run / "checkpoint").updates == before.index["updates"]
    with pytest.warns(UserWarning, match="does not match"):
        load_actor(run / "checkpoint")


def test_changed_number_in_an_index_is_found(run: Path) -> None:
    path = run / "checkpoint" / INDEX
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.warns(UserWarning, match="checkpoint.json is damaged .*its checksum does not match"):
        load_learner(run / "checkpoint")


def test_weights_that_are_not_finite_are_not_saved(run: Path, agent: TDM) -> None:
    before = sorted((run / "checkpoint").iterdir())
    weight = next(iter(agent.learner.agent.state().values()))
    kept = weight.clone()
    try:
        with torch.no_grad():
            weight.flatten()[0] = float("nan")
        with pytest.raises(FloatingPointError, match="is not finite after"):
            save_checkpoint(run / "checkpoint", agent.learner)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert sorted((run / "checkpoint").iterdir()) == before


def test_old_generations_are_thinned_by_age_and_by_size(run: Path, agent: TDM, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run / "checkpoint"
    for _ in range(35):
        agent.learner.updates += 1
        save_checkpoint(folder, agent.learner, with_replay=False)
    ages = [40 - one.number for one in generations(folder)]
    assert ages[:2] == [0, 1] and 4 <= len(ages) <= 7 and 16 <= ages[-1] < 40, ages
    assert {one.files[1].exists() for one in generations(folder)} == {True}
    monkeypatch.setattr(generations_module, "KEPT_BYTES", 0)
    agent.learner.updates += 1
    save_checkpoint(folder, agent.learner, with_replay=False)
    assert len(generations(folder)) == 2 and len(list(folder.glob("weights-*"))) == 4


def test_list_shows_each_generation_with_its_parent_and_damage(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generations(run / "checkpoint")[1].files[1].write_bytes(b"spoilt")
    assert main(["weights", "list", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["*", *names(run)[1:]]
    assert "damaged" in lines[1] and all(line.endswith("good") for line in (lines[0], *lines[2:]))
    assert names(run)[1] in lines[0], "its parent"
    generations(run / "checkpoint")[0].files[1].unlink()
    assert main(["weights", "list", str(run / "checkpoint")]) == 1
    assert main(["weights", "list", str(run / "nowhere")]) == 2


def test_rollback_goes_to_the_newest_good_weights_before_and_deletes_nothing(run: Path, agent: TDM) -> None:
    found, files = generations(run / "checkpoint"), set((run / "checkpoint").glob("weights-*"))
    found[1].files[1].write_bytes(b"spoilt")
    assert main(["weights", "rollback", str(run)]) == 0
    assert updates(run) == found[2].index["updates"]
    left = {path.name for path in (run / "checkpoint").rglob("weights-*")}
    assert left == {path.name for path in files}
    found[2].files[1].unlink()  # of the current ones: those before them are used
    with pytest.warns(UserWarning, match="is used"):
        assert load_learner(run / "checkpoint").updates == found[3].index["updates"]
    save_checkpoint(run / "checkpoint", agent.learner)
    assert json.loads((run / "checkpoint" / INDEX).read_text())["updates"] == agent.learner.updates


def test_rollback_to_a_name_is_refused_if_it_is_damaged_unknown_or_the_run_goes_on(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = generations(run / "checkpoint")[2]
    before = (run / "checkpoint" / INDEX).read_bytes()
    for folder in (run, run / "checkpoint"):
        lock = FolderLock(folder, "trainer")
        assert main(["weights", "rollback", str(run)]) == 2
        lock.release()
        assert "is being written by trainer" in capsys.readouterr().err
    assert main(["weights", "rollback", str(run), "--to", "weights-1-1"]) == 2
    assert wanted.name in capsys.readouterr().err
    assert main(["weights", "rollback", str(run), "--to", wanted.name]) == 0
    assert updates(run) == wanted.index["updates"] and before != (run / "checkpoint" / INDEX).read_bytes()
    (one,) = generations(run / "checkpoint")[1:]
    one.files[1].write_bytes(b"spoilt")
    assert main(["weights", "rollback", str(run), "--to", one.name]) == 2
    assert updates(run) == wanted.index["updates"]
