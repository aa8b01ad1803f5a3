"""The planner node over real DDS: plans around a wall, and every case in which the arm must hold."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from actor_for_tests import TASK, WEIGHTS  # noqa: E402
from geometry_msgs.msg import Point  # noqa: E402
from ros_bench import Bench, resting_state  # noqa: E402
from safetensors.numpy import load, save  # noqa: E402
from tdm_ros.msg import (  # noqa: E402
    ArmState,
    Command,
    Episode,
    KeepOut,
    PolicyWeights,
    Subgoal,
    Transition,
)
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from tdm_ros.control.timeline import Announcement, Mode, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import floats, to_episode  # noqa: E402
from tdm_ros.nodes.subscriptions import FOREIGN  # noqa: E402
from tdm_ros.planning import KeepOut as Regions  # noqa: E402
from tdm_ros.robots.sawyer import NEUTRAL_RAD  # noqa: E402
from tdm_ros.tasks import SCENES, observe  # noqa: E402

WALL = Regions(SCENES["wall"].boxes_m, (0, 1, 2))
START, BEHIND, FAR = ((0.45, 0.16, 0.2), (0.45, -0.2, 0.2), (0.78, -0.3, 0.06))
SEEN = [(0.45, y, z) for y in np.arange(-0.30, 0.26, 0.07) for z in np.arange(0.06, 0.6, 0.07)]


STAYING = save({k: v * 0 if k in ("critic.weight2", "critic.bias2") else v for k, v in load(WEIGHTS).items()})
"""Weights that promise to stay at the spot: what is near is reached, what is far is missed by the whole way."""


class Stage:
    """Plays arm, supervisor, trainer and collector; the hand jumps to each subgoal."""

    def __init__(self, made: Bench) -> None:
        self.bench = made
        node = made.node
        self.subgoals: list[Subgoal] = []
        self.hand = np.array(START)
        self.follows = True
        self.cycle = 0
        self.announced = Announcement(State.HOLD)
        self._states = node.create_publisher(ArmState, "arm_state", qos.STATE)
        self._episodes = node.create_publisher(Episode, "episode", qos.LATCHED)
        self._weights = node.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)
        self._transitions = made.another("collector").create_publisher(Transition, "transition", qos.TRANSITION)
        self.boxes = node.create_publisher(KeepOut, "keep_out", qos.LATCHED)
        node.create_subscription(Subgoal, "subgoal", self._on_subgoal, qos.EPISODE)
        node.create_timer(0.05, self._tick)

    def _stamp(self) -> Any:
        return self.bench.node.get_clock().now().to_msg()

    def _on_subgoal(self, message: Subgoal) -> None:
        self.subgoals.append(message)
        if self.follows and len(message.goal):
            self.hand = np.array(message.goal, float)

    def _tick(self) -> None:
        self.cycle += 1
        state = resting_state(cycle=self.cycle)
        state.header.stamp = self._stamp()
        point = state.hand.position
        point.x, point.y, point.z = map(float, self.hand)
        self._states.publish(state)
        if self.cycle % 4 == 0:
            self._episodes.publish(to_episode(self.announced, TASK, self._stamp()))

    def run(
        self, goal: ArrayLike, mode: Mode = Mode.EVALUATE, exploration: float = 0.0, goal_id: str = "asked 1"
    ) -> int:
        """Announce an episode without end; return its number."""
        number = self.announced.episode + 1
        aim = np.asarray(goal, np.float32)
        self.announced = Announcement(
            State.RUNNING, mode, number, self.cycle + 1, 10**6, aim, exploration, goal_id=goal_id
        )
        self._episodes.publish(to_episode(self.announced, TASK, self._stamp()))
        return number

    def _show(self) -> None:
        """Publish the seen states."""
        zeros = np.zeros(7, np.float32)
        for number, point in enumerate(SEEN):
            at = np.asarray(point, np.float32)
            seen = floats(observe(NEUTRAL_RAD, np.zeros(7), at))
            self._transitions.publish(
                Transition(
                    cycle=number + 1,
                    episode=1,
                    observation=seen,
                    action=floats(zeros),
                    next_observation=seen,
                    achieved_goal=floats(at),
                    next_achieved_goal=floats(at),
                    desired_goal=floats(at),
                    source=1,
                    task=TASK.fingerprint,
                )
            )

    def teach(self) -> None:
        """Hand over seen states and weights, and wait until the planner uses them."""
        known: set[int] = set()

        def seen() -> bool:
            """Teach again what was rejected: a planner that has just started may not know who publishes."""
            rejected = sum(n for why, n in self.bench.rejected("planner").items() if why.endswith(FOREIGN))
            if rejected not in known:
                self._show()
                known.add(rejected)
            return int(self.bench.values("planner").get("seen", 0)) >= len(SEEN)  # more, if it rejected some alone

        self.bench.until(seen)
        self._weights.publish(PolicyWeights(version=3, task=TASK.fingerprint, data=STAYING, final=True))
        self.bench.until(lambda: self.bench.values("planner").get("weights_version") == "3")

    def keep_out(self, *boxes: tuple[ArrayLike, ArrayLike]) -> None:
        def point(values: ArrayLike) -> Point:
            return Point(**dict(zip("xyz", map(float, np.asarray(values)), strict=True)))

        message = KeepOut(low=[point(low) for low, _ in boxes], high=[point(high) for _, high in boxes])
        message.header.frame_id = "base"
        self.boxes.publish(message)

    def of(self, episode: int) -> list[Subgoal]:
        return [subgoal for subgoal in self.subgoals if subgoal.episode == episode]

    def wait_for(self, episode: int, status: int) -> Subgoal:
        self.bench.until(lambda: any(s.status == status for s in self.of(episode)))
        return next(s for s in self.of(episode) if s.status == status)


def start(made: Bench, **parameters: object) -> Stage:
    made.start("planner", **{"planner": "graph"} | parameters)
    stage = Stage(made)
    made.until(lambda: "planner" in made.diagnostics)
    return stage


def ways(stage: Stage, episode: int) -> NDArray[np.float64]:
    return np.array([START, *(s.goal for s in stage.of(episode) if len(s.goal))], float)


def test_planner_goal_behind_a_wall_leads_round_it_knot_by_knot(made: Bench) -> None:
    drawn = made.collect(MarkerArray, "plan_markers", qos.LATCHED)
    stage = start(made, scene="wall")
    stage.teach()
    episode = stage.run(BEHIND)
    made.until(lambda: any(s.last for s in stage.of(episode)))
    subgoals = stage.of(episode)
    assert {s.status for s in subgoals[:-1]} == {Subgoal.PLANNED} and len(subgoals) >= 4, subgoals
    path = ways(stage, episode)
    assert not WALL.crosses(path[:-1], path[1:]).any()
    np.testing.assert_allclose(path[-1], BEHIND, atol=1e-6)
    assert all(s.steps_left <= TASK.horizon and s.start_cycle <= stage.cycle + 1 for s in subgoals)
    assert [s.plan for s in subgoals] == sorted(s.plan for s in subgoals)
    made.until(lambda: len(made.values("planner")) > 0 and int(made.values("planner")["segments"]) >= 3)
    markers = [marker for array in drawn for marker in array.markers]
    assert {m.type for m in markers if m.ns == "subgoal"} == {Marker.SPHERE}
    (box,) = {tuple(np.round([m.scale.x, m.scale.y, m.scale.z], 3)) for m in markers if m.ns == "keep_out"}
    assert box == (1.0, 0.1, 0.5)


def test_planner_without_experience_holds_in_an_evaluation_and_explores_in_training(made: Bench) -> None:
    stage = start(made)
    hold = stage.wait_for(stage.run(BEHIND), Subgoal.NO_EXPERIENCE)
    assert len(hold.goal) == 0 and "no" in hold.reason
    straight = stage.wait_for(stage.run(BEHIND, Mode.TRAIN, 0.2), Subgoal.DIRECT)
    np.testing.assert_allclose(straight.goal, BEHIND, atol=1e-6)
    assert straight.last


def test_planner_goal_that_no_way_leads_to_holds(made: Bench) -> None:
    stage = start(made, scene="wall")
    stage.teach()
    hold = stage.wait_for(stage.run(FAR), Subgoal.UNREACHABLE)
    assert len(hold.goal) == 0 and "miss" in hold.reason


def test_planner_box_by_topic_on_the_goal_holds_until_it_is_cleared(made: Bench) -> None:
    stage = start(made)
    stage.teach()
    stage.keep_out((np.subtract(BEHIND, 0.02), np.add(BEHIND, 0.02)))
    made.until(lambda: made.values("planner").get("boxes") == "1")
    episode = stage.run(BEHIND)
    assert len(stage.wait_for(episode, Subgoal.GOAL_IN_KEEP_OUT).goal) == 0
    stage.keep_out()
    stage.wait_for(episode, Subgoal.PLANNED)


@pytest.mark.parametrize("boxes", [[((0, 0, 0), (1, -1, 1))], [((0, 0, np.nan), (1, 1, 1))]], ids=["inverted", "nan"])
def test_planner_box_that_is_none_is_rejected_and_the_old_ones_stay(made: Bench, boxes: list[Any]) -> None:
    stage = start(made, **{"keep_out.boxes_m": [0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6]})
    stage.keep_out(*boxes)
    made.until(lambda: any("keep_out" in why for why in made.rejected("planner")))
    assert made.values("planner")["boxes"] == "2"


def test_planner_parameter_that_is_no_box_ends_it_with_a_sentence(made: Bench) -> None:
    process = made.start("planner", planner="graph", **{"keep_out.boxes_m": [1.0, 2.0, 3.0]})
    assert process.wait(20) == 1
    assert "a keep-out box is six numbers" in made.output("planner")


def test_planner_killed_on_the_way_the_policy_falls_silent_and_goes_on_with_the_next(made: Bench) -> None:
    commands = made.collect(Command, "command", 10)
    made.start("policy")
    stage = start(made, scene="wall")
    stage.teach()
    stage.follows = False
    episode = stage.run(BEHIND)
    stage.wait_for(episode, Subgoal.PLANNED)
    made.until(lambda: bool(commands))
    made.stop("planner", signal.SIGKILL)
    made.until(lambda: "no command: the subgoal is overdue and no other was received" in made.rejected("policy"))
    commands.clear()
    made.spin(0.5)
    assert not commands, "the arm holds without commands"
    made.diagnostics.pop("planner")
    made.start("planner", planner="graph", scene="wall")
    made.until(lambda: "planner" in made.diagnostics)
    stage.teach()
    made.until(lambda: bool(commands))
