"""Table and picture of `benchmarks.live`, from runs whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.live import gathered, main, result_of
from tdm_ros.training.metrics import FILE_NAME

HEADER = "robot_time_s,step,episode,mode,final_distance,updates,end,goal\n"


def finished(folder: Path, seed: int, finals_m: list[float]) -> None:
    """Write the run folder of a live run that evaluated these goals, and lost one transition."""
    folder.mkdir(parents=True)
    rows = ["2.5,50,1,train,0.5,0,time_limit,0 0 0\n", "5.0,100,2,train,0.3,0,interrupted,0 0 0\n"]
    rows += [f"10.0,200,{3 + n},evaluate,{metres},9,time_limit,0 0 0\n" for n, metres in enumerate(finals_m)]
    (folder / FILE_NAME).write_text(HEADER + "".join(rows), encoding="utf-8")
    summary = {"seed": seed, "cycles": {"answered": 99, "total": 100}, "transitions": {"published": 10, "logged": 9}}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def test_finished_runs_give_a_row_for_each_arm_with_every_goal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path / "runs" / "reach-ur5e-3min-0" / "run", 0, [0.001, 0.002, 0.03])
    finished(tmp_path / "runs" / "reach-ur5e-3min-1" / "run", 1, [0.004, 0.004, 0.004])
    words = ["reach", "--robots", "ur5e", "--seeds", "2", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)]
    assert main(words) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "`ur5e`" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["`ur5e`", "2, 6", "0.20, 0.40", "0.40, 2.35, 3.00 cm"]
    assert cells[4:] == ["83.3 %", "83.3 %", "100.0 %", "99.00 % of 200", "2"]
    assert (tmp_path / "reach-3min.png").stat().st_size > 5000
    assert [run["seed"] for run in gathered(tmp_path, "reach", 3.0, ["ur5e"])["ur5e"]] == [0, 1]


def test_runs_behind_ros2_control_are_no_runs_of_the_usual_driver(tmp_path: Path) -> None:
    for name, seed in (("reach-ur5e-3min-0", 0), ("reach-ur5e-3min-ros2_control-4", 4)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"seed": seed}), encoding="utf-8")
    assert gathered(tmp_path, "reach", 3.0, ["ur5e"]) == {"ur5e": [{"seed": 0}]}
    assert gathered(tmp_path, "reach", 3.0, ["ur5e"], "ros2_control") == {"ur5e": [{"seed": 4}]}


def test_interrupted_episode_is_not_among_the_results(tmp_path: Path) -> None:
    finished(tmp_path / "run", 0, [0.001])
    assert result_of(tmp_path / "run")["episodes_ended"] == [(2.5, "train", 0.5), (10.0, "evaluate", 0.001)]
