"""Several arms and one trainer over real DDS: who joins late, who is killed, and arms on another host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from hosts_for_tests import IP, hosts  # noqa: F401
from ros_bench import ROOT, Bench
from tdm_ros.msg import Transition
from test_live_learning import transition

from tdm_ros.bringup.environment import PROFILES, RANGE
from tdm_ros.control.timeline import COMMANDED
from tdm_ros.data.log import LOG_FOLDER, read_transitions
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import to_transition
from tdm_ros.tasks import SAWYER_REACH

TASK = SAWYER_REACH["velocity"]
NODES = ("arm", "policy", "planner", "collector", "supervisor")


def start_arm(made: Bench, arm: str, seed: int) -> None:
    folder = made.folder / arm
    extra: dict[str, dict[str, object]] = {
        "policy": {"seed": seed},
        "planner": {"seed": seed, "run_dir": folder},
        "collector": {"run_dir": folder},
        "supervisor": {"seed": seed, "run_dir": folder, "duration_min": ".inf"},
    }
    for name in NODES:
        made.start(f"{arm}/{name}", **extra.get(name, {}))


def start_trainer(made: Bench) -> None:
    made.start("trainer", fleet=True, arms=2, duration_min=".inf")


def taken(made: Bench, arm: str) -> int:
    return int(made.values("trainer").get(f"transitions of {arm}", 0))


def count(made: Bench, key: str) -> int:
    return int(made.values("trainer").get(key, 0))


def recorded(folder: Path) -> int:
    """Transitions of an arm's log that are learned from."""
    return sum(t.source in COMMANDED for t in read_transitions(folder / LOG_FOLDER, TASK.fingerprint))


@pytest.mark.ros
@pytest.mark.timeout(240)
def test_fleet_arm_joins_late_another_is_killed_and_nothing_that_was_recorded_is_lost(
    made: Bench, tmp_path: Path
) -> None:
    start_trainer(made)
    start_arm(made, "arm1", 0)
    made.until(lambda: taken(made, "arm1") > 100, 60)
    assert count(made, "arms") == 1
    start_arm(made, "arm2", 1)
    made.until(lambda: taken(made, "arm2") > 100, 60)
    assert count(made, "arms") == 2
    made.until(lambda: all(int(made.values(f"arm{n}/policy").get("weights_version", 0)) for n in (1, 2)), 60)

    for name in NODES:  # all of it, at once
        made.processes[f"arm1/{name}"].kill()
    made.until(lambda: count(made, "arms") == 1, 15)
    updates, version = count(made, "updates"), int(made.values("arm2/policy")["weights_version"])
    before = taken(made, "arm2")
    made.until(lambda: count(made, "updates") > updates + 50 and taken(made, "arm2") > before + 40, 30)
    made.until(lambda: int(made.values("arm2/policy")["weights_version"]) > version, 15)
    assert made.processes["trainer"].poll() is None
    left = recorded(tmp_path / "arm1")
    assert left - 1 <= taken(made, "arm1") <= left, "the last waits for a successor that never comes"

    made.stop("trainer", signal.SIGKILL)  # and comes back: both logs are there, that of the dead arm, too
    made.diagnostics.pop("trainer")
    start_trainer(made)
    made.until(lambda: taken(made, "arm1") > 0 and taken(made, "arm2") > before + 40, 40)
    assert left - 1 <= taken(made, "arm1") <= left
    arms = set(made.values("trainer")) & {"transitions of arm1", "transitions of arm2"}
    assert len(arms) == 2 and count(made, "transitions") >= taken(made, "arm1")


@pytest.mark.ros
@pytest.mark.timeout(120)
def test_fleet_trainer_that_is_behind_reads_all_its_mail_before_it_learns_on(made: Bench) -> None:
    start_trainer(made)
    mail = made.another("collector", "arm1").create_publisher(Transition, "transition", qos.TRANSITION)
    made.until(lambda: mail.get_subscription_count() > 0 and "transitions" in made.values("trainer"), 60)
    for cycle in range(1, 801):
        mail.publish(to_transition(transition(cycle), TASK))
    made.until(lambda: taken(made, "arm1") == 799, 60)
    assert count(made, "updates") < 600, "one message each 20 ms of learning would be some thousand updates"


def up(host: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a fleet on a host, in a terminal of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in (*PROFILES, RANGE)}
    environment |= {"PYTHONPATH": str(ROOT), "ROS_DOMAIN_ID": "7"}
    folder.mkdir()
    command = [IP, "netns", "exec", host, sys.executable, "-m", "tdm_ros", "up"]
    command += [
        str(ROOT / "config" / "fleet.system.yaml"),
        "arms:=1",
        "network:=subnet",
        "compiled:=false",
        "run_dir:=run",
        "evaluate_goals:=0",
        *arguments,
    ]
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)


@pytest.mark.netns
@pytest.mark.timeout(240)
def test_fleet_arm_on_another_host_is_learned_from_and_learns(
    tmp_path: Path,
    hosts: tuple[str, str],  # noqa: F811
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    runs = [up(hosts[0], here, "duration_min:=0.4")]
    runs.append(up(hosts[1], there, "duration_min:=0.3", "first:=2", "trainer:=false"))
    try:
        statuses = [run.wait(200) for run in runs]
    finally:
        for run in runs:
            run.kill()  # its nodes end with it
    said = "\n".join((folder / "out").read_text(errors="replace")[-3000:] for folder in (here, there))
    assert statuses == [0, 0], said
    assert "arm2 joined" in (here / "run" / "log" / "trainer.log").read_text()
    remote = json.loads((there / "run" / "arm2" / "summary.json").read_text())
    assert remote["finished"] and remote["updates"] > 0, said
    own, other = recorded(here / "run" / "arm1"), recorded(there / "run" / "arm2")
    checkpoint = json.loads((here / "run" / "checkpoint" / "checkpoint.json").read_text())
    assert other > 250 and -5 < checkpoint["transitions"] - own - other <= 0, "its log is on no disk of the trainer's"
