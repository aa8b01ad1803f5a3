"""The benchmark of the load: what counts as motion on a stale command, and its tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed]

from benchmarks.load import timeout_s  # noqa: E402
from benchmarks.load_node import WARM_S, Record, substeps_of  # noqa: E402
from benchmarks.load_report import draw, markdown, sizes_markdown  # noqa: E402
from benchmarks.load_sizes import task_of  # noqa: E402
from benchmarks.trial import write_json  # noqa: E402
from tdm_ros.control.arm_modes import ArmMode  # noqa: E402

PERIOD_S, TIMEOUT_S = 0.05, 0.1


class Control:
    """Stands in for the control of an arm that moves as it is told here, whatever it received."""

    def __init__(self) -> None:
        self.mode, self.follows, self.q_rad = ArmMode.POLICY, True, np.zeros(2)

    def receive(self, command: Any, now_s: float) -> str:
        return ""

    def tick(self, now_s: float) -> Any:
        self.q_rad = self.q_rad + (0.01 if self.follows else 0.0)
        action = np.full(2, float(self.follows))
        return SimpleNamespace(expected=True, answered=True, executed=SimpleNamespace(action=action))

    def reading(self) -> Any:
        return SimpleNamespace(q_rad=self.q_rad)


def recorded(last_command_s: float, holds_s: float = np.inf, age_s: float = 0.01, seconds: float = 4.0) -> Any:
    """Result of cycles with a command in each until one time, from an arm that holds from another time on."""
    control = Control()
    record = Record(control, TIMEOUT_S, PERIOD_S)
    for number in range(round(seconds / PERIOD_S)):
        now_s = 1e9 + number * PERIOD_S
        if number * PERIOD_S <= last_command_s:
            control.receive(SimpleNamespace(age_s=age_s), now_s + 0.001)
        control.follows = number * PERIOD_S < holds_s
        control.tick(now_s + PERIOD_S)
    return record.result()


def test_arm_with_a_command_in_each_cycle_never_moves_on_a_stale_one() -> None:
    found = recorded(np.inf)
    assert found["stale"] == 0 and found["followed"] == found["cycles"] == found["answered"] > 30
    assert found["age_in_execution_s"]["most"] == pytest.approx(0.059, abs=1e-3)


def test_arm_that_holds_at_the_deadline_of_its_last_command_does_not_move_on_a_stale_one() -> None:
    assert recorded(WARM_S + 1, WARM_S + 1 + TIMEOUT_S + PERIOD_S)["stale"] == 0


def test_arm_that_moves_on_after_the_deadline_is_counted() -> None:
    found = recorded(WARM_S + 1)
    assert found["stale"] >= 10


def test_arm_that_follows_commands_for_states_that_are_too_old_is_counted() -> None:
    assert recorded(np.inf, age_s=0.3)["stale"] > 30


@pytest.mark.parametrize(("rate_hz", "steps", "deadline_s"), [(20, 25, 0.1), (100, 5, 0.05), (500, 1, 0.05)])
def test_rate_sets_the_steps_of_a_cycle_and_the_deadline(rate_hz: float, steps: int, deadline_s: float) -> None:
    assert substeps_of(rate_hz) == steps and timeout_s(rate_hz) == pytest.approx(deadline_s)


def test_task_of_another_size_has_so_many_numbers() -> None:
    assert task_of(1000).observation.size == 1000 and task_of(17).observation.names[0] != "number_0"


def test_tables_and_picture_of_a_point(tmp_path: Path) -> None:
    each = recorded(np.inf)
    sums = {key: each[key] for key in ("cycles", "answered", "late", "held", "followed", "stale")}
    used = {"arm": 0.5, "policy": 0.25}
    write_json(
        tmp_path / "load-1-20.json",
        {
            "arms": 1,
            "rate_hz": 20.0,
            "timeout_s": 0.1,
            "used_processors": used,
            "machine_busy": 0.4,
            "each": [each],
            **sums,
        },
    )
    size = {"size": 17, "bytes": 300, "written_per_s": 6000.0, "stored_per_s": 8000.0, "lost": 0}
    write_json(tmp_path / "size-17.json", size)
    assert "| 1 | 20 Hz | 100.0 % | 20.0 | 0.0 % |" in markdown(tmp_path)
    assert "| 17 | 300 | 6000 | 8000 | 1.00, 1.00 | 300, 400 | 0 |" in sizes_markdown(tmp_path)
    draw(tmp_path, tmp_path / "load.png")
    assert (tmp_path / "load.png").stat().st_size > 1000


def test_fingerprint_of_a_task_is_computed_once() -> None:
    """It was computed for each message, which was three quarters of the processor time to log a transition."""
    task = task_of(1000)
    assert task.fingerprint is task.fingerprint
