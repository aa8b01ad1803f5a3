"""How every node starts and ends: a sentence when it cannot start, status 0 within a second on a signal."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed]

import rclpy  # noqa: E402
from ros_bench import PROGRAM, Bench, bench  # noqa: E402

from tdm_ros.nodes import node_runner  # noqa: E402
from tdm_ros.nodes.parameters import NODES  # noqa: E402
from tdm_ros.tdm.config import TdmConfig  # noqa: E402
from tdm_ros.training.library import TDM  # noqa: E402

THREADS = (
    "import os, sys; from tdm_ros.bringup.starting import start; status = start('{0}'); "
    "names = [open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task')]; "
    "left = {name for name in names if name.startswith('dds')} - {'dds.shm.wdog'}; "
    "print('left:', *left, flush=True); sys.exit(status)"
)
"""Does what the node's executable does, and prints the threads that its participant has left; one is the library's."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("name", [name for name in NODES if name != "teleop_keyboard"])  # which needs a terminal
def test_node_signalled_while_it_runs_ends_with_zero_within_a_second(
    made: Bench, name: str, number: signal.Signals
) -> None:
    """A thread of DDS that is left runs while the process exits, which crashed a node."""
    made.start(name, program=THREADS)
    made.until(lambda: name in made.diagnostics, 40)
    status, took_s = made.stop(name, number)
    assert status == 0, made.output(name)
    assert took_s < 1.0
    assert "Traceback" not in made.output(name)
    assert made.output(name).endswith("left:\n")


COLLECTING = """
import gc, sys
import tdm_ros.nodes.arm as arm
configure, step = arm.ArmNode.configure, arm.ArmNode.step
def configured(node):
    configure(node)
    gc.callbacks.append(noted)
def noted(phase, info):
    if info["generation"] == 2 and not gc.get_freeze_count():
        print("collects all", flush=True)
def begun(node, executor):
    print("the loop begins", flush=True)
    arm.ArmNode.step = step
    step(node, executor)
arm.ArmNode.configure, arm.ArmNode.step = configured, begun
from tdm_ros.bringup.starting import start
sys.exit(start("arm"))
"""


def test_node_that_is_configured_visits_all_objects_of_the_start_no_more(made: Bench) -> None:
    """The watchdog of the arm has a deadline then, and a collection stops all threads for 0.1 s and more."""
    made.start("arm", program=COLLECTING)
    made.until(lambda: "the loop begins" in made.output("arm"), 40)
    assert "collects all" not in made.output("arm")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_node_signalled_while_it_looks_for_the_reader_ends(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The check comes each second, as the diagnostics do; a signal within it was lost."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        stop = node_runner.StopSignal()
        stop.starting = False

        def signalled() -> bool:
            signal.raise_signal(number)
            return False

        monkeypatch.setattr(node_runner, "reader_has_ended", signalled)
        stop.look_for_the_reader()
        assert stop.requested
    finally:
        for n, handler in kept.items():
            signal.signal(n, handler)


@pytest.mark.parametrize("delay_s", [0.35, 0.5, 0.7])
def test_trainer_signalled_while_it_starts_leaves_no_traceback(made: Bench, delay_s: float) -> None:
    made.start("trainer")
    time.sleep(delay_s)
    _, took_s = made.stop("trainer", signal.SIGTERM)
    assert took_s < 1.5
    assert "RCLError" not in made.output("trainer")


def test_trainer_does_not_save_over_the_experience_of_a_run_without_ros(tmp_path: Path) -> None:
    config = TdmConfig(hidden_size=16, batch_size=8, learning_starts=50, initial_gradient_steps=2)
    TDM("sawyer_reach", config).learn(60).save(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoint").iterdir()}
    with bench(tmp_path) as made:
        assert made.start("trainer").wait(30) == 1
        assert "is of a run without ROS, which keeps its experience there" in made.output("trainer")
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoint").iterdir()} == before


def test_node_whole_number_for_a_float_parameter_is_accepted(made: Bench) -> None:
    made.start("supervisor", duration_min=2)
    made.until(lambda: "supervisor" in made.diagnostics)


def humble(folder: Path) -> dict[str, str]:
    """The environment of a terminal in which a ROS 2 of another Python is sourced."""
    place = folder / "humble" / "lib" / "python3.5" / "site-packages"
    shutil.copytree(Path(rclpy.__file__).parent, place / "rclpy")
    for path in (place / "rclpy").glob("*.so"):
        path.rename(path.with_name(path.name.replace(f"cpython-{sys.version_info[0]}", "cpython-9")))
    return {"PYTHONPATH": f"{place}:{Path(__file__).parents[1]}", "ROS_DISTRO": "humble"}


@pytest.mark.parametrize(
    ("node", "environment", "words"),
    [
        ("policy", {"ROS_DOMAIN_ID": "abc"}, "ROS_DOMAIN_ID must be a whole number in [0, 232], got 'abc'"),
        ("policy", {"ROS_DOMAIN_ID": "5x"}, "got '5x': export another, or unset it"),
        ("policy", {"ROS_DOMAIN_ID": "233"}, "got '233'"),
        ("policy", {"RMW_IMPLEMENTATION": "rmw_foo_cpp"}, "apt install ros-$ROS_DISTRO-rmw-foo-cpp"),
        ("policy", {"HOME": "/proc/none", "ROS_LOG_DIR": ""}, "set ROS_LOG_DIR to a folder that you may write"),
        ("policy", {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}, "See ROS_*"),
        ("policy", {"PYTHONPATH": "humble"}, "the ROS 2 that is sourced (humble) is for another Python"),
        ("arm", {"MUJOCO_GL": "somewhere"}, "unset MUJOCO_GL, which only pictures need"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(f"{key}={text}" for key, text in value.items()),
)
def test_node_that_can_not_start_says_in_a_sentence_what_to_do(
    made: Bench, tmp_path: Path, node: str, environment: dict[str, str], words: str
) -> None:
    if environment.get("PYTHONPATH") == "humble":
        environment = humble(tmp_path)
    assert made.start(node, environment).wait(40) == 1, made.output(node)
    assert words in made.output(node)
    assert "Traceback" not in made.output(node)


@pytest.mark.parametrize("module", ["rclpy", "torch", "mujoco", "tdm_ros.msg"])
def test_node_without_a_package_says_where_it_comes_from(tmp_path: Path, module: str) -> None:
    """Where the package is missing, Python says so in the same way as for a module that is blocked."""
    node = {"torch": "trainer", "mujoco": "arm"}.get(module, "policy")
    block = f"import sys; sys.modules[{module!r}] = None; "
    program = [sys.executable, "-c", block + PROGRAM.format(node), "--ros-args", "-p", f"run_dir:={tmp_path}"]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    remedy = {"rclpy": "source ROS 2's setup.bash", "tdm_ros.msg": "colcon build"}.get(module, "pip install -r require")
    assert module in ran.stderr and remedy in ran.stderr


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """A pipe that holds what it can, and that nobody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x")
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("name", [name for name in NODES if name != "teleop_keyboard"])
def test_node_whose_output_nobody_reads_works_and_ends_on_a_signal(made: Bench, full_pipe: int, name: str) -> None:
    environment = {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"], "RCUTILS_LOGGING_BUFFERED_STREAM": "0"}
    made.start(name, environment, full_pipe)
    made.until(lambda: name in made.diagnostics, 40)
    seen = made.diagnostics.pop(name)  # and again: what it prints each second did not stop it
    made.until(lambda: name in made.diagnostics, 5)
    assert seen
    status, took_s = made.stop(name)
    assert status == 0 and took_s < 1.0


def test_node_does_not_change_the_pipe_for_others(made: Bench, full_pipe: int) -> None:
    made.start("policy", out=full_pipe)
    made.until(lambda: "policy" in made.diagnostics, 40)
    assert os.get_blocking(full_pipe), "the shell that has the same terminal would read and write in another way"


@pytest.mark.parametrize("name", ["supervisor", "arm"])
def test_node_whose_reader_has_ended_ends_too(made: Bench, tmp_path: Path, name: str) -> None:
    """Be it one that prints each second, or never: nobody supervises it any more."""
    reader, writer = os.pipe()
    process = made.start(name, out=writer)
    os.close(writer)
    made.until(lambda: name in made.diagnostics, 40)
    os.close(reader)
    made.until(lambda: process.poll() is not None, 10)
    assert process.returncode == 0 and (name == "arm" or (tmp_path / "summary.json").exists())


def test_node_under_nohup_does_not_end_with_its_terminal(tmp_path: Path) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with bench(tmp_path) as made:
            process = made.start("policy")
            made.until(lambda: "policy" in made.diagnostics, 40)
            process.send_signal(signal.SIGHUP)
            del made.diagnostics["policy"]
            made.until(lambda: "policy" in made.diagnostics, 5)
            assert process.poll() is None
    finally:
        signal.signal(signal.SIGHUP, previous)
