"""Policy, operator, drive home and holds alternate for ten thousand cycles: each action has its true source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]

from control_for_tests import CHECK, GOOD, PERIOD_S, VELOCITY  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from tdm_ros.msg import Transition  # noqa: E402

from tdm_ros.control.arm_control import ArmControl, ArmTiming  # noqa: E402
from tdm_ros.control.arm_io import ArmSample  # noqa: E402
from tdm_ros.control.live_task import LiveTask  # noqa: E402
from tdm_ros.control.timeline import Announcement, Source, State  # noqa: E402
from tdm_ros.data.log import TRANSITION_TOPIC, from_message, read_transitions  # noqa: E402
from tdm_ros.data.log_writer import McapWriter  # noqa: E402
from tdm_ros.data.pairing import TransitionBuilder  # noqa: E402
from tdm_ros.data.recording import Channel  # noqa: E402
from tdm_ros.envs.arm_sim import ArmSim  # noqa: E402
from tdm_ros.live.learner import OnlineLearner  # noqa: E402
from tdm_ros.nodes.convert import definition, to_transition  # noqa: E402
from tdm_ros.robots.arm_cycle import ArmCycle  # noqa: E402
from tdm_ros.robots.limiter import Limiter  # noqa: E402
from tdm_ros.robots.sawyer import NEUTRAL_RAD  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402
from tdm_ros.tdm.config import TdmConfig  # noqa: E402
from tdm_ros.training.learner import Learner  # noqa: E402

TASK = SAWYER_REACH["velocity"]
CYCLES = 10_000
POLICY = np.array([0.1, 0.05, -0.08, 0.06, 0.09, -0.07, 0.111])
"""Command of the policy, with either sign; the operator commands another direction in joint space."""


class Witness(ArmSim):
    """Records the sender that it executes in each substep, by the direction of the command alone."""

    def __init__(self) -> None:
        super().__init__(VELOCITY)
        self.path, self.seen = "policy", []  # type: ignore[var-annotated]
        self._values = np.zeros(7)

    def drive(self, mode, values):  # type: ignore[no-untyped-def]
        self._values = np.array(values)
        super().drive(mode, values)

    def advance(self, substeps: int) -> None:
        if substeps:
            self.seen.append((self._who(), self._values, substeps))
        super().advance(substeps)

    def _who(self) -> str:
        if not self._values.any():
            return "nobody"
        along = abs(self._values @ POLICY) / np.linalg.norm(self._values) / np.linalg.norm(POLICY)
        return self.path if self.path == "home" else "policy" if along > 1 - 1e-9 else "operator"


class Way(ArmCycle):
    """Notes the drive of a command."""

    name = "policy"

    def command(self, values):  # type: ignore[no-untyped-def]
        self.arm.path = self.name  # type: ignore[attr-defined]
        return super().command(values)


class Home(Way):
    name = "home"


@dataclass
class Truth:
    """Source and action of a cycle, by the record of the arm."""

    source: Source
    action: np.ndarray = field(repr=False)


class Play:
    """Random inputs of all senders, at any time within a cycle."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.arm = Witness()
        drives = (Way(self.arm, Limiter(VELOCITY), VELOCITY), Home(self.arm, Limiter(VELOCITY), VELOCITY))
        self.now_s, self.last_s = 0.0, -1.0
        self.control = ArmControl(drives, CHECK, ArmTiming(), NEUTRAL_RAD, 0.0)
        self.episodes: dict[int, Announcement] = {}
        self.operator = self.silent = self.pushed = 0
        self.truth: dict[int, Truth] = {}
        self.samples: list[ArmSample] = []
        self.announce(State.RUNNING)

    def announce(self, state: State) -> None:
        start, length = self.control.cycle + 1, int(self.rng.integers(5, 60))
        number = len(self.episodes) + 1 if state == State.RUNNING else 0
        goal = np.full(3, 0.4, np.float32)
        self.announced = Announcement(state, episode=number, start_cycle=start, length=length, goal=goal)
        self.ends = start + length
        if number:
            self.episodes[number] = self.announced

    def cycle(self) -> None:
        rng, control, start_s = self.rng, self.control, self.now_s
        if control.cycle >= self.ends - 1:
            self.announce(State(rng.choice([State.RUNNING, State.RUNNING, State.RESETTING, State.PAUSED])))
        control.announce(self.announced, start_s)
        events = [(rng.uniform(0.001, 0.02), self.policy)]
        if not self.operator and not self.silent:
            self.operator = int(rng.integers(1, 30)) if rng.random() < 0.06 and not self.pushed else 0
            self.silent = 8 if not self.operator and not self.pushed and rng.random() < 0.01 else 0
        if self.operator:
            self.operator, self.pushed = self.operator - 1, 6
            last = self.operator == 0 and rng.random() < 0.5
            events.append((rng.uniform(0.0, 0.0499), self.release if last else self.push))
        self.pushed = max(self.pushed - 1, 0)
        for after_s, happen in sorted(events, key=lambda event: event[0]):
            happen(start_s + after_s)
        self.silent = max(self.silent - 1, 0)
        while (wake_s := control.wake_s()) < start_s + PERIOD_S:
            control.pass_time(wake_s)
        cycle = control.cycle
        self.now_s = start_s + PERIOD_S
        report = control.tick(self.now_s)
        self.note(cycle, report)

    def policy(self, now_s: float) -> None:
        if not self.silent:
            announced = self.control.timeline.at(self.control.cycle)
            sign = 1 if (self.control.cycle // 20) % 2 else -1
            given = replace(GOOD, cycle=self.control.cycle, episode=announced.episode, values=sign * POLICY)
            self.control.receive(given, now_s)

    def push(self, now_s: float) -> None:
        sign = 1 if (self.control.cycle // 10) % 2 else -1
        assert self.control.receive_twist(sign * np.array([0, 0.08, 0.03, 0, 0, 0]), now_s) == ""

    def release(self, now_s: float) -> None:
        self.control.receive_twist(np.zeros(6), now_s)

    def note(self, cycle: int, report) -> None:  # type: ignore[no-untyped-def]
        seen, self.arm.seen = self.arm.seen, []
        who = {name for name, _, _ in seen}
        moved = sum(values * substeps for _, values, substeps in seen) / 25
        found = {"operator": Source.HUMAN, "policy": Source.POLICY, "home": Source.RESET}
        source = next((found[name] for name in found if name in who), Source.NONE)
        self.truth[cycle] = Truth(source, VELOCITY.to_action(moved))
        assert sum(substeps for _, _, substeps in seen) == 25
        reading = self.arm.reading()
        self.samples.append(
            ArmSample(
                self.control.cycle,
                self.control.cycle * 50_000_000,
                report.episode,
                reading.q_rad,
                reading.qd_rad_s,
                reading.hand_m,
                report.executed.action,
                int(report.source),
            )
        )


@pytest.fixture(scope="module")
def play() -> Play:
    made = Play(seed=5)
    for _ in range(CYCLES):
        made.cycle()
    return made


def same(truth: Truth, source: int, action: np.ndarray) -> bool:
    """A hold by the arm counts as its own, whatever moved it before in that cycle, and is not learned from."""
    if source == Source.SAFETY:
        return truth.source in (Source.NONE, Source.POLICY)
    if source == Source.POLICY and truth.source == Source.NONE:  # the last command was for standing still
        return not action.any()
    return source == truth.source and np.allclose(action, truth.action, atol=1e-6)


def test_every_cycle_says_whose_it_was_and_what_was_done(play: Play) -> None:
    wrong = [
        (sample.cycle - 1, Source(sample.source), play.truth[sample.cycle - 1])
        for sample in play.samples
        if not same(play.truth[sample.cycle - 1], sample.source, sample.action)
    ]
    assert not wrong, f"{len(wrong)} of {CYCLES}: {wrong[:5]}"
    counts = {source: sum(t.source == source for t in play.truth.values()) for source in Source}
    assert min(counts[s] for s in (Source.HUMAN, Source.POLICY, Source.RESET)) > 1000, counts
    human = {cycle for cycle, truth in play.truth.items() if truth.source == Source.HUMAN}
    assert human == {s.cycle - 1 for s in play.samples if s.source == Source.HUMAN}
    assert sum(s.source == Source.SAFETY for s in play.samples) > 50


def test_log_topic_and_replay_have_every_action_with_its_source(play: Play, tmp_path: Path) -> None:
    channel = Channel.of_ros(TRANSITION_TOPIC, "tdm_ros/msg/Transition", definition("tdm_ros/msg/Transition"))
    writer, pairing = (
        McapWriter(tmp_path / "0000.mcap", [channel]),
        TransitionBuilder(play.episodes.get, LiveTask(TASK)),
    )
    published = []
    for sample in play.samples:
        if (made := pairing.add(sample)) is not None:
            data = serialize_message(to_transition(made, TASK))
            writer.write(TRANSITION_TOPIC, data, made.stamp_ns)
            published.append(from_message(deserialize_message(data, Transition)))
    writer.close()
    logged = list(read_transitions(tmp_path, TASK.fingerprint))
    assert pairing.orphans == 0 and [t.cycle for t in logged] == [t.cycle for t in published]
    for received in (logged, published):
        assert all(same(play.truth[t.cycle], t.source, t.step.action) for t in received)
    human = {cycle for cycle, truth in play.truth.items() if truth.source == Source.HUMAN}
    first, last = play.samples[0].cycle, play.samples[-1].cycle
    assert {t.cycle for t in logged if t.source == Source.HUMAN} == {c for c in human if first <= c < last - 1}

    live = OnlineLearner(Learner(TASK, TdmConfig(), 0))
    live.rebuild(logged)
    store = live.learner.store
    learned = [t for t in logged if t.source in (Source.POLICY, Source.HUMAN)][: len(store)]
    index = np.arange(len(store))
    assert store.human().tolist() == [i for i, t in enumerate(learned) if t.source == Source.HUMAN]
    np.testing.assert_array_equal(store.column("action", index), [t.step.action for t in learned])
