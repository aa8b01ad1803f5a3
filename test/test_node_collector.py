"""The collector node over real DDS: what it published is on disk, whatever happens to it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from geometry_msgs.msg import Point, Pose, Quaternion  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from mcap_ros2.decoder import DecoderFactory  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from ros_bench import Bench, bench  # noqa: E402
from tdm_ros.msg import ArmState, Episode, Transition  # noqa: E402

from tdm_ros.control.timeline import Announcement, State  # noqa: E402
from tdm_ros.data.bag import METADATA  # noqa: E402
from tdm_ros.data.log import (  # noqa: E402
    EPISODE_TOPIC,
    LOG_FOLDER,
    count_messages,
    mcap_files,
    read_transitions,
)
from tdm_ros.data.mcap_layout import is_finished, read_summary  # noqa: E402
from tdm_ros.data.sources import read  # noqa: E402
from tdm_ros.files import IN_USE_STATUS  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import doubles, floats, nanoseconds, to_episode, to_stamp  # noqa: E402
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402

TASK = SAWYER_REACH["velocity"]


class Stage:
    """Plays arm and supervisor; states come as fast as we like, stamped 50 ms apart."""

    def __init__(self, made: Bench) -> None:
        self.bench = made
        self.transitions = made.collect(Transition, "transition", qos.TRANSITION)
        self._states = made.node.create_publisher(ArmState, "arm_state", qos.STATE_HISTORY)
        self._episodes = made.node.create_publisher(Episode, "episode", qos.LATCHED)
        self.cycle = 0
        self._start_ns = made.node.get_clock().now().nanoseconds

    def announce(self, episode: int, length: int = 50) -> None:
        goal = np.full(3, 0.4, np.float32)
        announced = Announcement(State.RUNNING, episode=episode, start_cycle=self.cycle + 1, length=length, goal=goal)
        self._episodes.publish(to_episode(announced, TASK, self.bench.node.get_clock().now().to_msg()))
        # Another topic than that of the states: on a busy machine these would be there before it. A collector that
        # was killed acknowledges nothing, and is in ROS's graph for some time.
        self._episodes.wait_for_all_acked(Duration(seconds=2))
        self.bench.spin(0.2)

    def state(self, episode: int, source: int = ArmState.SOURCE_POLICY, **changes: object) -> None:
        self.cycle += 1
        message = ArmState(
            run="test",
            cycle=self.cycle,
            episode=episode,
            joint_names=list(reversed(JOINT_NAMES)),
            position=doubles(NEUTRAL_RAD[::-1]),
            velocity=doubles(np.arange(7.0)[::-1]),
            executed_action=floats(np.arange(7.0)[::-1] / 10),
            source=source,
        )
        message.header.stamp = to_stamp(self._start_ns + self.cycle * 50_000_000)
        for key, value in changes.items():
            setattr(message, key, value)
        self._states.publish(message)
        self.bench.spin(0.005)

    def play(self, count: int, episode: int | None = 1, **changes: object) -> None:
        """Announce an episode, unless it goes on (None), and play so many of its states."""
        if episode is not None:
            self.announce(episode)
        for _ in range(count):
            self.state(episode or 1, **changes)  # type: ignore[arg-type]

    def ready(self, segment: str = "0000.mcap") -> None:
        """Play an arm that holds until the collector that writes ``segment`` says that it hears and is heard.

        The graph is no witness: a killed process stays in it for 20 s.
        """

        def answered() -> bool:
            self.announce(1)
            self.state(0, ArmState.SOURCE_NONE)
            said = self.bench.values("collector")
            return said.get("ready") == "True" and said.get("segment") == segment

        self.bench.until(answered)
        self.cycle += 1  # a lost cycle: what follows is not paired with the hold


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with bench(tmp_path) as made:
        made.start("collector")
        player = Stage(made)
        player.ready()
        yield player


def test_collector_published_equals_logged_and_the_file_is_complete(stage: Stage, tmp_path: Path) -> None:
    stage.play(30)
    stage.bench.until(lambda: len(stage.transitions) == 28)
    status, _ = stage.bench.stop("collector")
    assert status == 0
    (path,) = mcap_files(tmp_path / LOG_FOLDER)
    assert is_finished(path)
    bag = read(tmp_path)
    assert bag.problems == bag.notes == () and (path.parent / METADATA).exists()
    times = [message.log_time for message in bag.messages]
    assert times == sorted(times)
    logged = list(read_transitions(tmp_path / LOG_FOLDER, TASK.fingerprint))
    assert len(logged) == 29 and logged[-1].last  # the one that waited for its successor is written at the end
    assert [t.stamp_ns for t in logged[:28]] == [nanoseconds(t.header.stamp) for t in stage.transitions]
    np.testing.assert_allclose(logged[0].step.action, np.arange(7.0) / 10)
    np.testing.assert_allclose(logged[0].step.observation[:7], NEUTRAL_RAD, rtol=1e-6)


def test_collector_killed_loses_nothing_that_was_published(stage: Stage, tmp_path: Path) -> None:
    stage.play(20)
    stage.bench.until(lambda: len(stage.transitions) == 18)
    stage.bench.stop("collector", signal.SIGKILL)
    stage.bench.start("collector")
    stage.ready("0001.mcap")
    assert len(mcap_files(tmp_path / LOG_FOLDER)) == 2
    assert not (tmp_path / LOG_FOLDER / METADATA).exists()  # a file is being added that it would not name
    assert count_messages(tmp_path / LOG_FOLDER) == 18
    stage.play(10, 2)
    stage.bench.until(lambda: len(stage.transitions) == 18 + 8)
    assert count_messages(tmp_path / LOG_FOLDER) == 18 + 8
    assert count_messages(tmp_path / LOG_FOLDER, EPISODE_TOPIC) >= 2


@pytest.mark.parametrize(
    "changes",
    [
        {"position": doubles([np.nan] * 7)},
        {"velocity": doubles([0.0] * 2)},
        {"executed_action": floats([np.inf] * 7)},
        {"joint_names": ["left"] * 7},
        {"run": ""},
    ],
    ids=["nan", "sizes", "infinite action", "names", "no run"],
)
def test_collector_bad_state_is_rejected_and_nothing_is_glued(stage: Stage, changes: dict[str, object]) -> None:
    stage.play(5)
    stage.state(1, **changes)
    stage.play(5, None)
    stage.bench.until(lambda: len(stage.transitions) == 7)
    cycles = [t.cycle for t in stage.transitions]
    hole = next(i for i in range(6) if cycles[i + 1] != cycles[i] + 1)
    assert cycles[hole + 1] == cycles[hole] + 3 and stage.transitions[hole].truncated
    stage.bench.until(lambda: any("arm_state" in why for why in stage.bench.rejected("collector")))


def test_collector_records_on_whatever_clock_the_states_are_stamped_with(stage: Stage, tmp_path: Path) -> None:
    hour_ns = 3600 * 10**9
    stage.play(10)
    foreign = ArmState().header
    foreign.stamp.sec = to_stamp(stage._start_ns).sec + 10 * 365 * 24 * 3600
    cycle = stage.cycle
    stage.state(0, ArmState.SOURCE_NONE, header=foreign, run="foreign")
    stage.cycle = cycle  # the arm itself goes on
    stage.play(10, None)
    stage._start_ns -= hour_ns  # the wall clock is set back
    stage.play(10, None)
    stage.bench.until(lambda: len(stage.transitions) == 28)
    assert [t.cycle for t in stage.transitions] == list(range(stage.transitions[0].cycle, stage.cycle - 1))
    assert {t.run for t in stage.transitions} == {"test"}
    logged = list(read_transitions(tmp_path / LOG_FOLDER, TASK.fingerprint))
    assert [t.cycle for t in logged] == [t.cycle for t in stage.transitions]


def test_collector_log_with_what_draws_the_arm_is_read_by_others_with_the_installed_definitions(
    stage: Stage, tmp_path: Path
) -> None:
    stage.play(5, hand=Pose(position=Point(x=0.5, y=-0.25, z=0.125), orientation=Quaternion(w=1.0)))
    stage.bench.until(lambda: len(stage.transitions) == 3)
    stage.bench.stop("collector")
    (path,) = mcap_files(tmp_path / LOG_FOLDER)
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        decoded = [(c.topic, s.name, m) for s, c, _, m in reader.iter_decoded_messages()]
    found = [(topic, m) for topic, _, m in decoded]
    topics = [topic for topic, _ in found]
    assert topics.count("/transition") == 4 and topics.count("/episode") >= 1
    assert {name for _, name, _ in decoded} == {
        "tdm_ros/msg/Transition",
        "tdm_ros/msg/Episode",
        "sensor_msgs/msg/JointState",
        "tf2_msgs/msg/TFMessage",
        "visualization_msgs/msg/MarkerArray",
    }
    assert next(m for topic, m in found if topic == "/episode").task == TASK.fingerprint
    joints = [m for topic, m in found if topic == "/joint_states"]
    assert len(joints) == 5 and joints[0].name == list(reversed(JOINT_NAMES))
    assert joints[0].position == list(NEUTRAL_RAD[::-1])
    (frame,) = next(m for topic, m in found if topic == "/tf").transforms
    assert (frame.header.frame_id, frame.child_frame_id) == ("base", "hand")
    at, turn = frame.transform.translation, frame.transform.rotation
    assert (at.x, at.y, at.z, turn.w) == (0.5, -0.25, 0.125, 1.0)
    (ball,) = next(m for topic, m in found if topic == "/goal_markers").markers
    assert ball.header.frame_id == "base" and ball.pose.position.x == pytest.approx(0.4)
    summary = read_summary(path)
    assert summary is not None
    offered = {c.topic: c.metadata["offered_qos_profiles"] for c in summary.definitions.channels.values()}
    latched = {topic for topic, profile in offered.items() if "durability: transient_local" in profile}
    assert latched == {"/episode", "/goal_markers"}


def test_collector_second_in_a_folder_ends_with_a_sentence_and_the_first_loses_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    first = stage.bench.processes.pop("collector")
    stage.bench.processes["first"] = first
    (tmp_path / "first.out").write_text("")
    second = stage.bench.start("collector")
    assert second.wait(20) == IN_USE_STATUS
    said = stage.bench.output("collector")
    assert f"is being written by collector, pid {first.pid} on host" in said and "give another run_dir" in said
    stage.play(10)
    stage.bench.until(lambda: len(stage.transitions) == 8)
    assert count_messages(tmp_path / LOG_FOLDER) == 8 and len(mcap_files(tmp_path / LOG_FOLDER)) == 1


def test_collector_of_another_task_adds_nothing_to_a_log_and_ends_with_a_sentence(stage: Stage, tmp_path: Path) -> None:
    stage.play(5)
    stage.bench.until(lambda: len(stage.transitions) == 3)
    stage.bench.stop("collector")
    before = {path.name: path.read_bytes() for path in (tmp_path / LOG_FOLDER).iterdir()}
    other = stage.bench.start("collector", robot="panda", actuation="velocity")
    assert other.wait(20) == 1
    assert "was recorded for task" in stage.bench.output("collector")
    assert "choose another run directory" in stage.bench.output("collector")
    assert {path.name: path.read_bytes() for path in (tmp_path / LOG_FOLDER).iterdir()} == before


def test_collector_whose_folder_is_removed_says_so_at_once_and_records_on(stage: Stage, tmp_path: Path) -> None:
    stage.play(5)
    stage.bench.until(lambda: len(stage.transitions) == 3)
    shutil.rmtree(tmp_path / LOG_FOLDER)
    stage.play(5, None)
    stage.bench.until(lambda: len(stage.transitions) == 8)
    logged = {t.cycle for t in read_transitions(tmp_path / LOG_FOLDER, TASK.fingerprint)}
    assert {t.cycle for t in stage.transitions} <= logged, "nothing is published that is not logged"
    stage.bench.until(lambda: "was removed while it was being written" in stage.bench.values("collector")["alarm"])
    assert "ERROR" in stage.bench.output("collector")


def test_collector_that_can_not_write_publishes_nothing_until_it_can(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / LOG_FOLDER
    stage.play(5)
    stage.bench.until(lambda: len(stage.transitions) == 3)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    stage.play(5, None)
    stage.bench.until(lambda: "NOT RECORDED" in stage.bench.values("collector")["alarm"])
    assert stage.bench.values("collector")["ready"] == "False"
    assert len(stage.transitions) == 3
    folder.unlink()
    stage.play(5, None)
    stage.bench.until(lambda: len(stage.transitions) > 3 and stage.bench.values("collector")["ready"] == "True")
    stage.bench.until(lambda: count_messages(folder) >= 13)  # the last states may still be on their way
    logged = [t.cycle for t in read_transitions(folder, TASK.fingerprint)]
    assert len(logged) == 13 == len(set(logged)), "what was not published meanwhile is in the log, too"
