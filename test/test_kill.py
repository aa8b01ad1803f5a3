"""A run that is killed, at any moment and with no time to say goodbye, ends as if it had never been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from safetensors.numpy import load_file

TASK = "tasks_for_tests:make_point"
SETTINGS = [
    "--hidden-size=16",
    "--batch-size=16",
    "--learning-starts=50",
    "--initial-gradient-steps=20",
    "--gradient-steps=3",
]
COMMAND = ["train", "--task", TASK, "--steps", "530", "--save-every", "70", "--validate-every", "130"]


def start(out: Path) -> subprocess.Popen:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tdm_ros", *COMMAND, "--out", str(out)]
    command += SETTINGS
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(run: subprocess.Popen) -> None:
    errors = run.communicate(timeout=90)[1]
    assert run.returncode == 0, errors


def weights(out: Path) -> dict[str, bytes]:
    folder = out / "checkpoint"
    tensors = load_file(folder / json.loads((folder / "checkpoint.json").read_text())["weights"])
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


def kill_when(run: subprocess.Popen, ready) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert run.poll() is None, f"it ended before it could be killed: {run.communicate()[1]}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    run.kill()
    run.communicate()


def rows(out: Path) -> int:
    path = out / "metrics.csv"
    return path.read_text().count("train") if path.exists() else 0


def test_run_killed_before_and_after_checkpoints_ends_with_the_same_weights_and_metrics(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(whole)
    kill_when(start(killed), lambda: rows(killed) >= 3)  # before the first checkpoint
    finish(undisturbed)
    kill_when(start(killed), lambda: rows(killed) >= 8)
    torn_names = "weights-380-999.safetensors.part", "checkpoint.json.part", ".tmpAb1Cd2"
    for torn_name in torn_names:  # as if it had been writing
        (killed / "checkpoint" / torn_name).write_bytes(b"{")
    kill_when(start(killed), lambda: rows(killed) >= 19)
    with (killed / "metrics.csv").open("a") as torn:
        torn.write("99.0,1980,")
    finish(start(killed))
    assert weights(killed) == weights(whole)
    left = {path.name.partition("-")[0] for path in (killed / "checkpoint").iterdir()}
    assert left == {"checkpoint.json", "checkpoint.previous.json", "weights"}, "nothing torn is left behind"
    kept = sorted(path.stem for path in (killed / "checkpoint").glob("weights-*.json"))
    assert kept == sorted(path.stem for path in (killed / "checkpoint").glob("weights-*.safetensors"))
    assert 2 <= len(kept) <= 5, "generations, one per doubling of the age"
    assert (killed / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
