"""The whole system over real DDS: a short run to its end, and one in which nodes are killed."""

from __future__ import annotations

import json
import re
import signal
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from geometry_msgs.msg import PoseStamped  # noqa: E402
from ros_bench import Bench, bench  # noqa: E402
from tdm_ros.msg import ArmState, Episode, Transition  # noqa: E402

from tdm_ros.control.timeline import COMMANDED  # noqa: E402
from tdm_ros.data.log import LOG_FOLDER, read_transitions  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.robots.description import load_robot  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH, reach_task  # noqa: E402
from tdm_ros.tasks.pushing import push_task  # noqa: E402
from tdm_ros.training.metrics import read_metrics  # noqa: E402

TASK = SAWYER_REACH["velocity"]
ROBOT = "so101"
"""Arm of the short run: five joints. All other tests of systems are with Sawyer's seven."""
WITHOUT_TRAINER = ("arm", "policy", "planner", "collector")


def summary_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "summary.json").read_text())


def hold_time_s(states: list[ArmState], since: int) -> float:
    """Time from the last commanded state to the first held one, in what came after ``since`` states [s]."""
    fresh = states[since:]
    stamps = [s.header.stamp.sec + s.header.stamp.nanosec * 1e-9 for s in fresh]
    held = next(i for i, s in enumerate(fresh) if s.source == ArmState.SOURCE_SAFETY)
    answered = max((i for i in range(held) if fresh[i].answered), default=0)
    return stamps[held] - stamps[answered]


def suspend(made: Bench, seconds: float) -> None:
    """Suspend every process of the system, as a machine that is suspended does."""
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in made.processes.values():
            process.send_signal(number)
        if number is signal.SIGSTOP:
            made.spin(seconds)


@pytest.mark.timeout(180)
def test_system_short_run_learns_evaluates_and_writes_everything_down(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        for name in (*WITHOUT_TRAINER, "trainer"):
            made.start(name, robot=ROBOT)
        process = made.start("supervisor", robot=ROBOT, duration_min=0.4, evaluate_goals=2, reset_every=4)
        made.until(lambda: process.poll() is not None, 120)
        assert process.returncode == 0, made.output("supervisor")
        assert made.output("supervisor").count(" robot time | ") > 2
        states = re.findall(r"supervisor\]: (RUNNING|RESETTING|HOLD|PAUSED|DONE)", made.output("supervisor"))
        assert states[-1] == "DONE" and not any({*two} <= {"RUNNING", "RESETTING"} for two in pairwise(states))
    summary = summary_of(tmp_path)
    assert summary["finished"] is True and summary["evaluated"] == 2 and summary["updates"] > 0
    assert summary["transitions"]["published"] == summary["transitions"]["logged"] > 400
    assert set(summary["success"]) == {"0.01", "0.02", "0.05"}
    assert summary["cycles"]["answered_fraction"] > 0.95 and summary["cycles"]["total"] > 400
    rows = list(read_metrics(tmp_path))
    assert {row.mode for row in rows} == {"train", "evaluate"}
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert (tmp_path / "checkpoint").is_dir()
    assert summary["task"] == reach_task(load_robot(ROBOT)).fingerprint
    logged = list(read_transitions(tmp_path / LOG_FOLDER, summary["task"]))
    assert {int(ArmState.SOURCE_RANDOM), int(ArmState.SOURCE_RESET)} <= {t.source for t in logged}
    full = [t for t in logged if t.episode == rows[1].episode]
    assert [t.number for t in full] == list(range(50)) and [t.last for t in full] == [False] * 49 + [True]


@pytest.mark.timeout(120)
def test_system_in_which_nothing_learns_fails_and_says_so(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        for name in WITHOUT_TRAINER:
            made.start(name)
        process = made.start("supervisor", duration_min=0.02, evaluate_goals=0)
        made.until(lambda: process.poll() is not None, 90)
        assert process.returncode == 1
        assert "nothing was learned" in made.output("supervisor") and "Traceback" not in made.output("supervisor")
    assert summary_of(tmp_path)["finished"] is True


@pytest.mark.timeout(180)
def test_system_killed_nodes_the_arm_holds_and_restarted_ones_pick_up(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        for name in WITHOUT_TRAINER:
            made.start(name)
        made.start("supervisor", duration_min=".inf")
        states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
        announced = made.collect(Episode, "episode", qos.EPISODE)

        def moving() -> bool:
            return bool(states) and states[-1].source == ArmState.SOURCE_RANDOM

        for name in ("policy", "planner", "collector"):
            made.until(moving, 30)
            made.spin(1.0)
            since = len(states)
            made.stop(name, signal.SIGKILL)
            if name == "policy":
                made.until(lambda: states[-1].source == ArmState.SOURCE_SAFETY, 5)
                assert hold_time_s(states, since - 3) < 0.2  # 0.1 s, and told by the state after that cycle
                made.until(lambda: announced[-1].state in (Episode.PAUSED, Episode.HOLD), 5)
                held = len(announced)
                made.spin(3.0)
                assert Episode.RUNNING not in [one.state for one in announced[held:]], "an episode without a policy"
            if name == "collector":
                made.until(lambda: "NOT RECORDED" in made.output("supervisor"), 10)
                made.until(lambda: announced[-1].state in (Episode.PAUSED, Episode.HOLD), 5)
                held = len(announced)
                made.spin(3.0)
                assert Episode.RUNNING not in [one.state for one in announced[held:]], "an episode without a collector"
                assert max(map(abs, states[-1].velocity)) < 0.01
            made.start(name)
            begin = announced[-1].episode
            made.until(lambda begin=begin: announced[-1].state == Episode.RUNNING and announced[-1].episode > begin, 30)
        made.until(moving, 30)
        suspend(made, 2.0)
        woken = len(states)
        made.until(lambda: len(states) > woken, 5)
        assert (states[woken].source, states[woken].cycle) == (ArmState.SOURCE_SAFETY, states[woken - 1].cycle + 1)
        made.spin(0.5)
        made.until(moving, 30)
        made.spin(3.0)
        status, _ = made.stop("supervisor")
        assert status == 0
    logged = {one.cycle: one for one in read_transitions(tmp_path / LOG_FOLDER, TASK.fingerprint)}
    across = logged.get(states[woken - 1].cycle)
    assert across is None or across.source not in COMMANDED, "nothing is learned from the time of the suspension"
    assert logged[states[woken - 2].cycle].last, "and no trajectory goes on beyond it"
    summary = summary_of(tmp_path)
    assert summary["finished"] is False and summary["episodes_interrupted"] >= 1
    published, logged = (summary["transitions"][key] for key in ("published", "logged"))
    assert 0 <= logged - published <= 2  # killed between writing and publishing; stopped with one on its way
    assert summary["transitions"]["cycles_unrecorded"] > 0


@pytest.mark.timeout(180)
def test_system_trainer_killed_comes_back_from_its_log(made: Bench) -> None:
    for name in (*WITHOUT_TRAINER, "trainer"):
        made.start(name)
    made.start("supervisor", duration_min=".inf")
    made.until(lambda: int(made.values("trainer").get("updates", 0)) > 200, 60)
    before = int(made.values("trainer")["transitions"])
    version = int(made.values("trainer")["weights_version"])
    made.stop("trainer", signal.SIGKILL)
    made.diagnostics.pop("trainer")
    made.spin(1.0)
    made.start("trainer")
    made.until(lambda: int(made.values("trainer").get("transitions", 0)) > before, 40)
    made.until(lambda: int(made.values("trainer")["weights_version"]) > version, 40)
    assert "transitions from the log" in made.output("trainer")
    made.until(lambda: int(made.values("policy")["weights_version"]) > version, 10)


@pytest.mark.timeout(120)
def test_system_that_pushes_sees_the_object_and_records_the_motion_of_the_tip(tmp_path: Path) -> None:
    given = {"robot": ROBOT, "task": "push"}
    spec = push_task(load_robot(ROBOT))
    with bench(tmp_path) as made:
        for name in WITHOUT_TRAINER:
            made.start(name, **given)
        made.start("supervisor", duration_min=".inf", **given)
        states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
        poses = made.collect(PoseStamped, "object_pose", qos.STATE)
        recorded = made.collect(Transition, "transition", qos.TRANSITION)
        made.until(lambda: sum(step.source == ArmState.SOURCE_RANDOM for step in recorded) > 30, 60)
        assert len(states[-1].object) == 2 and len(states[-1].executed_action) == len(states[-1].joint_names) == 5
        assert poses[-1].header.frame_id == "base_link"
        for step in recorded[-20:]:
            assert step.task == spec.fingerprint and len(step.observation) == spec.observation.size
            assert len(step.action) == 3 and len(step.achieved_goal) == 5
            if step.source == ArmState.SOURCE_RANDOM:
                spec.goal.checked(step.desired_goal, "goal")
        assert made.stop("supervisor")[0] == 0
