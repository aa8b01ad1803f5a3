"""Tables, plots and progress of the benchmarks from canned results, and the fan-out over processes and Ray."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.cases import Run, marks
from benchmarks.fan_out import Event, run_locally, run_on_ray
from benchmarks.plots import _draw_ours, draw
from benchmarks.progress import Progress
from benchmarks.results import COLUMNS, interquartile_mean, read_result, spread, tidy, write_csv
from benchmarks.sample_efficiency import main
from benchmarks.table import markdown
from benchmarks.trial import RESULT, SCHEMA, write_json

TASK = "tasks_for_tests:make_point"
TINY = "tdm,hidden_size=8,batch_size=8,learning_starts=40,initial_gradient_steps=2,gradient_steps=1"


def canned(out, run, means, goals=50, schema=SCHEMA, fingerprint="reacher:0", selected_mode=""):
    rows = [
        dict(steps=steps, mean=mean, median=mean / 2, p95=2 * mean, success=0.5, goals=goals, updates=5 * steps)
        | dict(wall_s=0.06 * steps, cpu_s=0.05 * steps, finals=[mean] * goals, selected_mode=selected_mode)
        for steps, mean in means.items()
    ]
    result = asdict(run) | {"schema": schema, "unit": "m", "rows": rows, "fingerprint": fingerprint}
    write_json(run.folder(out) / RESULT, result)


@pytest.fixture
def reacher(tmp_path):
    """Three seeds of one agent, one of another, none of a third."""
    runs = [Run("reacher", agent, seed, 20_000) for seed in range(3) for agent in ("tdm", "mpc", "sac_her")]
    for seed, shift in enumerate((0.0, 0.01, 0.04)):
        canned(tmp_path, Run("reacher", "tdm", seed, 20_000), {1000: 0.3, 10_000: 0.03 + shift, 20_000: 0.02 + shift})
    canned(tmp_path, Run("reacher", "mpc", 1, 20_000), {1000: 0.4, 10_000: 0.2}, goals=10)
    return tmp_path, runs


def test_marks_hold_the_targets_and_the_last_step():
    assert marks("reacher", 20_000) == (1000, 2000, 3000, 5000, 10_000, 20_000)
    assert marks("sawyer_reach_torque_low_damping", 6000)[-1] == 6000
    assert marks("ant_position", 100_000)[-2:] == (50_000, 100_000)
    assert marks(TASK, 100) == (25, 50, 75, 100)


def test_spread_is_the_mean_of_the_seeds_that_were_measured(reacher):
    out, runs = reacher
    found = spread(tidy(runs, out), "tdm", 10_000)
    assert (found.iqm, found.seeds) == (pytest.approx(0.14 / 3), 3)
    assert (found.low, found.high) == (pytest.approx(0.03), pytest.approx(0.07))
    assert spread(tidy(runs, out), "sac_her", 10_000) is None


def test_interquartile_mean_leaves_out_the_ends_and_covers_the_truth():
    assert interquartile_mean([9.0, 1.0, 2.0, 3.0, -50.0]).iqm == 2.0
    assert interquartile_mean([0.7]) == (0.7, 0.7, 0.7, 1)
    rng = np.random.default_rng(1)
    covered = [low <= 3 <= high for _, low, high, _ in (interquartile_mean(rng.normal(3, 1, 10)) for _ in range(200))]
    assert 0.8 < np.mean(covered) < 0.99, "a percentile bootstrap of ten values covers a little less than it says"


def test_table_shows_scores_paper_targets_and_what_is_missing(reacher):
    out, runs = reacher
    lines = markdown(tidy(runs, out), runs, (1000, 10_000, 20_000), "m").splitlines()
    cells = {
        line.split(" | ")[0].strip("| "): [c.strip(" |") for c in line.split(" | ")] for line in lines if "|" in line
    }
    assert cells["agent"][2:5] == ["1k steps", "10k steps", "20k steps"]
    assert cells["tdm"][1:5] == ["3", "0.3 (0.3 - 0.3)", "0.0467 (0.03 - 0.07)", "0.0367 (0.02 - 0.06)"]
    assert cells["tdm"][5:] == ["50", "100000", "20.0", "10k: yes, 20k: no"]
    assert cells["mpc"][1:6] == ["1 of 3", "0.4", "0.2", "-", "10"]
    assert cells["mpc"][8] == "10k: no, 20k: -"
    assert cells["sac_her"][1:] == ["0 of 3"] + ["-"] * 7
    assert cells["paper: TDM"][2:5] == ["0.29", "0.115", "0.12"]
    assert cells["target"][2:5] == ["", "<= 0.05", "<= 0.03"]
    assert lines[-1] == "Not measured: mpc seed 0, sac_her seed 0, sac_her seed 1, mpc seed 2, sac_her seed 2."
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_table_lists_the_selected_modes(tmp_path):
    runs = [Run("reacher", "tdm", seed, 20_000) for seed in range(3)]
    for run, mode in zip(runs, ("fine_segments", "segments", "fine_segments"), strict=True):
        canned(tmp_path, run, {10_000: 0.2, 20_000: 0.1}, selected_mode=mode)
    text = markdown(tidy(runs, tmp_path), runs, (20_000,), "m")
    assert text.endswith(
        "Selected mode at the end of tdm, with the number of seeds: fine_segments (2), segments (1).\n"
    )


def test_csv_is_tidy_one_row_a_run_and_mark(reacher):
    out, runs = reacher
    path = write_csv(tidy(runs, out), out, "reacher", 20_000)
    rows = list(csv.DictReader(path.open()))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 3 * 3 + 2
    assert {(row["agent"], row["seed"]) for row in rows} == {("tdm", "0"), ("tdm", "1"), ("tdm", "2"), ("mpc", "1")}


def test_plot_holds_ours_in_colour_and_the_paper_in_grey(reacher):
    out, runs = reacher
    with Image.open(draw(tidy(runs, out), runs, "m", out)) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(31, 119, 180), (153, 153, 153), (0, 0, 0)} <= colours


def test_legend_says_who_was_judged_on_fewer_goals(reacher):
    out, runs = reacher
    figure = Figure()
    _draw_ours(axes := figure.subplots(), tidy(runs, out), ["tdm", "mpc", "sac_her"], [1000, 10_000, 20_000])
    assert axes.get_legend_handles_labels()[1] == ["tdm (n=3)", "mpc (n=1, 10 goals)"]


def test_result_of_another_schema_is_rejected(tmp_path):
    run = Run("reacher", "tdm", 0, 20_000)
    canned(tmp_path, run, {1000: 0.3}, schema=99)
    with pytest.raises(ValueError, match="schema 99, this version reads 1; remove it"):
        read_result(run, tmp_path)


def test_results_of_two_versions_of_a_task_are_not_mixed(reacher):
    out, _ = reacher
    canned(out, Run("reacher", "tdm", 2, 20_000), {1000: 0.3}, fingerprint="reacher:1")
    with pytest.raises(ValueError, match="results of 2 versions of reacher; remove"):
        main(["--tasks", "reacher", "--agents", "tdm", "--seeds", "3", "--out", str(out), "--table"])


def test_progress_gives_rate_time_left_and_the_whole():
    runs = [Run("reacher", "tdm", seed, 1000) for seed in range(4)]
    stream = io.StringIO()
    progress = Progress(runs, stream)
    progress.hear(Event(runs[0], 100))
    first_s = progress._seen[runs[0]][0]
    progress.hear(Event(runs[0], 300))
    progress.hear(Event(runs[1], 1000, done=True))
    progress.hear(Event(runs[2], 1000, done=True, error="ValueError: no"))
    line, bar = progress.lines(first_s + 10)
    assert line == "  reacher tdm seed 0: 300/1000 20 steps/s, 0:35 left"
    assert "2/4 runs, 57 %" in bar
    assert "reacher tdm seed 1: done" in stream.getvalue()
    assert "reacher tdm seed 2: FAILED, ValueError: no" in stream.getvalue()


def test_command_measures_resumes_and_reports(tmp_path, capsys):
    words = ["--tasks", TASK, "--agents", TINY, "mpc", "--seeds", "1", "--steps", "44", "--out", str(tmp_path)]
    words[4:5] = []  # mpc needs its random phase, which is longer than this
    assert main([*words, "--jobs", "1"]) == 0
    kept = next(tmp_path.glob("**/result.json"))
    written = kept.stat().st_mtime_ns
    assert f"| {TINY} | 1 |" in capsys.readouterr().out
    assert main([*words, "--jobs", "1"]) == 0
    assert kept.stat().st_mtime_ns == written
    result = json.loads(kept.read_text())
    result["rows"][-1]["goals"] = 49
    write_json(kept, result)
    assert main([*words, "--jobs", "1"]) == 0
    assert json.loads(kept.read_text())["rows"][-1]["goals"] == 50, "measured anew: its task is judged on 50"
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    stem = "tasks_for_tests_make_point-44"
    assert names == {f"{stem}.csv", f"{stem}.png", "tables.md"}


def test_report_holds_what_was_measured_before_beside_what_is_asked_for(reacher, capsys):
    out, _ = reacher
    canned(out, Run("cheetah", "tdm_T0", 0, 20_000), {1000: 2.0}, fingerprint="cheetah:1")
    assert main(["--tasks", "reacher", "--agents", "sac_her", "--seeds", "1", "--out", str(out), "--table"]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("###")] == [
        "### reacher, runs of 20k steps: mean final score [m], interquartile mean over seeds (95 % interval)",
        "### cheetah, runs of 20k steps: mean final score [m], interquartile mean over seeds (95 % interval)",
    ]
    assert "| tdm | 3 |" in text and "| mpc | 1 of 3 |" in text and "Not measured: sac_her seed 0." in text
    assert (out / "cheetah-20000.png").exists()


def test_command_with_an_unknown_agent_says_what_there_is(tmp_path, capsys):
    assert main(["--tasks", TASK, "--agents", "ppo", "--out", str(tmp_path)]) == 2
    assert "an agent is one of the following, got 'ppo'" in capsys.readouterr().err


def test_run_that_fails_is_told_and_the_others_go_on(tmp_path):
    bad, good = Run("no_such_task", TINY, 0, 44), Run(TASK, TINY, 0, 44)
    events = [event for event in run_locally([bad, good], tmp_path, 1) if event.done]
    assert [event.run for event in events] == [bad, good]
    assert "no_such_task" in events[0].error and events[1].error == ""
    assert (bad.folder(tmp_path) / "error.txt").exists() and read_result(good, tmp_path)


def test_run_that_is_killed_is_told(tmp_path):
    run = Run(TASK, TINY, 0, 1_000_000)
    errors = []
    for event in run_locally([run], tmp_path, 1):
        if event.steps and not event.done:
            os.kill(_child(), signal.SIGKILL)
        if event.done:
            errors.append(event.error)
    assert errors == ["its process ended with exit code -9"]


def _child():
    import multiprocessing

    (child,) = [process for process in multiprocessing.active_children() if process.is_alive()]
    return child.pid


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_command_that_is_stopped_leaves_no_process_behind(tmp_path, number, status):
    words = ["--tasks", TASK, "--agents", TINY, "--seeds", "1", "--steps", "1000000", "--jobs", "1"]
    command = [sys.executable, "-m", "benchmarks.sample_efficiency", *words, "--out", str(tmp_path)]
    paths = os.pathsep.join([os.getcwd(), os.path.dirname(__file__)])
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL) as process:
        until(lambda: list(tmp_path.glob("**/partial.json")))
        children = (Path("/proc") / str(process.pid) / "task" / str(process.pid) / "children").read_text().split()
        assert children
        process.send_signal(number)
        assert process.wait(30) == status
    until(lambda: not any(alive(child) for child in children))


def alive(process):
    try:
        return Path("/proc", process, "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition, limit_s=60.0):
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.1)


@pytest.mark.timeout(300)  # Ray starts processes for a minute where there are few cores
def test_ray_local_measures_and_brings_results_back(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.path.dirname(__file__)]))
    good, bad = Run(TASK, TINY, 0, 44), Run("no_such_task", TINY, 0, 44)
    done = {event.run: event.error for event in run_on_ray([good, bad], tmp_path, "local", 1) if event.done}
    assert done[good] == "" and "no_such_task" in done[bad]
    assert read_result(good, tmp_path)["rows"][-1]["steps"] == 44
