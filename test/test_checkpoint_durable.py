"""Checkpoints outlast a power cut, a full disk and changed bytes; what was learned is never lost to one of them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from power_cut_for_tests import Disk, room_for
from safetensors.numpy import load_file, save_file

from tdm_ros import TDM
from tdm_ros.cli import main
from tdm_ros.files import FolderLock, make_folder, write_durably
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.callbacks import Checkpoints
from tdm_ros.training.checkpoint import (
    INDEX,
    PREVIOUS,
    DamagedCheckpointError,
    load_actor,
    load_learner,
    save_checkpoint,
    set_aside,
)
from tdm_ros.training.generations import digest, sealed

CONFIG = TdmConfig(hidden_size=16, batch_size=16, learning_starts=30, initial_gradient_steps=4, gradient_steps=1)


def learned(steps: int = 60) -> TDM:
    return TDM("sawyer_reach", CONFIG).learn(steps)


@pytest.fixture(scope="module")
def agents() -> tuple[TDM, TDM]:
    """The same agent at two moments."""
    return learned(60), learned(90)


@pytest.fixture
def folder(tmp_path: Path, agents: tuple[TDM, TDM]) -> Path:
    """Two generations."""
    for agent in agents:
        save_checkpoint(tmp_path / "checkpoint", agent.learner)
    return tmp_path / "checkpoint"


def transitions(folder: Path) -> int:
    return load_learner(folder).transitions


def test_two_generations_are_kept_and_the_newest_is_loaded(folder: Path, agents: tuple[TDM, TDM]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert transitions(folder) == 90
    names = {path.name.partition("-")[0] for path in folder.iterdir()}
    assert names == {INDEX, PREVIOUS, "weights"} and len(list(folder.iterdir())) == 6
    save_checkpoint(folder, agents[1].learner)  # the same again: the one before it stays
    assert json.loads((folder / PREVIOUS).read_text())["transitions"] == 60


def weights(folder: Path, index: str = INDEX) -> Path:
    return folder / json.loads((folder / index).read_text())["weights"]


def changed(folder: Path, **values: object) -> None:
    path = folder / INDEX
    content = {k: v for k, v in (json.loads(path.read_text()) | values).items() if v is not None}
    path.write_text(json.dumps(sealed(content)))


def changed_in(folder: Path, keys: tuple[str, ...], value: object) -> None:
    content = json.loads((folder / INDEX).read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (folder / INDEX).write_text(json.dumps(sealed(content)))


def spoil_weights(folder: Path) -> None:
    tensors = load_file(weights(folder))
    name = next(name for name, tensor in tensors.items() if tensor.dtype == np.float32)
    tensors[name].flat[0] = np.nan
    save_file(tensors, weights(folder))
    changed(folder, sha256=digest(weights(folder)))


def leave_out_a_tensor(folder: Path) -> None:
    tensors = load_file(weights(folder))
    del tensors[next(name for name in tensors if name.startswith("learned."))]
    save_file(tensors, weights(folder))
    changed(folder, sha256=digest(weights(folder)))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "index empty": lambda folder: (folder / INDEX).write_bytes(b""),
    "index zeros": lambda folder: (folder / INDEX).write_bytes(bytes(500)),
    "index cut": lambda folder: (folder / INDEX).write_bytes((folder / INDEX).read_bytes()[:99]),
    "index a list": lambda folder: (folder / INDEX).write_text("[]"),
    "index a number": lambda folder: (folder / INDEX).write_text("7"),
    "index removed": lambda folder: (folder / INDEX).unlink(),
    **{
        f"without {key}": lambda folder, key=key: changed(folder, **{key: None})
        for key in ("schema", "weights", "task", "config", "seed", "updates", "rng")
    },
    "seed a text": lambda folder: changed(folder, seed="x"),
    "rng a list": lambda folder: changed(folder, rng=[1]),
    "config a list": lambda folder: changed(folder, config=[1]),
    "updates a text": lambda folder: changed(folder, updates="many"),
    "recorded_transitions a text": lambda folder: changed(folder, recorded_transitions="many"),
    "skipped_updates a fraction": lambda folder: changed(folder, skipped_updates=0.5),
    "rng negative": lambda folder: changed_in(folder, ("rng", "state", "state"), -1),
    "rng too large": lambda folder: changed_in(folder, ("rng", "uinteger"), 10**30),
    "network too large": lambda folder: changed_in(folder, ("config", "hidden_size"), 10**30),
    "layer_norm a text": lambda folder: changed_in(folder, ("config", "layer_norm"), "no"),
    "weights empty": lambda folder: weights(folder).write_bytes(b""),
    "weights cut": lambda folder: weights(folder).write_bytes(weights(folder).read_bytes()[:-100]),
    "weights zeros": lambda folder: weights(folder).write_bytes(bytes(5000)),
    "weights removed": lambda folder: weights(folder).unlink(),
    "weights not a number": spoil_weights,
    "weights lack a tensor": leave_out_a_tensor,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_checkpoint_gives_the_newest_good_weights_with_a_warning(folder: Path, kind: str) -> None:
    """A damaged index costs nothing, since each of the weights has an index of its own."""
    DAMAGE[kind](folder)
    left = 60 if kind.startswith("weights") else 90
    if (folder / INDEX).exists():
        with pytest.warns(UserWarning, match=r"is damaged \(.*an earlier checkpoint, .*json, is used"):
            assert transitions(folder) == left
    else:
        assert transitions(folder) == left
    load_actor(folder)


def test_damaged_checkpoint_without_one_before_it_says_so_and_can_be_set_aside(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.write_text("[]")
    with pytest.raises(
        DamagedCheckpointError, match=r"checkpoint.json is damaged .*checkpoint.previous.json is damaged"
    ):
        load_learner(folder)
    aside = set_aside(folder)
    assert {path.name for path in folder.iterdir()} == {aside.name} and len(list(aside.iterdir())) == 6
    with pytest.raises(FileNotFoundError):
        load_learner(folder)


def test_checkpoint_of_another_task_is_rejected_not_replaced_by_the_one_before_it(folder: Path) -> None:
    with pytest.raises(ValueError, match="belongs to task") as error:
        load_learner(folder, SAWYER_REACH["torque"])
    assert not isinstance(error.value, DamagedCheckpointError)


def test_save_over_a_damaged_checkpoint_keeps_the_good_one_before_it(folder: Path, agents: tuple[TDM, TDM]) -> None:
    (folder / INDEX).write_text("[]")
    agents[1].learner.updates += 1
    try:
        save_checkpoint(folder, agents[1].learner)
    finally:
        agents[1].learner.updates -= 1
    assert json.loads((folder / PREVIOUS).read_text())["transitions"] == 60


@pytest.mark.parametrize("at_once", [True, False], ids=["names come first", "names come when synced"])
def test_power_cut_at_any_moment_of_a_save_leaves_a_checkpoint(
    folder: Path, agents: tuple[TDM, TDM], monkeypatch: pytest.MonkeyPatch, at_once: bool, tmp_path: Path
) -> None:
    disk = Disk(monkeypatch, folder)
    disk.know_all()
    found: list[int] = []

    def look() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(transitions(disk.cut(tmp_path / "left", at_once)))

    disk.after = look
    for steps in (100, 110):
        agents[1].learner.store.total += steps - 90  # another name for the file
        agents[1].learner.updates += 1
        save_checkpoint(folder, agents[1].learner, with_replay=False)
    agents[1].learner.store.total -= 30
    agents[1].learner.updates -= 2
    assert len(found) >= 12, "syncs and renames of two saves"


def test_file_is_synced_before_it_has_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "run" / "weights_version"
    path.parent.mkdir()
    path.write_text("old")
    disk = Disk(monkeypatch, path.parent)
    disk.know_all()
    found: list[str] = []
    disk.after = lambda: found.extend(
        (disk.cut(tmp_path / "left", at_once) / path.name).read_text() for at_once in (True, False)
    )
    write_durably(path, "new")
    assert set(found) == {"old", "new"} and found[-2:] == ["new", "new"]


def test_name_of_a_new_folder_is_on_the_disk_before_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced: list[str] = []
    real = os.fsync

    def watched(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", watched)
    FolderLock(tmp_path / "runs" / "new" / "log_mcap", "collector").release()
    assert synced == [str(tmp_path), str(tmp_path / "runs"), str(tmp_path / "runs" / "new")]
    make_folder(tmp_path)
    assert len(synced) == 3, "what exists costs no sync"


def test_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("old")
    with room_for(10), pytest.raises(OSError):
        write_durably(path, "x" * 100)
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"] and path.read_text() == "old"


def test_checkpoint_without_room_leaves_those_before_it(folder: Path, agents: tuple[TDM, TDM]) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    agents[1].learner.updates += 1
    try:
        with room_for(1000), pytest.raises(OSError):
            save_checkpoint(folder, agents[1].learner)
    finally:
        agents[1].learner.updates -= 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_learning_goes_on_without_room_for_a_checkpoint_and_saves_once_there_is(tmp_path: Path) -> None:
    agent, checkpoints = TDM("sawyer_reach", CONFIG), Checkpoints(tmp_path / "run", every_steps=40)
    with (
        room_for(1000),
        pytest.warns(UserWarning, match=r"no checkpoint at step .*learning continues.*free disk space"),
    ):
        agent.learn(130, [checkpoints])
    assert agent.steps == 130 and agent.updates > 0 and checkpoints.saved_at == 0
    agent.learn(130, [checkpoints])
    assert checkpoints.saved_at > 130 and TDM.load(tmp_path / "run").steps == checkpoints.saved_at


def test_train_that_can_not_save_its_result_says_so_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    given = ["train", "--task", "sawyer_reach", "--steps", "60", "--out", str(out), "--validate-every", "0"]
    given += [
        "--save-every",
        "1000",
        "--hidden-size=16",
        "--batch-size=16",
        "--learning-starts=30",
    ]
    with room_for(20_000):
        assert main(given) == 1
    assert "could not be saved" in capsys.readouterr().err
    assert main(given) == 0 and TDM.load(out).steps == 60


def test_second_training_in_one_folder_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    lock = FolderLock(out, "tdm_ros train")
    assert main(["train", "--task", "sawyer_reach", "--steps", "50", "--out", str(out)]) == 2
    assert "is being written by tdm_ros train, pid" in capsys.readouterr().err
    lock.release()
