"""Every node ends with status 0 on SIGINT and SIGTERM, within a second, at any moment."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from ros_bench import bench  # noqa: E402

from tdm_ros.nodes.parameters import NODES  # noqa: E402
from tdm_ros.tdm.config import TdmConfig  # noqa: E402
from tdm_ros.training.library import TDM  # noqa: E402


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("name", [name for name in NODES if name != "teleop_keyboard"])  # which needs a terminal
def test_node_signalled_while_it_runs_ends_with_zero_within_a_second(
    tmp_path: Path, name: str, number: signal.Signals
) -> None:
    with bench(tmp_path) as made:
        made.start(name, **({"run_dir": tmp_path} if name in ("supervisor", "collector", "trainer", "planner") else {}))
        if name == "arm":
            made.spin(2.0)
        else:
            made.until(lambda: name in made.diagnostics, 40)
        status, took_s = made.stop(name, number)
        assert status == 0, made.output(name)
        assert took_s < 1.0
        assert "Traceback" not in made.output(name)


@pytest.mark.parametrize("delay_s", [0.35, 0.5, 0.7])
def test_trainer_signalled_while_it_starts_leaves_no_traceback(tmp_path: Path, delay_s: float) -> None:
    with bench(tmp_path) as made:
        made.start("trainer", run_dir=tmp_path)
        time.sleep(delay_s)
        _, took_s = made.stop("trainer", signal.SIGTERM)
        assert took_s < 1.5
        assert "RCLError" not in made.output("trainer")


def test_trainer_does_not_save_over_the_experience_of_a_run_without_ros(tmp_path: Path) -> None:
    config = TdmConfig(hidden=16, batch_size=8, random_steps=50, catch_up_updates=2)
    TDM("sawyer_reach", config).learn(60).save(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoint").iterdir()}
    with bench(tmp_path) as made:
        assert made.start("trainer", run_dir=tmp_path).wait(30) == 1
        assert "is of a run without ROS, which keeps its experience there" in made.output("trainer")
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoint").iterdir()} == before


def test_node_parameter_out_of_range_ends_with_a_sentence(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        process = made.start("arm", actuation="telekinesis")
        assert process.wait(20) == 1
        assert "arm.actuation must be one of velocity, torque" in made.output("arm")


def test_node_whole_number_for_a_float_parameter_is_accepted(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.start("supervisor", run_dir=tmp_path, duration_min=2)
        made.until(lambda: "supervisor" in made.diagnostics)
