"""`tdm_ros up` with real processes: small shell scripts stand for the nodes of a system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tdm_ros.system.environment import PROFILES, RANGE

ROOT = Path(__file__).parent.parent
WAITS = "while :; do sleep 0.05; done"
STUBBORN = f"trap '' INT TERM; {WAITS}"


class System:
    """A system made of shell scripts, and the runner that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: dict[str, str] = {}
        self.runner: subprocess.Popen[str] | None = None
        (folder / "params.yaml").write_text("/**:\n  ros__parameters: {}\n")

    def node(self, name: str, script: str, **fields: object) -> System:
        """Add a node; it writes its process id to `<name>.pid` before it does anything."""
        path = self.folder / "lib" / "fake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho $$ >> {self.folder}/{name}.pid\n{script}\n")
        path.chmod(0o755)
        self.nodes[name] = json.dumps({"executable": name, "package": "fake", **fields})
        return self

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the runner, with its output in a pipe."""
        table = ["description: fake", "params_file: params.yaml", "arguments:"]
        table += [
            "  run_dir: {default: '', description: where}",
            "  gain: {default: 1.5, description: how much}",
            "  wanted: {default: true, description: whether some start}",
            "  arms: {default: 2, description: how many}",
            "  first: {default: 1, description: which}",
        ]
        table += ["nodes:", *(f"  {name}: {fields}" for name, fields in self.nodes.items())]
        path = self.folder / "fake.system.yaml"
        path.write_text("\n".join(table))
        env = os.environ | {"AMENT_PREFIX_PATH": str(self.folder), "PYTHONPATH": str(ROOT)}
        self.runner = subprocess.Popen(
            [sys.executable, "-m", "tdm_ros", "up", str(path), *arguments],
            cwd=self.folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self.runner

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run to the end; return exit status and output."""
        runner = self.start(*arguments)
        output, _ = runner.communicate(timeout=30)
        return runner.returncode, output

    def pids(self, name: str) -> list[int]:
        """Return the process ids that a node has had so far."""
        path = self.folder / f"{name}.pid"
        return [int(text) for text in path.read_text().split()] if path.exists() else []

    def wait_for(self, *names: str) -> None:
        """Wait until these nodes have started."""
        wait_until(lambda: all(self.pids(name) for name in names))

    def all_pids(self) -> list[int]:
        """Return every process id that a node, or a child of one, has left in a file."""
        return [int(text) for path in self.folder.glob("*.pid") for text in path.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a condition; fail when it does not come true."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    made = System(tmp_path)
    yield made
    if made.runner is not None and made.runner.poll() is None:
        made.runner.kill()
        made.runner.wait()
    for pid in filter(alive, made.all_pids()):
        os.kill(pid, signal.SIGKILL)


def test_up_required_node_finishes_run_ends_with_zero_and_none_is_left(system: System) -> None:
    status, output = system.node("one", "echo hello", required=True).node("two", WAITS).run()
    assert status == 0
    assert "one | hello" in output
    assert "one has finished" in output
    assert output.splitlines()[-1].startswith("run folder: runs/")
    assert not [pid for pid in system.all_pids() if alive(pid)]


@pytest.mark.parametrize(("script", "words"), [("exit 3", "exit status 3"), ("kill -SEGV $$", "killed by SIGSEGV")])
def test_up_required_node_dies_run_fails_and_names_it(system: System, script: str, words: str) -> None:
    status, output = system.node("one", script, required=True).node("two", WAITS).run()
    assert status == 1
    assert f"one has died ({words}): the run is over" in output


def test_up_other_node_dies_it_is_started_again(system: System) -> None:
    again = f"[ $(wc -l < {system.folder}/two.pid) -ge 2 ] && touch {system.folder}/again; exit 1"
    until = f"while [ ! -e {system.folder}/again ]; do sleep 0.02; done"
    status, output = system.node("one", until, required=True).node("two", again).run()
    assert status == 0
    assert "two has died (exit status 1): starting it again in 1 s" in output
    assert len(system.pids("two")) == 2


def test_up_other_node_dies_again_and_again_run_fails(system: System) -> None:
    status, output = system.node("one", WAITS, required=True).node("two", "exit 7").run()
    assert status == 1
    assert "two has died for the 6th time within 60 s (exit status 7): the run is over" in output
    assert len(system.pids("two")) == 6


def test_up_node_that_can_be_done_without_dies_again_and_again_the_others_go_on(system: System) -> None:
    until = f"while [ $(cat {system.folder}/two.pid 2>/dev/null | wc -l) -lt 6 ]; do sleep 0.02; done; sleep 1.5"
    system.node("one", until, required=True).node("two", "exit 7", when="wanted")
    status, output = system.run()
    assert status == 0
    assert "two has died for the 6th time within 60 s (exit status 7): the others go on without it" in output
    assert len(system.pids("two")) == 6


def test_up_node_that_is_not_wanted_is_not_started(system: System) -> None:
    status, _ = system.node("one", "sleep 0.3", required=True).node("two", WAITS, when="wanted").run("wanted:=false")
    assert status == 0 and not system.pids("two")


WHICH = 'case "$*" in *__ns:=/arm1*) n=1;; *) n=2;; esac; '


def test_up_arm_that_finishes_is_over_and_the_others_go_on_to_their_own_end(system: System) -> None:
    until = f"[ $n = 2 ] && while [ ! -e {system.folder}/enough ]; do sleep 0.02; done; exit 0"
    system.node("lead", WHICH + until, required=True, per_arm=True)
    system.node("other", WHICH + f"echo $$ > {system.folder}/other$n.pid; {STUBBORN}", per_arm=True)
    system.node("shared", WAITS)
    runner = system.start()
    system.wait_for("other1", "other2", "shared")
    (first,), (second,), (shared,) = (system.pids(name) for name in ("other1", "other2", "shared"))
    wait_until(lambda: not alive(first), 5.0)
    assert alive(second) and alive(shared)
    (system.folder / "enough").touch()
    output, _ = runner.communicate(timeout=10)
    assert runner.returncode == 0
    assert "arm1/lead has finished: arm1 is over, arm2 goes on" in output
    assert not [pid for pid in system.all_pids() if alive(pid)]


def test_up_arm_that_dies_is_over_without_a_restart_and_the_status_tells_at_the_end(system: System) -> None:
    until = f"[ $n = 1 ] && exit 3; while [ ! -e {system.folder}/enough ]; do sleep 0.02; done"
    system.node("lead", WHICH + until, required=True, per_arm=True).node("shared", WAITS)
    runner = system.start()
    system.wait_for("lead", "shared")
    time.sleep(1.5)
    (system.folder / "enough").touch()
    output, _ = runner.communicate(timeout=10)
    assert runner.returncode == 1
    assert "arm1/lead has died (exit status 3): arm1 is over, arm2 goes on" in output
    assert len(system.pids("lead")) == 2 and "starting it again" not in output


def test_up_node_that_all_arms_share_can_not_be_kept_alive_run_fails(system: System) -> None:
    system.node("lead", WAITS, required=True, per_arm=True).node("shared", "exit 7")
    status, output = system.run()
    assert status == 1
    assert "shared has died for the 6th time within 60 s (exit status 7): the run is over" in output


def test_up_folder_that_is_used_again_keeps_the_older_configuration(system: System) -> None:
    system.node("one", "true", required=True).run("gain:=2")
    system.run("gain:=3", "run_dir:=runs/latest")
    latest = system.folder / "runs" / "latest"
    gains = [json.loads((latest / f"config{n}.json").read_text())["arguments"]["gain"] for n in ("", "-1")]
    assert gains == [3.0, 2.0]


def test_up_interrupted_everything_is_gone_within_three_seconds(system: System) -> None:
    child = f'sh -c "echo \\$\\$ > {system.folder}/grandchild.pid; {STUBBORN}" &'
    system.node("one", f"{child}\n{WAITS}", required=True).node("two", STUBBORN)
    runner = system.start()
    system.wait_for("one", "two", "grandchild")
    begin = time.monotonic()
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=10)
    assert time.monotonic() - begin < 3.0
    assert runner.returncode == 128 + signal.SIGINT
    assert "interrupted (SIGINT)" in output
    assert "Traceback" not in output
    assert not [pid for pid in system.all_pids() if alive(pid)]


def test_up_node_that_ends_on_interrupt_is_not_waited_for(system: System) -> None:
    runner = system.node("one", WAITS, required=True).node("two", WAITS).start()
    system.wait_for("one", "two")
    begin = time.monotonic()
    runner.send_signal(signal.SIGTERM)
    output, _ = runner.communicate(timeout=10)
    assert time.monotonic() - begin < 1.1  # before the second step of stopping
    assert runner.returncode == 128 + signal.SIGTERM
    assert "starting it again" not in output


def test_up_interrupted_twice_patience_ends(system: System) -> None:
    runner = system.node("one", STUBBORN, required=True).start()
    system.wait_for("one")
    begin = time.monotonic()
    runner.send_signal(signal.SIGINT)
    time.sleep(0.2)
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=10)
    assert time.monotonic() - begin < 1.1
    assert not [pid for pid in system.all_pids() if alive(pid)]


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_up_interrupted_while_starting_leaves_none(system: System, delay_s: float) -> None:
    runner = system.node("one", WAITS, required=True).node("two", WAITS).node("three", WAITS).start()
    time.sleep(delay_s)
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=5)
    assert runner.returncode != 0
    assert not [pid for pid in system.all_pids() if alive(pid)]


def test_up_killed_itself_leaves_no_node_behind(system: System) -> None:
    runner = system.node("one", STUBBORN, required=True).node("two", STUBBORN).start()
    system.wait_for("one", "two")
    runner.kill()
    wait_until(lambda: not [pid for pid in system.all_pids() if alive(pid)], timeout_s=3.0)


def test_up_run_folder_holds_configuration_logs_and_the_link(system: System) -> None:
    script = 'echo "$@"; echo no line end, | tr -d "\\n"; >&2 echo error'
    status, output = system.node("one", script, required=True, parameters=["gain", "run_dir"]).run("gain:=2")
    latest = system.folder / "runs" / "latest"
    assert status == 0
    config = json.loads((latest / "config.json").read_text())
    assert config["arguments"] == {
        **{"gain": 2.0, "wanted": True, "run_dir": str(latest.resolve())},
        **{"arms": 2, "first": 1},
    }
    assert config["versions"]["numpy"]
    assert config["ros"]["ROS_DOMAIN_ID"]
    log = (latest / "log" / "one.log").read_text()
    assert f'--params-file {system.folder}/params.yaml -p gain:=2.0 -p run_dir:="{latest.resolve()}"' in log
    assert "-r __node:=one" in log
    assert "no line end,error" in log
    assert "ROS_DOMAIN_ID=" in output


def test_up_run_folder_of_the_latest_run_can_be_taken_again(system: System) -> None:
    system.node("one", "true", required=True).run()
    first = (system.folder / "runs" / "latest").resolve()
    status, _ = system.run("run_dir:=runs/latest")
    assert status == 0
    assert (system.folder / "runs" / "latest").resolve() == first


def test_up_folder_of_a_system_that_runs_is_not_taken_and_nothing_is_started(system: System) -> None:
    first = system.node("one", WAITS, required=True).start("run_dir:=shared")
    system.wait_for("one")
    status, output = system.run("run_dir:=shared")
    assert status == 1 and len(system.pids("one")) == 1
    assert f"is being written by tdm_ros up, pid {first.pid} on host" in output
    assert "end that run first, or give another run_dir" in output and len(output.splitlines()) == 1
    assert not list((system.folder / "shared").glob("config-*.json"))
    first.kill()
    first.wait()
    third = system.start("run_dir:=shared")
    wait_until(lambda: len(system.pids("one")) == 2)
    third.send_signal(signal.SIGINT)
    third.wait(10)


def test_up_node_whose_folder_another_run_writes_is_not_started_again(system: System) -> None:
    status, output = system.node("one", WAITS, required=True).node("two", "exit 73").run()
    assert status == 1 and len(system.pids("two")) == 1
    assert "two can not write its folder, another run does: the run is over" in output


def test_up_live_lines_without_terminal_one_in_ten_is_printed(system: System) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '\\rlive %s.\\n' $i; done; echo plain"
    status, output = system.node("one", script, required=True).run()
    assert [line for line in output.splitlines() if line.startswith("live")] == ["live 1.", "live 11."]
    assert "one | plain" in output
    assert status == 0


def test_up_chatty_node_does_not_silence_the_others(system: System) -> None:
    system.node("two", "while :; do echo noise; done").node("one", "sleep 0.5; echo heard", required=True)
    status, output = system.run()
    assert status == 0
    assert "one | heard" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gian:=2"], "fake has no argument 'gian'"),
        (["gain:=high"], "gain must be a number, got 'high'"),
    ],
)
def test_up_wrong_argument_is_one_clear_line(system: System, arguments: list[str], words: str) -> None:
    status, output = system.node("one", "true", required=True).run(*arguments)
    assert status == 1
    assert words in output
    assert "Traceback" not in output
    assert not (system.folder / "runs").exists()


def test_up_executable_missing_says_what_to_do(system: System) -> None:
    system.node("one", "true", required=True)
    (system.folder / "lib" / "fake" / "one").unlink()
    status, output = system.run()
    assert status == 1
    assert "lib/fake/one was not found" in output
    assert "make build" in output


def test_up_show_args_lists_every_argument_and_starts_nothing(system: System) -> None:
    status, output = system.node("one", "true", required=True).run("--show-args")
    assert status == 0
    assert "gain:=1.5" in output
    assert "how much" in output
    assert not system.pids("one")


@pytest.mark.parametrize(
    ("name", "value"), [("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET"), ("ROS_STATIC_PEERS", "10.0.0.2")]
)
def test_up_with_other_hosts_let_in_by_the_environment_alone_starts_nothing(
    system: System, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for profile in PROFILES:
        monkeypatch.delenv(profile, raising=False)
    monkeypatch.delenv(RANGE, raising=False)
    monkeypatch.setenv(name, value)
    status, output = system.node("a", "exit 0", required=True).run()
    assert status == 1 and not system.pids("a")
    assert f"{name}={value} would let other hosts discover and command this system" in output
    assert "give network:=subnet" in output and "Traceback" not in output
