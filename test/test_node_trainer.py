"""The trainer node and its files: no room, a power cut and a second trainer cost nothing that was learned."""

from __future__ import annotations

import itertools
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed]

from recording_for_tests import changed, messages, recording, write_log  # noqa: E402
from ros_bench import Bench, bench  # noqa: E402
from tdm_ros.msg import Episode, PolicyWeights, Transition  # noqa: E402

from tdm_ros.control.timeline import Announcement, Source, State  # noqa: E402
from tdm_ros.data.log import LOG_FOLDER  # noqa: E402
from tdm_ros.files import IN_USE_STATUS  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import to_episode, to_transition  # noqa: E402
from tdm_ros.replay import Step  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402
from tdm_ros.training.checkpoint import INDEX, load_learner  # noqa: E402
from tdm_ros.types import LoggedTransition  # noqa: E402

TASK = SAWYER_REACH["velocity"]
SETTINGS = {"publish_every_s": 0.2, "checkpoint_every_s": 1.0}
VERSIONS = [b"", b"abc", b"-3", b"\xff\xfe", b"9" * 5000, b"1.5", b"4294967295"]


class Experience:
    """Plays collector and supervisor."""

    def __init__(self, made: Bench) -> None:
        self.bench = made
        self.weights = made.collect(PolicyWeights, "policy_weights", qos.LATCHED)
        self._transitions = made.another("collector").create_publisher(Transition, "transition", qos.TRANSITION)
        self._episodes = made.node.create_publisher(Episode, "episode", qos.LATCHED)
        self._rng = np.random.default_rng(0)
        self._cycle = 0

    def play(self, count: int) -> None:
        """Publish so many transitions of one episode, and that it runs."""
        now = self.bench.node.get_clock().now().to_msg()
        goal = np.full(3, 0.4, np.float32)
        announced = Announcement(State.RUNNING, episode=1, start_cycle=1, length=10**6, goal=goal)
        self._episodes.publish(to_episode(announced, TASK, now))
        for _ in range(count):
            self._cycle += 1
            state = self._rng.normal(0, 0.3, (2, TASK.observation.size)).astype(np.float32)
            hand = self._rng.uniform(0.3, 0.5, (2, 3)).astype(np.float32)
            action = self._rng.uniform(-1, 1, TASK.action.size).astype(np.float32)
            step = Step(state[0], action, state[1], hand[0], hand[1], goal, False)
            logged = LoggedTransition(
                step, 1, self._cycle, self._cycle, 10**18, int(Source.RANDOM), False, False, "run"
            )
            self._transitions.publish(to_transition(logged, TASK))
        self.bench.spin(0.1)

    def learn(self) -> None:
        seen = len(self.weights)
        self.bench.until(lambda: self._played() and len(self.weights) > seen, 60.0)

    def _played(self) -> bool:
        self.play(20)
        return True


@pytest.fixture
def experience(tmp_path: Path) -> Iterator[Experience]:
    with bench(tmp_path) as made:
        made.start("trainer", **SETTINGS)
        yield Experience(made)


def test_trainer_without_room_learns_on_and_saves_once_there_is(experience: Experience, tmp_path: Path) -> None:
    stage, folder = experience.bench, tmp_path / "checkpoint"
    experience.learn()
    pid = stage.processes["trainer"].pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, hard))
    stage.until(lambda: experience._played() and "checkpoint is not saved" in stage.output("trainer"), 60.0)
    before = (folder / INDEX).read_bytes() if (folder / INDEX).exists() else b""
    updates = int(stage.values("trainer").get("updates", 0))
    experience.learn()
    stage.until(lambda: experience._played() and int(stage.values("trainer").get("updates", 0)) > updates, 60.0)
    assert ((folder / INDEX).read_bytes() if (folder / INDEX).exists() else b"") == before
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    stage.until(lambda: experience._played() and "checkpoint is saved again" in stage.output("trainer"), 60.0)
    stage.stop("trainer", signal.SIGKILL)
    assert load_learner(folder, TASK).updates > updates


@pytest.mark.real_time
def test_trainer_restarted_without_the_logs_of_its_arms_learns_from_what_comes(
    experience: Experience, tmp_path: Path
) -> None:
    stage, folder = experience.bench, tmp_path / "checkpoint"
    stage.until(lambda: experience._played() and int(stage.values("trainer").get("updates", 0)) > 900, 60.0)
    stage.stop("trainer")  # the logs of arms on other hosts are not here
    learned = load_learner(folder, TASK).updates
    stage.diagnostics.clear()
    stage.start("trainer", **SETTINGS)
    stage.until(lambda: "trainer" in stage.diagnostics)
    experience.play(150)
    stage.until(lambda: int(stage.values("trainer").get("updates", 0)) > learned, 30.0)


def test_trainer_second_in_a_folder_ends_with_a_sentence(experience: Experience, tmp_path: Path) -> None:
    experience.learn()
    stage = experience.bench
    first = stage.processes["first"] = stage.processes.pop("trainer")
    (tmp_path / "first.out").write_text("")
    assert stage.start("trainer").wait(30) == IN_USE_STATUS
    assert f"is being written by trainer, pid {first.pid} on host" in stage.output("trainer")
    assert first.poll() is None
    del stage.processes["trainer"]


def test_trainer_goes_on_with_a_log_that_holds_a_transition_without_numbers(made: Bench, tmp_path: Path) -> None:
    nothing = [float("nan")] * TASK.observation.size
    write_log(tmp_path / LOG_FOLDER, recording(changed(messages(), 5, observation=nothing)))
    made.start("trainer", **SETTINGS)
    Experience(made).learn()
    assert "a transition cannot be learned from and is left out; observation must be finite" in made.output("trainer")
    assert made.stop("trainer")[0] == 0


@pytest.mark.parametrize(
    ("version", "index"),
    list(zip(VERSIONS, itertools.cycle([b"", b"[]", b'{"schema": 4}']), strict=False)),
    ids=["empty", "text", "negative", "bytes", "long", "fraction", "largest"],
)
def test_trainer_with_damaged_files_keeps_the_checkpoint_begins_anew_and_counts_versions_from_one(
    tmp_path: Path, version: bytes, index: bytes
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / INDEX).write_bytes(index)
    (tmp_path / "weights_version").write_bytes(version)
    with bench(tmp_path) as made:
        made.start("trainer", **SETTINGS)
        experience = Experience(made)
        experience.learn()
        assert experience.weights[0].version == 1
        assert "weights_version is damaged" in made.output("trainer")
        assert "learning begins anew from the log" in made.output("trainer")
        assert (folder / "damaged-0" / INDEX).read_bytes() == index
        stored = tmp_path / "weights_version"
        made.until(lambda: int(stored.read_text()) == experience.weights[-1].version)
        assert made.stop("trainer")[0] == 0
    assert int(stored.read_text()) >= experience.weights[-1].version, "a number that was published is never used again"
    assert load_learner(folder, TASK).updates > 0
