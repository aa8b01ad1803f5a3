"""The planner node over real DDS: ways round a wall, an action, and every case in which it must say hold."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from geometry_msgs.msg import Point  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from ros_bench import Bench, bench, resting_state  # noqa: E402
from safetensors.numpy import load, save  # noqa: E402
from tdm_ros.action import ReachGoal  # noqa: E402
from tdm_ros.msg import (  # noqa: E402
    ArmState,
    Command,
    Episode,
    KeepOut,
    PolicyWeights,
    Subgoal,
    Transition,
)
from tdm_ros.srv import RequestGoal  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from tdm_ros.control.timeline import Announcement, Mode, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import floats, to_episode  # noqa: E402
from tdm_ros.planning import KeepOut as Regions  # noqa: E402
from tdm_ros.replay import Step  # noqa: E402
from tdm_ros.robots.sawyer import NEUTRAL_RAD  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH, SCENES, observe  # noqa: E402

TASK = SAWYER_REACH["velocity"]
WALL = Regions(SCENES["wall"].boxes_m, (0, 1, 2))
START, BEHIND, FAR = ((0.45, 0.16, 0.2), (0.45, -0.2, 0.2), (0.78, -0.3, 0.06))
SEEN = [(0.45, y, z) for y in np.arange(-0.30, 0.26, 0.07) for z in np.arange(0.06, 0.6, 0.07)]


@pytest.fixture(scope="module")
def actor_bytes() -> bytes:
    """Weights that promise to stay at the spot: what is near is reached, what is far is missed by the whole way."""
    from tdm_ros.tdm.config import TdmConfig
    from tdm_ros.training.learner import Learner

    rng = np.random.default_rng(0)
    learner = Learner(TASK, TdmConfig(hidden_size=16, batch_size=8, learning_starts=20), 0)
    for number in range(30):
        seen = rng.normal(size=(2, 17)).astype(np.float32)
        step = Step(seen[0], np.zeros(7, np.float32), seen[1], seen[0][-3:], seen[1][-3:], seen[1][-3:], False)
        learner.add(step, number % 10 == 9)
    learner.update(1)
    tensors = load(learner.actor_bytes())
    return save({k: v * 0 if k in ("critic.weight2", "critic.bias2") else v for k, v in tensors.items()})


class Stage:
    """Plays arm, supervisor, trainer and collector; the hand jumps to each subgoal."""

    def __init__(self, made: Bench, actor: bytes) -> None:
        self.bench, self._actor = made, actor
        node = made.node
        self.subgoals: list[Subgoal] = []
        self.hand = np.array(START)
        self.follows = True
        self.cycle = 0
        self.told = Announcement(State.HOLD)
        self._states = node.create_publisher(ArmState, "arm_state", qos.STATE)
        self._episodes = node.create_publisher(Episode, "episode", qos.LATCHED)
        self._weights = node.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)
        self._transitions = node.create_publisher(Transition, "transition", qos.TRANSITION)
        self.boxes = node.create_publisher(KeepOut, "keep_out", qos.LATCHED)
        node.create_subscription(Subgoal, "subgoal", self._on_subgoal, qos.EPISODE)
        self.withdrawn: list[str] = []
        self.rejects = ""
        node.create_service(RequestGoal, "supervisor/request_goal", self._on_request)
        node.create_timer(0.05, self._tick)

    def _stamp(self) -> Any:
        return self.bench.node.get_clock().now().to_msg()

    def _on_subgoal(self, message: Subgoal) -> None:
        self.subgoals.append(message)
        if self.follows and len(message.goal):
            self.hand = np.array(message.goal, float)

    def _on_request(self, request: RequestGoal.Request, response: RequestGoal.Response) -> RequestGoal.Response:
        assert request.task == TASK.fingerprint
        if request.withdrawn:
            self.withdrawn.append(request.goal_id)
        elif not self.rejects:
            self.run(request.goal, goal_id=request.goal_id)
        response.accepted, response.reason = not self.rejects, self.rejects
        return response

    def _tick(self) -> None:
        self.cycle += 1
        state = resting_state(cycle=self.cycle)
        state.header.stamp = self._stamp()
        point = state.hand.position
        point.x, point.y, point.z = map(float, self.hand)
        self._states.publish(state)
        if self.cycle % 4 == 0:
            self._episodes.publish(to_episode(self.told, TASK, self._stamp()))

    def run(
        self, goal: ArrayLike, mode: Mode = Mode.EVALUATE, exploration: float = 0.0, goal_id: str = "asked 1"
    ) -> int:
        """Announce an episode without end; return its number."""
        number = self.told.episode + 1
        aim = np.asarray(goal, np.float32)
        self.told = Announcement(State.RUNNING, mode, number, self.cycle + 1, 10**6, aim, exploration, goal_id=goal_id)
        self._episodes.publish(to_episode(self.told, TASK, self._stamp()))
        return number

    def teach(self) -> None:
        """Hand over seen states and weights, and wait until the planner uses them."""
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
        self.bench.until(lambda: self.bench.values("planner").get("seen") == str(len(SEEN)))
        self._weights.publish(PolicyWeights(version=3, task=TASK.fingerprint, data=self._actor, final=True))
        self.bench.until(lambda: self.bench.values("planner").get("weights_version") == "3")

    def keep_out(self, *boxes: tuple[ArrayLike, ArrayLike]) -> None:
        """Say what to keep out of."""

        def point(values: ArrayLike) -> Point:
            return Point(**dict(zip("xyz", map(float, np.asarray(values)), strict=True)))

        message = KeepOut(low=[point(low) for low, _ in boxes], high=[point(high) for _, high in boxes])
        message.header.frame_id = "base"
        self.boxes.publish(message)

    def of(self, episode: int) -> list[Subgoal]:
        """Subgoals of an episode, so far."""
        return [subgoal for subgoal in self.subgoals if subgoal.episode == episode]

    def wait_for(self, episode: int, status: int) -> Subgoal:
        """The first subgoal of an episode with a status."""
        self.bench.until(lambda: any(s.status == status for s in self.of(episode)))
        return next(s for s in self.of(episode) if s.status == status)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def start(made: Bench, actor: bytes, **parameters: object) -> Stage:
    made.start("planner", **{"planner": "graph", "run_dir": made.folder} | parameters)
    stage = Stage(made, actor)
    made.until(lambda: "planner" in made.diagnostics)
    return stage


def ways(stage: Stage, episode: int) -> NDArray[np.float64]:
    return np.array([START, *(s.goal for s in stage.of(episode) if len(s.goal))], float)


def test_planner_goal_behind_a_wall_leads_round_it_knot_by_knot(made: Bench, actor_bytes: bytes) -> None:
    drawn = made.collect(MarkerArray, "plan_markers", qos.LATCHED)
    stage = start(made, actor_bytes, scene="wall")
    stage.teach()
    episode = stage.run(BEHIND)
    made.until(lambda: any(s.last for s in stage.of(episode)))
    told = stage.of(episode)
    assert {s.status for s in told[:-1]} == {Subgoal.PLANNED} and len(told) >= 4, told
    path = ways(stage, episode)
    assert not WALL.crosses(path[:-1], path[1:]).any()
    np.testing.assert_allclose(path[-1], BEHIND, atol=1e-6)
    assert all(s.steps_left <= TASK.horizon and s.start_cycle <= stage.cycle + 1 for s in told)
    assert [s.plan for s in told] == sorted(s.plan for s in told)
    made.until(lambda: len(made.values("planner")) > 0 and int(made.values("planner")["segments"]) >= 3)
    markers = [marker for array in drawn for marker in array.markers]
    assert {m.type for m in markers if m.ns == "subgoal"} == {Marker.SPHERE}
    (box,) = {tuple(np.round([m.scale.x, m.scale.y, m.scale.z], 3)) for m in markers if m.ns == "keep_out"}
    assert box == (1.0, 0.1, 0.5)


def test_planner_without_experience_holds_in_an_evaluation_and_explores_in_training(
    made: Bench, actor_bytes: bytes
) -> None:
    stage = start(made, actor_bytes)
    hold = stage.wait_for(stage.run(BEHIND), Subgoal.NO_EXPERIENCE)
    assert len(hold.goal) == 0 and "no" in hold.reason
    straight = stage.wait_for(stage.run(BEHIND, Mode.TRAIN, 0.2), Subgoal.DIRECT)
    np.testing.assert_allclose(straight.goal, BEHIND, atol=1e-6)
    assert straight.last


def test_planner_goal_that_no_way_leads_to_holds(made: Bench, actor_bytes: bytes) -> None:
    stage = start(made, actor_bytes, scene="wall")
    stage.teach()
    hold = stage.wait_for(stage.run(FAR), Subgoal.UNREACHABLE)
    assert len(hold.goal) == 0 and "miss" in hold.reason


def test_planner_box_by_topic_on_the_goal_holds_until_it_is_cleared(made: Bench, actor_bytes: bytes) -> None:
    stage = start(made, actor_bytes)
    stage.teach()
    stage.keep_out((np.subtract(BEHIND, 0.02), np.add(BEHIND, 0.02)))
    made.until(lambda: made.values("planner").get("boxes") == "1")
    episode = stage.run(BEHIND)
    assert len(stage.wait_for(episode, Subgoal.GOAL_IN_KEEP_OUT).goal) == 0
    stage.keep_out()
    stage.wait_for(episode, Subgoal.PLANNED)


@pytest.mark.parametrize("boxes", [[((0, 0, 0), (1, -1, 1))], [((0, 0, np.nan), (1, 1, 1))]], ids=["inverted", "nan"])
def test_planner_box_that_is_none_is_refused_and_the_old_ones_stay(
    made: Bench, actor_bytes: bytes, boxes: list[Any]
) -> None:
    stage = start(
        made, actor_bytes, **{"keep_out.boxes_m": [0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6]}
    )
    stage.keep_out(*boxes)
    made.until(lambda: any("keep_out" in why for why in made.refused("planner")))
    assert made.values("planner")["boxes"] == "2"


def test_planner_parameter_that_is_no_box_ends_it_with_a_sentence(made: Bench) -> None:
    process = made.start("planner", planner="graph", run_dir=made.folder, **{"keep_out.boxes_m": [1.0, 2.0, 3.0]})
    assert process.wait(20) == 1
    assert "a keep-out box is six numbers" in made.output("planner")


def test_planner_killed_on_the_way_the_policy_falls_silent_and_goes_on_with_the_next(
    made: Bench, actor_bytes: bytes
) -> None:
    commands = made.collect(Command, "command", 10)
    made.start("policy")
    stage = start(made, actor_bytes, scene="wall")
    stage.teach()
    stage.follows = False
    episode = stage.run(BEHIND)
    stage.wait_for(episode, Subgoal.PLANNED)
    made.until(lambda: bool(commands))
    made.stop("planner", signal.SIGKILL)
    made.until(lambda: "no command: the subgoal is overdue and no other was received" in made.refused("policy"))
    commands.clear()
    made.spin(0.5)
    assert not commands, "the arm holds without commands"
    made.diagnostics.pop("planner")
    made.start("planner", planner="graph", run_dir=made.folder, scene="wall")
    made.until(lambda: "planner" in made.diagnostics)
    stage.teach()
    made.until(lambda: bool(commands))


class Client:
    """Asks for goals."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._client = ActionClient(stage.bench.node, ReachGoal, "reach_goal")
        stage.bench.until(self._client.server_is_ready)
        self.feedback: list[ReachGoal.Feedback] = []

    def send(self, goal: ArrayLike, **fields: Any) -> Any:
        """Send a goal; return its handle, accepted or not."""
        request = ReachGoal.Goal(goal=floats(goal), **fields)
        sent = self._client.send_goal_async(request, lambda message: self.feedback.append(message.feedback))
        self.stage.bench.until(sent.done)
        return sent.result()

    def ask(self, goal: ArrayLike, **fields: Any) -> Any:
        """Send a goal; return its handle, accepted."""
        handle = self.send(goal, **fields)
        assert handle.accepted
        return handle

    def result(self, handle: Any) -> ReachGoal.Result:
        """How it ended."""
        future = handle.get_result_async()
        self.stage.bench.until(future.done)
        return future.result().result


@pytest.fixture
def client(made: Bench, actor_bytes: bytes) -> Client:
    stage = start(made, actor_bytes, scene="wall")
    stage.teach()
    return Client(stage)


def test_action_goal_behind_a_wall_is_reached_with_feedback_for_each_subgoal(client: Client) -> None:
    result = client.result(client.ask(BEHIND, tolerance=0.01))
    assert result.status == ReachGoal.Result.REACHED, result.reason
    assert result.distance < 0.01 and result.plans >= 1 and result.segments >= 3
    first, last = client.feedback[0], client.feedback[-1]
    assert np.isnan(first.reached_distance) and last.reached_distance < 0.01
    assert first.segments > 2 and all(f.predicted_distance > 0.03 for f in client.feedback[:-1])


MALFORMED: dict[str, tuple[ArrayLike, dict[str, Any]]] = {
    "nan": ((0.5, np.nan, 0.3), {}),
    "infinite": ((0.5, np.inf, 0.3), {}),
    "too few numbers": ((0.5, 0.1), {}),
    "too many numbers": (np.zeros(10_000), {}),
    "out of the box": ((5.0, 0.1, 0.3), {}),
    "another task": (BEHIND, {"task": "knitting"}),
    "negative tolerance": (BEHIND, {"tolerance": -1.0}),
    "tolerance not a number": (BEHIND, {"tolerance": np.nan}),
    "negative budget": (BEHIND, {"time_budget_s": -1.0}),
    "infinite budget": (BEHIND, {"time_budget_s": np.inf}),
}


def test_action_goal_that_is_none_is_rejected_and_the_reason_is_logged(client: Client) -> None:
    bench = client.stage.bench
    pursued = client.ask(BEHIND)
    for number, (kind, (goal, fields)) in enumerate(MALFORMED.items()):
        assert not client.send(goal, **fields).accepted, kind
        bench.until(lambda number=number: bench.refused("planner").get("reach_goal: rejected") == number + 1)
    assert "reach_goal: rejected" in bench.output("planner") and "within" in bench.output("planner")
    assert client.result(pursued).status == ReachGoal.Result.REACHED, "the goal before them is pursued on"


BAD: dict[str, tuple[ArrayLike, dict[str, Any], int, str]] = {
    "in the wall": ((0.5, 0.0, 0.3), {}, ReachGoal.Result.GOAL_IN_KEEP_OUT, "keep-out"),
    "no way": (FAR, {}, ReachGoal.Result.UNREACHABLE, "miss"),
}


def test_action_goal_that_can_not_be_reached_is_aborted_with_a_status_and_a_reason(client: Client) -> None:
    for kind, (goal, fields, status, words) in BAD.items():
        result = client.result(client.ask(goal, **fields))
        assert result.status == status and words in result.reason, f"{kind}: {result.status} {result.reason}"
    client.stage.bench.until(lambda: client.stage.subgoals[-1].status == Subgoal.UNREACHABLE)  # the arm holds


def test_action_without_experience_says_so(made: Bench, actor_bytes: bytes) -> None:
    client = Client(start(made, actor_bytes))
    assert client.result(client.ask(BEHIND)).status == ReachGoal.Result.NO_EXPERIENCE


def test_action_preempted_canceled_or_out_of_time_the_arm_holds(client: Client) -> None:
    stage = client.stage
    stage.follows = False
    first = client.ask(BEHIND)
    stage.wait_for(1, Subgoal.PLANNED)
    second = client.ask((0.45, -0.25, 0.3))
    assert client.result(first).status == ReachGoal.Result.PREEMPTED
    stage.wait_for(1, Subgoal.CANCELED)
    stage.wait_for(2, Subgoal.PLANNED)
    canceling = second.cancel_goal_async()
    stage.bench.until(canceling.done)
    assert client.result(second).status == ReachGoal.Result.CANCELED
    assert len(stage.wait_for(2, Subgoal.CANCELED).goal) == 0
    result = client.result(client.ask((0.45, -0.2, 0.3), time_budget_s=1.0))
    assert result.status == ReachGoal.Result.OUT_OF_TIME
    stage.wait_for(3, Subgoal.CANCELED)


def test_action_goal_called_off_leaves_the_same_place_to_everybody_else(client: Client) -> None:
    stage, made = client.stage, client.stage.bench
    stage.follows = False
    canceled = client.ask(BEHIND)
    stage.wait_for(1, Subgoal.PLANNED)
    made.until(canceled.cancel_goal_async().done)
    assert client.result(canceled).status == ReachGoal.Result.CANCELED
    stage.wait_for(1, Subgoal.CANCELED)
    late = client.ask(BEHIND, time_budget_s=0.5)
    assert client.result(late).status == ReachGoal.Result.OUT_OF_TIME
    made.until(lambda: len(stage.withdrawn) == 2)
    same = stage.run(BEHIND, goal_id="asked 7")
    stage.wait_for(same, Subgoal.PLANNED)
    drawn = stage.run(BEHIND, goal_id="")
    stage.wait_for(drawn, Subgoal.PLANNED)
    made.spin(1.0)
    for episode in (same, drawn):
        assert {s.status for s in stage.of(episode)} <= {Subgoal.PLANNED, Subgoal.OUT_OF_TIME}
    again = stage.run(BEHIND, goal_id=stage.withdrawn[0])
    assert len(stage.wait_for(again, Subgoal.CANCELED).goal) == 0, "what is announced too late for a goal called off"


def test_action_goal_at_the_place_of_a_running_episode_waits_for_one_of_its_own(client: Client) -> None:
    stage = client.stage
    stage.follows = False
    other = stage.run(BEHIND, goal_id="asked 1")
    stage.wait_for(other, Subgoal.PLANNED)
    handle = client.ask(BEHIND)
    stage.bench.until(lambda: stage.told.goal_id == bytes(handle.goal_id.uuid).hex())
    canceling = handle.cancel_goal_async()
    stage.bench.until(canceling.done)
    assert client.result(handle).status == ReachGoal.Result.CANCELED
    assert not any(s.status == Subgoal.CANCELED for s in stage.of(other)), "nobody called that one off"


def test_action_goal_that_the_supervisor_does_not_accept_is_aborted_with_its_reason(client: Client) -> None:
    client.stage.rejects = "goal must be within another box"
    result = client.result(client.ask(BEHIND))
    assert result.status == ReachGoal.Result.BAD_GOAL and "another box" in result.reason
    client.stage.rejects = ""
    assert client.result(client.ask(BEHIND)).status == ReachGoal.Result.REACHED
