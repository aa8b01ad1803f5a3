"""Demonstrations first, over real DDS: a scripted operator gives them to a whole system, which learns from them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.real_time]

from ros_bench import ROOT, Bench, bench  # noqa: E402
from tdm_ros.msg import ArmState, Episode, Transition  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))
from demonstrate import Demonstrator  # noqa: E402

from tdm_ros.control.timeline import Announcement, State  # noqa: E402
from tdm_ros.data.log import LOG_FOLDER, read_transitions  # noqa: E402
from tdm_ros.live.run_record import count_demonstrations  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.trainer import TrainerNode  # noqa: E402
from tdm_ros.replay import Step  # noqa: E402
from tdm_ros.robots.description import load_robot  # noqa: E402
from tdm_ros.tasks import reach_task  # noqa: E402
from tdm_ros.tdm.config import TdmConfig  # noqa: E402
from tdm_ros.training.learner import Learner  # noqa: E402
from tdm_ros.training.metrics import read_metrics  # noqa: E402

LEARNED = (ArmState.SOURCE_POLICY, ArmState.SOURCE_RANDOM)


def start_all(made: Bench, demonstrations: int, **given: object) -> None:
    for name in ("arm", "policy", "planner", "collector"):
        made.start(name, **given)
    made.start("trainer", duration_min=".inf", **given)
    made.start("supervisor", duration_min=".inf", demonstrations=demonstrations, **given)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("task", "robot"), [("reach", "so101"), ("push", "panda")])
def test_operator_demonstrates_first_and_learning_begins_with_what_they_showed(
    tmp_path: Path, task: str, robot: str
) -> None:
    given = {"robot": robot, "task": task}
    with bench(tmp_path) as made:
        states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
        announced = made.collect(Episode, "episode", qos.EPISODE)
        recorded = made.collect(Transition, "transition", qos.TRANSITION)
        start_all(made, 2, **given)
        made.until(lambda: bool(states) and "demonstration 1 of 2" in states[-1].hold_reason, 60)
        since = len(states)
        made.spin(1.0)
        waiting = states[since:]
        assert {s.source for s in waiting} == {ArmState.SOURCE_NONE}, "nobody moves the arm before the operator does"
        assert np.ptp([s.position for s in waiting], axis=0).max() < 1e-3
        assert "demonstration 1 of 2" in waiting[-1].hold_reason
        operator = Demonstrator(made.node, load_robot(robot), task)
        made.until(lambda: operator.given == 2, 60)
        assert not {s.source for s in states} & {*LEARNED}, "the policy moves only after the last demonstration"
        made.until(lambda: made.values("supervisor").get("demonstrations") == "2", 10)
        made.until(lambda: states[-1].source == ArmState.SOURCE_POLICY, 60)
        shown = sum(step.source == ArmState.SOURCE_HUMAN for step in recorded)
        assert int(made.values("trainer")["human"]) >= shown - 1 > 20
        first = next(i for i, step in enumerate(recorded) if step.source == ArmState.SOURCE_RANDOM)
        alone = sum(step.source == ArmState.SOURCE_RANDOM for step in recorded[first:])
        assert alone < 200, "the random phase is short"
        for name in ("supervisor", "collector"):
            assert made.stop(name)[0] == 0, made.output(name)
        made.start("collector", **given)
        made.start("supervisor", duration_min=".inf", demonstrations=3, **given)
        made.until(lambda: "demonstration 3 of 3" in announced[-1].reason, 60)
    rows = [row for row in read_metrics(tmp_path) if row.mode == "demonstration"]
    assert [row.end for row in rows if row.end != "interrupted"] == ["success"] * 2
    assert all(row.robot_time_s == 0.0 for row in rows) and count_demonstrations(tmp_path) == 2
    logged = list(read_transitions(tmp_path / LOG_FOLDER, recorded[-1].task))
    episodes = {row.episode for row in rows if row.end == "success"}
    of_them = [t for t in logged if t.episode in {row.episode for row in rows}]
    assert {t.source for t in of_them} == {ArmState.SOURCE_HUMAN} and episodes <= {t.episode for t in of_them}


def test_schedule_of_the_learning_rate_begins_after_the_demonstrations() -> None:
    learner = Learner(reach_task(load_robot("so101")), TdmConfig(total_timesteps=100), 0)
    seen, at = np.zeros((2, 13), np.float32), np.full((2, 3), 0.2, np.float32)
    step = Step(seen[0], np.zeros(5, np.float32), seen[1], at[0], at[1], at[1], False)
    live = SimpleNamespace(learner=learner, discard=lambda ranges, arm: 0)
    trainer = SimpleNamespace(_live=live, _modes={}, _present=lambda now_s: {}, _learning_over_s=0.0)
    for number, announced in enumerate((Announcement(State.HOLD, episode=1), Announcement(State.RUNNING, episode=2))):
        for _ in range(30):
            learner.add(step, last=False, human=number == 0)
        TrainerNode._on_episode(trainer, "", announced, None)  # type: ignore[arg-type]
    assert learner.progress == pytest.approx(0.3)


@pytest.mark.timeout(60)
def test_demonstrations_of_an_arm_that_is_driven_by_torques_are_rejected_in_a_sentence(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        process = made.start("supervisor", demonstrations=1, actuation="torque")
        made.until(lambda: process.poll() is not None, 40)
        assert process.returncode != 0
        assert "supervisor.demonstrations must be 0 with actuation torque, got 1" in made.output("supervisor")
        assert "Traceback" not in made.output("supervisor")
