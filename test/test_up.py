"""`tdm_ros up` with real processes: small shell scripts stand for the nodes of a system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tdm_ros.bringup.environment import PROFILES, RANGE

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

    def start(
        self, *arguments: str, before: Sequence[str] = (), ignored: Sequence[int] = (), **environment: str
    ) -> subprocess.Popen[str]:
        """Start the runner, with its output in a pipe, after the words of another command, with signals ignored."""
        table = ["description: fake", "params_file: params.yaml", "arguments:"]
        table += [
            "  run_dir: {default: '', description: where}",
            "  gain: {default: 1.5, description: how much}",
            "  wanted: {default: true, description: whether some start}",
            "  arms: {default: 2, description: how many}",
            "  first: {default: 1, description: which}",
            "  real_time: {default: 0, minimum: 0, maximum: 99, description: a priority}",
            "  params: {default: '', description: a file}",
            "  namespace: {default: '', description: a namespace}",
            "  use_sim_time: {default: false, description: whether the time is simulated}",
            "  log_level: {default: info, description: a severity}",
        ]
        table += ["nodes:", *(f"  {name}: {fields}" for name, fields in self.nodes.items())]
        path = self.folder / "fake.system.yaml"
        path.write_text("\n".join(table))
        env = os.environ | {"AMENT_PREFIX_PATH": str(self.folder), "PYTHONPATH": str(ROOT)} | environment
        self.runner = subprocess.Popen(
            [*before, sys.executable, "-m", "tdm_ros", "up", str(path), *arguments],
            preexec_fn=lambda: [signal.signal(number, signal.SIG_IGN) for number in ignored],
            cwd=self.folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self.runner

    def run(self, *arguments: str, **more: Any) -> tuple[int, str]:
        runner = self.start(*arguments, **more)
        output, _ = runner.communicate(timeout=30)
        return runner.returncode, output

    def pids(self, name: str) -> list[int]:
        path = self.folder / f"{name}.pid"
        return [int(text) for text in path.read_text().split()] if path.exists() else []

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: all(self.pids(name) for name in names))

    def all_pids(self) -> list[int]:
        """Return every process id that a node, or a child of one, has left in a file."""
        return [int(text) for path in self.folder.glob("*.pid") for text in path.read_text().split()]

    def stop(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 10) -> tuple[str, float]:
        """Send a signal to the runner; return its output and the time until its end [s]. No node is left then."""
        assert self.runner is not None
        begin_s = time.monotonic()
        self.runner.send_signal(number)
        output, _ = self.runner.communicate(timeout=timeout_s)
        took_s = time.monotonic() - begin_s
        assert not [pid for pid in self.all_pids() if alive(pid)]
        return output, took_s

    def started(self, *names: str, **more: Any) -> subprocess.Popen[str]:
        runner = self.start(**more)
        self.wait_for(*names)
        return runner


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
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


@pytest.mark.parametrize(
    ("script", "failed", "words"),
    [
        ("exit 0", 0, "one has finished"),
        ("exit 3", 1, "one has died (exit status 3): the run is over"),
        ("kill -SEGV $$", 1, "one has died (killed by SIGSEGV): the run is over"),
    ],
)
def test_up_ends_with_its_required_node_and_none_is_left(system: System, script: str, failed: int, words: str) -> None:
    status, output = system.node("one", f"echo hello; {script}", required=True).node("two", WAITS).run()
    assert status == failed and "one | hello" in output and words in output
    assert output.splitlines()[-1].startswith("run folder: runs/")
    assert not [pid for pid in system.all_pids() if alive(pid)]


def test_up_other_node_dies_it_is_started_again(system: System) -> None:
    again = f"[ $(wc -l < {system.folder}/two.pid) -ge 2 ] && touch {system.folder}/again; exit 1"
    until = f"while [ ! -e {system.folder}/again ]; do sleep 0.02; done"
    status, output = system.node("one", until, required=True).node("two", again).run()
    assert status == 0 and len(system.pids("two")) == 2
    assert "two has died (exit status 1): starting it again in 1 s" in output


OFTEN = "has died for the 6th time within 60 s (exit status 7)"


@pytest.mark.parametrize("per_arm", [False, True], ids=["one arm", "shared by all arms"])
def test_up_other_node_dies_again_and_again_run_fails(system: System, per_arm: bool) -> None:
    status, output = system.node("one", WAITS, required=True, per_arm=per_arm).node("two", "exit 7").run()
    assert status == 1 and f"two {OFTEN}: the run is over" in output and len(system.pids("two")) == 6


def test_up_optional_node_dies_again_and_again_the_others_continue(system: System) -> None:
    until = f"while [ $(cat {system.folder}/two.pid 2>/dev/null | wc -l) -lt 6 ]; do sleep 0.02; done; sleep 1.5"
    status, output = system.node("one", until, required=True).node("two", "exit 7", when="wanted").run()
    assert status == 0 and f"two {OFTEN}: the others continue without it" in output and len(system.pids("two")) == 6


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
    assert runner.returncode == 0 and "arm1/lead has finished: arm1 is over, arm2 continues" in output
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
    assert "arm1/lead has died (exit status 3): arm1 is over, arm2 continues" in output
    assert len(system.pids("lead")) == 2 and "starting it again" not in output


def test_up_folder_of_the_latest_run_can_be_used_again_and_keeps_the_older_configuration(system: System) -> None:
    system.node("one", "true", required=True).run("gain:=2")
    latest = system.folder / "runs" / "latest"
    first = latest.resolve()
    status, _ = system.run("gain:=3", "run_dir:=runs/latest")
    gains = [json.loads((latest / f"config{n}.json").read_text())["arguments"]["gain"] for n in ("", "-1")]
    assert status == 0 and gains == [3.0, 2.0] and latest.resolve() == first


def test_up_interrupted_everything_ends_within_three_seconds(system: System) -> None:
    child = f'sh -c "echo \\$\\$ > {system.folder}/grandchild.pid; {STUBBORN}" &'
    system.node("one", f"{child}\n{WAITS}", required=True).node("two", STUBBORN)
    runner = system.started("one", "two", "grandchild")
    output, took_s = system.stop()
    assert took_s < 3.0 and runner.returncode == 128 + signal.SIGINT
    assert "interrupted (SIGINT)" in output and "Traceback" not in output


def test_up_node_that_ends_on_the_first_signal_is_not_waited_for(system: System) -> None:
    runner = system.node("one", WAITS, required=True).node("two", WAITS).started("one", "two")
    output, took_s = system.stop(signal.SIGTERM)
    assert took_s < 1.1, "before it is killed"
    assert runner.returncode == 128 + signal.SIGTERM and "starting it again" not in output


def test_up_interrupted_while_the_python_of_a_node_starts_prints_no_traceback(system: System) -> None:
    """The interpreter, and its own imports, run before any signal handler of the node is set."""
    begins = f"import pathlib, time; pathlib.Path('{system.folder}/begun').touch(); time.sleep(60)"
    runner = system.node("one", f'exec {sys.executable} -c "{begins}"', required=True).start()
    wait_until((system.folder / "begun").exists)
    output, _ = system.stop()
    assert runner.returncode == 130 and "Traceback" not in output


def test_up_interrupted_twice_nodes_are_killed(system: System) -> None:
    runner = system.node("one", STUBBORN, required=True).started("one")
    runner.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert system.stop()[1] < 0.9


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_up_interrupted_while_starting_leaves_none(system: System, delay_s: float) -> None:
    runner = system.node("one", WAITS, required=True).node("two", WAITS).node("three", WAITS).start()
    time.sleep(delay_s)
    system.stop(timeout_s=5)
    assert runner.returncode != 0


SWALLOWS = """
import os, signal, sys
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    pass
sys.path.remove({folder!r})
del sys.modules["yaml"]
import yaml
"""
"""A module whose import is interrupted and swallows that, as extensions in C do; then it is the real one."""


def test_up_interrupted_in_an_import_that_swallows_it_ends_without_a_traceback(system: System) -> None:
    modules = system.folder / "modules"
    modules.mkdir()
    (modules / "yaml.py").write_text(SWALLOWS.format(folder=str(modules)))
    status, output = system.node("one", WAITS, required=True).run(PYTHONPATH=f"{modules}:{ROOT}")
    assert status == -signal.SIGINT and "Traceback" not in output
    assert not system.pids("one")


def test_up_interrupted_during_the_check_before_the_start_ends_without_a_traceback(system: System) -> None:
    """The check is another program, which is ended, too."""
    python = system.folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho $$ > {system.folder}/check.pid\nexec sleep 60\n")
    python.chmod(0o755)
    path = os.pathsep.join([str(python.parent), str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
    system.node("one", WAITS, required=True, package="tdm_ros", executable="arm")
    runner = system.start(PATH=path)
    wait_until(lambda: bool(system.pids("check")), 20)
    assert system.stop()[0] == "" and runner.returncode == 130


def test_up_interrupted_while_the_check_is_being_started_leaves_none_behind() -> None:
    """Within the constructor of the process an interrupt would leave a process that nobody knows."""
    program = (
        "import os, signal, subprocess\n"
        "from tdm_ros.bringup.starting import check_start\n"
        "start = subprocess.Popen._execute_child\n"
        "def start_and_interrupt(self, *args):\n"
        "    start(self, *args)\n"
        "    print(self.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "subprocess.Popen._execute_child = start_and_interrupt\n"
        "check_start({**os.environ}, {'/arm': 'arm'}, [])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.returncode == -signal.SIGINT and "KeyboardInterrupt" in ran.stderr
    assert not alive(int(ran.stdout))


FLOOD = "while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_up_whose_output_nobody_reads_stops_everything(system: System, number: signal.Signals) -> None:
    runner = system.node("one", WAITS, required=True).node("two", FLOOD).start()
    system.wait_for("one", "two")
    log = system.folder / "runs" / "latest" / "log" / "two.log"
    wait_until(lambda: log.exists() and log.stat().st_size > 300_000)  # four times what a pipe holds
    runner.send_signal(number)
    assert runner.wait(timeout=10) == 128 + number
    assert not [pid for pid in system.all_pids() if alive(pid)]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_up_whose_output_is_closed_runs_and_keeps_the_logs(system: System, closed: str) -> None:
    status, _ = system.node("one", "echo hello", required=True).run(before=["sh", "-c", f'exec "$@" {closed}', "sh"])
    logs = system.folder / "runs" / "latest" / "log"
    assert status == 0 and (logs / "one.log").read_text() == "hello\n"
    assert "one has finished" in (logs / "system.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["nohup", "in the background"])
def test_up_that_is_to_ignore_a_signal_goes_on_as_after_ctrl_z_and_still_stops_its_nodes(
    system: System, number: signal.Signals
) -> None:
    runner = system.node("one", WAITS, required=True).node("two", WAITS).started("one", "two", ignored=[number])
    runner.send_signal(number)
    assert runner.stdout is not None
    for _ in range(2):  # its loop has been through since
        runner.send_signal(signal.SIGTSTP)
        said = next(line for line in runner.stdout if "suspended" in line)
        assert "not suspended, because the arm would continue" in said and "Ctrl-C stops the run" in said
    assert runner.poll() is None and all(map(alive, system.all_pids()))
    output, _ = system.stop(signal.SIGTERM)
    assert runner.returncode == 128 + signal.SIGTERM and f"interrupted ({number.name})" not in output
    assert "to write files" not in output, "nodes end on the first signal"


def test_up_node_that_writes_its_files_has_the_time_for_it(system: System) -> None:
    """As the supervisor after hours, or the trainer; the others have 2.2 s."""
    slow = f"trap 'sleep 3; touch {system.folder}/written; exit 0' TERM; {WAITS}"
    stuck = f"trap 'sleep 3; touch {system.folder}/stuck; exit 0' TERM; {WAITS}"
    system.node("one", slow, required=True, stop_s=20).node("two", stuck).started("one", "two")
    output, _ = system.stop(timeout_s=20)
    assert (system.folder / "written").exists() and not (system.folder / "stuck").exists()
    assert "up to 20 s for one to write files; Ctrl-C again kills them" in output


def may_have_priorities() -> bool:
    return subprocess.run(["chrt", "--rr", "5", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_have_priorities(), reason="this user may not have real-time priorities")
@pytest.mark.parametrize(("before", "argument"), [([], 7), (["chrt", "--rr", "5"], 7), (["chrt", "--fifo", "5"], 0)])
def test_up_real_time_priority_is_that_of_the_named_nodes_alone(
    system: System, before: list[str], argument: int
) -> None:
    script = f"chrt -p $$ > {system.folder}/$(basename $0).class; {WAITS}"
    system.node("one", script, required=True, priority="real_time").node("two", script)
    system.start(f"real_time:={argument}", before=before)
    system.wait_for("one", "two")
    texts = {}
    for name in ("one", "two"):
        path = system.folder / f"{name}.class"
        wait_until(lambda path=path: path.exists() and "priority:" in path.read_text())
        texts[name] = path.read_text()
    system.stop()
    wanted = ("SCHED_RR", "priority: 7") if argument else ("SCHED_OTHER", "priority: 0")
    assert all(word in texts["one"] for word in wanted) and "SCHED_OTHER" in texts["two"]


def test_up_real_time_priority_that_is_rejected_says_what_to_do(system: System) -> None:
    dropped = ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice", "prlimit", "--rtprio=0"]
    if os.geteuid():  # without the right to begin with
        dropped = ["prlimit", "--rtprio=0"]
    system.node("one", WAITS, required=True, priority="real_time")
    status, output = system.run("real_time:=7", before=dropped)
    assert status == 1 and "real_time:=7 was rejected" in output and "/etc/security/limits.conf" in output
    assert not (system.folder / "runs").exists()


REAL = {"package": "tdm_ros", "executable": "policy"}


@pytest.mark.ros
@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        # The node camera is of another package: its parameters are its own.
        ("/camera: {ros__parameters: {a: 1}}\n/arm: {ros__parameters: {a: 1}}\n", {}, "arm has no parameter a"),
        ("policy: [\n", {}, "own.yaml, line"),
        ("policy:\n  ros__parameters:\n    a: 1\n   b: 2\n", {}, "own.yaml, line 4: this is not YAML"),
        ("policy:\n  ros_parameters:\n    seed: 3\n", {}, "line 3: Cannot have a value before ros__parameters"),
        ("policy:\n  ros__parameters:\n    seeds: [1, 2.0]\n", {}, "line 3: an array has numbers of one type"),
        ("", {"ROS_DOMAIN_ID": "abc"}, "ROS_DOMAIN_ID must be a whole number in [0, 232], got 'abc'"),
        ("", {"RMW_IMPLEMENTATION": "rmw_foo_cpp"}, "RMW_IMPLEMENTATION=rmw_foo_cpp is not installed"),
        ("", {"MUJOCO_GL": "somewhere"}, "MUJOCO_GL=somewhere cannot be used"),
        ("", {"PYTHONPATH": f"FOLDER:{ROOT}"}, "find mujoco, torch: in a checkout of tdm_ros, python3 -m pip install"),
    ],
)
def test_up_with_what_no_node_can_start_with_says_so_before_anything_is_started(
    system: System, text: str, environment: dict[str, str], words: str
) -> None:
    (system.folder / "own.yaml").write_text(text)
    (system.folder / "sitecustomize.py").write_text("import sys\nsys.modules.update(torch=None, mujoco=None)\n")
    system.node("arm", "true", required=True, package="tdm_ros", executable="arm").node("camera", WAITS)
    system.node("trainer", "true", package="tdm_ros", executable="trainer")
    environment = {name: value.replace("FOLDER", str(system.folder)) for name, value in environment.items()}
    status, output = system.run("params:=own.yaml", **environment)
    assert status == 1 and words in output and "Traceback" not in output
    assert len(output.splitlines()) == 1 and not (system.folder / "runs").exists()


@pytest.mark.ros
@pytest.mark.timeout(90)
def test_up_with_a_sourced_ros_of_another_python_and_without_a_writable_home_runs_on_its_own(system: System) -> None:
    import rclpy

    place = system.folder / "humble" / "lib" / "python3.5" / "site-packages"
    shutil.copytree(Path(rclpy.__file__).parent, place / "rclpy", ignore=shutil.ignore_patterns("*.so"))
    sourced = {"AMENT_PREFIX_PATH": f"{system.folder / 'humble'}:{system.folder}", "PYTHONPATH": f"{place}:{ROOT}"}
    system.node("policy", "true", required=True, **REAL).start(**sourced, HOME="/proc/none")
    logs = system.folder / "runs" / "latest" / "log" / "ros"
    wait_until(lambda: logs.is_dir() and any(logs.iterdir()), 60)
    output = system.stop()[0]
    assert f"the ROS 2 in {system.folder / 'humble'}, which is sourced, is for another Python" in output
    assert "cannot" not in output and "Traceback" not in output


@pytest.mark.ros
def test_up_with_another_checkout_sourced_does_not_mix_the_two(system: System) -> None:
    other = system.folder / "other"
    (other / "lib" / "tdm_ros").mkdir(parents=True)
    (other / "lib" / "tdm_ros" / "policy").write_text("#!/bin/sh\n")
    status, output = system.node("policy", "true", required=True, **REAL).run(AMENT_PREFIX_PATH=str(other))
    assert status == 1 and f"tdm_ros of {other} is sourced, this program is of {sys.prefix}" in output
    assert not (system.folder / "runs").exists()


@pytest.mark.ros
def test_up_of_the_checkout_that_is_sourced_runs_by_whichever_python(system: System) -> None:
    """As after `colcon build` in a terminal where a virtual environment with a tdm_ros of its own is active."""
    place = system.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    place.mkdir(parents=True)
    (place / "tdm_ros").symlink_to(ROOT / "tdm_ros")
    (system.folder / "lib" / "tdm_ros").symlink_to("fake")
    status, output = system.node("one", "true", required=True, package="tdm_ros").run(PYTHONPATH=str(place))
    assert status == 0, output
    assert f"tdm_ros of {system.folder} is sourced and runs, not that of {sys.prefix}" in output


def test_up_from_a_wheel_says_that_messages_and_nodes_are_built_with_colcon(tmp_path: Path) -> None:
    """A virtual environment without ROS 2's wheels, and our modules where Python finds them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(packages)}
    command = [tmp_path / "venv" / "bin" / "python", "-m", "tdm_ros", "up", "sawyer_reach"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 1
    assert "(AMENT_PREFIX_PATH names no install prefix)" in ran.stderr
    assert "built with colcon and are in no wheel" in ran.stderr and "`make build`" in ran.stderr


def test_up_where_the_present_folder_can_not_be_written_records_in_the_one_that_is_given(system: System) -> None:
    """As a system service; /proc lets nobody make a folder, root included."""
    before = ["sh", "-c", 'cd /proc && exec "$@"', "sh"]
    system.node("one", "true", required=True)
    status, output = system.run(f"run_dir:={system.folder}/mine", before=before)
    assert status == 0 and (system.folder / "mine" / "config.json").exists(), output
    status, output = system.run(before=before)
    assert status == 1 and len(output.splitlines()) == 1
    assert "the run cannot be recorded" in output and "give run_dir:=<folder>" in output


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
        **{"arms": 2, "first": 1, "real_time": 0, "params": ""},
        **{"namespace": "", "use_sim_time": False, "log_level": "info"},
    }
    assert config["versions"]["numpy"]
    log = (latest / "log" / "one.log").read_text()
    assert f'--params-file {system.folder}/params.yaml -p gain:=2.0 -p run_dir:="{latest.resolve()}"' in log
    assert "-r __node:=one" in log and "no line end,error" in log
    domain = config["ros"]["ROS_DOMAIN_ID"]
    assert f"export ROS_DOMAIN_ID={domain} {RANGE}={os.environ.get(RANGE, 'LOCALHOST')}" in output.splitlines()


def test_up_domain_home_and_the_common_arguments_reach_the_nodes(system: System) -> None:
    """The stand-in's table has the arguments that every system has."""
    (system.folder / "own.yaml").write_text("/**:\n  ros__parameters: {}\n")
    system.node("one", 'echo "$@"; echo domain $ROS_DOMAIN_ID', required=True)
    given = ("namespace:=/left/", "use_sim_time:=true", "log_level:=warn", "run_dir:=~/mine", "params:=~/own.yaml")
    status, output = system.run(*given, ROS_DOMAIN_ID="42", HOME=str(system.folder))
    assert status == 0 and "export ROS_DOMAIN_ID=42 " in output and "one | domain 42" in output
    for words in ("-r __ns:=/left", "-p use_sim_time:=true", "--log-level warn", f"{system.folder}/own.yaml"):
        assert words in output
    assert (system.folder / "mine" / "config.json").exists() and not (system.folder / "~").exists()


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
    assert "two cannot write its folder, another run does: the run is over" in output


def test_up_live_lines_without_terminal_one_in_ten_is_printed(system: System) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '\\rlive %s.\\n' $i; done; echo plain"
    status, output = system.node("one", script, required=True).run()
    assert [line for line in output.splitlines() if line.startswith("live")] == ["live 1.", "live 11."]
    assert status == 0 and "one | plain" in output


def test_up_chatty_node_does_not_silence_the_others(system: System) -> None:
    system.node("two", "while :; do echo noise; done").node("one", "sleep 0.5; echo heard", required=True)
    status, output = system.run()
    assert status == 0 and "one | heard" in output


def test_up_that_can_not_start_says_why_in_one_line_and_records_nothing(system: System) -> None:
    system.node("one", "true", required=True)
    for argument, words in (("gian:=2", "fake has no argument 'gian'"), ("gain:=high", "gain must be a number, got")):
        status, output = system.run(argument)
        assert status == 1 and words in output and len(output.splitlines()) == 1
    (system.folder / "lib" / "fake" / "one").unlink()
    status, output = system.run()
    assert status == 1 and "lib/fake/one was not found" in output and "make build" in output
    assert not (system.folder / "runs").exists()


def test_up_show_args_lists_every_argument_and_starts_nothing(system: System) -> None:
    status, output = system.node("one", "true", required=True).run("--show-args")
    assert status == 0 and "gain:=1.5" in output and "how much" in output and not system.pids("one")


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
