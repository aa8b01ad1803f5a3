"""The action `reach_goal` of the supervisor over real DDS, with a real planner, beside goals of the topic."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed, pytest.mark.timeout(180)]

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped, TransformStamped  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from ros_bench import Bench, resting_state  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402
from tdm_ros.action import ReachGoal  # noqa: E402
from tdm_ros.msg import Episode, Subgoal  # noqa: E402
from test_node_lifecycle import DEACTIVATE, Operator  # noqa: E402
from test_node_planner import BEHIND, FAR, Stage  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from tdm_ros.control.timeline import Announcement, Source, State, Timeline  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import floats, to_announcement  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402

TASK = SAWYER_REACH["velocity"]
Result = ReachGoal.Result
OTHER = (0.45, -0.25, 0.3)
PLANNER = {"planner": "graph", "scene": "wall", "max_state_age_s": 1.0}


class Loop(Stage):
    """Plays arm, policy, trainer and collector for a real supervisor; the hand jumps to subgoals of requested goals."""

    def __init__(self, made: Bench) -> None:
        super().__init__(made)
        self._timeline = Timeline()
        self.announced: list[Announcement] = []
        self.running = 0
        self._diagnostics = made.node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._goals = made.node.create_publisher(PoseStamped, "goal", qos.GOAL)
        made.node.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)

    def _on_episode(self, message: Episode) -> None:
        announced, problem = to_announcement(self.bench.node, message, TASK)
        if announced is None:  # it waited while this process started another one
            assert problem == "stamp too old or in the future", problem
            return
        self._timeline.announce(announced, self.cycle)
        if not self.announced or announced.key() != self.announced[-1].key():
            self.announced.append(announced)

    def _on_subgoal(self, message: Subgoal) -> None:
        self.subgoals.append(message)
        if self.follows and len(message.goal) and self.goal_id(message.episode):
            self.hand = np.array(message.goal, float)

    def _tick(self) -> None:
        announced = self._timeline.at(self.cycle)
        self.running = announced.episode
        self.cycle += 1
        source = {State.RUNNING: Source.POLICY, State.RESETTING: Source.RESET}.get(announced.state, Source.NONE)
        state = resting_state(cycle=self.cycle, source=int(source))
        state.episode = announced.episode if announced.state == State.RUNNING else 0
        state.header.stamp = self._stamp()
        point = state.hand.position
        point.x, point.y, point.z = map(float, self.hand)
        self._states.publish(state)
        if self.cycle % 10 == 0:
            ready = [KeyValue(key="ready", value="True")]
            names = [f"{self.bench.namespace}/{name}" for name in ("policy", "collector")]
            self._diagnostics.publish(
                DiagnosticArray(status=[DiagnosticStatus(name=name, values=ready) for name in names])
            )

    def goal_id(self, episode: int) -> str:
        return next((a.goal_id for a in self.announced if a.episode == episode), "")

    def episodes(self, goal_id: str) -> list[int]:
        return [a.episode for a in self.announced if a.state == State.RUNNING and a.goal_id == goal_id]

    def request(self, goal: ArrayLike) -> None:
        """Publish a goal as RViz and the console do."""
        message = PoseStamped()
        at = message.pose.position
        at.x, at.y, at.z = map(float, np.asarray(goal))
        self._goals.publish(message)

    def requested(self, goal: ArrayLike) -> int:
        """Publish the first goal of the topic; return its episode."""
        self.request(goal)
        self.bench.until(lambda: bool(self.episodes("1")))
        return self.episodes("1")[0]

    def held(self, episode: int) -> bool:
        """Whether the announcement after an episode was that the arm holds now."""
        numbers = [a.episode for a in self.announced]
        following = self.announced[numbers.index(episode) + 1 :]
        return bool(following) and following[0].state == State.HOLD and following[0].start_cycle == 0


class Client:
    """Sends goals."""

    def __init__(self, stage: Loop) -> None:
        self.stage = stage
        self._client = ActionClient(stage.bench.node, ReachGoal, "reach_goal")
        stage.bench.until(self._client.server_is_ready)
        self.feedback: list[ReachGoal.Feedback] = []

    def send(self, goal: ArrayLike, **fields: Any) -> Any:
        request = ReachGoal.Goal(goal=floats(goal), **fields)
        sent = self._client.send_goal_async(request, lambda message: self.feedback.append(message.feedback))
        self.stage.bench.until(sent.done)
        return sent.result()

    def ask(self, goal: ArrayLike, **fields: Any) -> Any:
        handle = self.send(goal, **fields)
        assert handle.accepted
        return handle

    def running(self, goal: ArrayLike, **fields: Any) -> tuple[Any, int]:
        """Send a goal and wait until a planned episode for it runs; return its handle and the episode."""
        handle = self.ask(goal, **fields)
        self.stage.bench.until(lambda: bool(self.stage.episodes(goal_id(handle))))
        (episode,) = self.stage.episodes(goal_id(handle))
        self.stage.wait_for(episode, Subgoal.PLANNED)
        self.stage.bench.until(lambda: self.stage.running == episode)
        return handle, episode

    def result(self, handle: Any) -> ReachGoal.Result:
        future = handle.get_result_async()
        self.stage.bench.until(future.done)
        return future.result().result

    def cancel(self, handle: Any) -> None:
        self.stage.bench.until(handle.cancel_goal_async().done)
        assert self.result(handle).status == Result.CANCELED


def goal_id(handle: Any) -> str:
    return bytes(handle.goal_id.uuid).hex()


def start(made: Bench, planner: bool = True, **supervisor: object) -> Client:
    """A client of a supervisor that runs endless training, in episodes of two seconds."""
    if planner:
        made.start("planner", **PLANNER)
    given = {"scene": "wall", "duration_min": ".inf", "run_dir": made.folder / "run"}
    given |= {"episode_length.enabled": True, "episode_length.steps": 40}
    made.start("supervisor", **given | supervisor)
    stage = Loop(made)
    made.until(lambda: "supervisor" in made.diagnostics and (not planner or "planner" in made.diagnostics), 60)
    return Client(stage)


@pytest.fixture
def client(made: Bench) -> Client:
    client = start(made)
    client.stage.teach()
    return client


def test_action_goal_behind_a_wall_is_reached_with_feedback_for_each_subgoal(client: Client) -> None:
    result = client.result(client.ask(BEHIND, tolerance=0.01))
    assert result.status == Result.REACHED, result.reason
    assert result.distance < 0.01 and result.plans >= 1 and result.segments >= 3
    first, reached = client.feedback[0], [one.reached_distance for one in client.feedback]
    assert np.isnan(first.reached_distance) and np.nanmin(reached) < 0.01  # of all only where this process is in time
    assert first.segments > 2 and all(f.predicted_distance > 0.03 for f in client.feedback[:-1])


MALFORMED: dict[str, tuple[ArrayLike, dict[str, Any]]] = {
    "nan": ((0.5, np.nan, 0.3), {}),
    "infinite": ((0.5, np.inf, 0.3), {}),
    "too few numbers": ((0.5, 0.1), {}),
    "too many numbers": (np.zeros(10_000), {}),
    "out of the box": ((5.0, 0.1, 0.3), {}),
    "out of the supervisor's box": ((0.78, -0.3, 0.06), {}),
    "another task": (BEHIND, {"task": "knitting"}),
    "negative tolerance": (BEHIND, {"tolerance": -1.0}),
    "tolerance not a number": (BEHIND, {"tolerance": np.nan}),
    "negative budget": (BEHIND, {"time_budget_s": -1.0}),
    "infinite budget": (BEHIND, {"time_budget_s": np.inf}),
}


def test_action_goal_that_is_malformed_is_rejected_and_the_reason_is_logged(
    made: Bench,
) -> None:
    box = {"goal_box.enabled": True, "goal_box.low_m": [0.4, -0.4, 0.05], "goal_box.high_m": [0.7, 0.4, 0.5]}
    client = start(made, **box)
    client.stage.teach()
    pursued = client.ask(BEHIND)
    for number, (kind, (goal, fields)) in enumerate(MALFORMED.items()):
        assert not client.send(goal, **fields).accepted, kind
        made.until(lambda number=number: made.rejected("supervisor").get("reach_goal: rejected") == number + 1)
    assert "reach_goal: rejected" in made.output("supervisor") and "within" in made.output("supervisor")
    assert client.result(pursued).status == Result.REACHED, "the goal before them is pursued on"


BAD: dict[str, tuple[ArrayLike, int, str, int]] = {
    "in the wall": ((0.5, 0.0, 0.3), Result.GOAL_IN_KEEP_OUT, "keep-out", Subgoal.GOAL_IN_KEEP_OUT),
    "no plan": (FAR, Result.UNREACHABLE, "miss", Subgoal.UNREACHABLE),
}


@pytest.fixture
def waiting(client: Client) -> Client:
    """Its hand does not follow the subgoals."""
    client.stage.follows = False
    return client


def test_action_goal_that_can_not_be_reached_is_aborted_with_a_status_and_a_reason(client: Client) -> None:
    stage = client.stage
    for kind, (goal, status, words, subgoal) in BAD.items():
        handle = client.ask(goal)
        result = client.result(handle)
        assert result.status == status and words in result.reason, f"{kind}: {result.status} {result.reason}"
        # The result comes by another topic than the announcement.
        stage.bench.until(lambda handle=handle: bool(stage.episodes(goal_id(handle))))
        (episode,) = stage.episodes(goal_id(handle))
        assert len(stage.wait_for(episode, subgoal).goal) == 0


def test_action_preempted_canceled_out_of_time_or_of_an_inactive_supervisor_the_arm_holds(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    first, episode = client.running(BEHIND)
    second = client.ask(OTHER)
    result = client.result(first)
    assert result.status == Result.PREEMPTED and "newer goal" in result.reason
    made.until(lambda: stage.held(episode))
    made.until(lambda: bool(stage.episodes(goal_id(second))))
    (episode,) = stage.episodes(goal_id(second))
    made.until(lambda: stage.running == episode)
    client.cancel(second)
    made.until(lambda: stage.held(episode))
    third, episode = client.running((0.45, -0.2, 0.3), time_budget_s=8.0)
    assert client.result(third).status == Result.OUT_OF_TIME
    made.until(lambda: stage.held(stage.episodes(goal_id(third))[-1]))
    last, _ = client.running(BEHIND)
    Operator(made, "supervisor")(DEACTIVATE)
    result = client.result(last)
    assert result.status == Result.CANCELED and "deactivated" in result.reason


def test_goal_of_the_topic_that_waits_for_its_frame_does_not_preempt_a_later_action_goal(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    frames = made.node.create_publisher(TFMessage, "/tf_static", qos.STATIC_FRAMES)
    goal = PoseStamped()
    goal.header.frame_id, goal.pose.position.x = "kitchen", OTHER[0]
    stage._goals.publish(goal)
    made.spin(0.3)
    handle = client.ask(BEHIND)
    known = TransformStamped(child_frame_id="kitchen")
    known.header.frame_id, known.transform.rotation.w = f"{made.namespace.strip('/')}/base", 1.0
    frames.publish(TFMessage(transforms=[known]))
    made.spin(1.0)
    client.cancel(handle)  # it was still pursued


def test_action_goal_canceled_or_out_of_time_does_not_affect_the_same_place_for_others(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    canceled, _ = client.running(BEHIND)
    client.cancel(canceled)
    late = client.ask(BEHIND, time_budget_s=0.5)
    assert client.result(late).status == Result.OUT_OF_TIME
    episode = stage.requested(BEHIND)
    stage.wait_for(episode, Subgoal.PLANNED)
    made.until(lambda: stage.announced[-1].episode > episode)
    whole = next(a for a in stage.announced if a.episode == episode)
    following = stage.announced[stage.announced.index(whole) + 1]
    assert following.start_cycle == whole.start_cycle + whole.length, "nothing cut it short"
    assert {s.status for s in stage.of(episode)} <= {Subgoal.PLANNED, Subgoal.OUT_OF_TIME}
    ids = {a.goal_id for a in stage.announced[stage.announced.index(whole) :]}
    assert not ids & {goal_id(canceled), goal_id(late)}


def test_action_goal_at_the_place_of_a_running_episode_waits_for_one_of_its_own(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    other = stage.requested(BEHIND)
    stage.wait_for(other, Subgoal.PLANNED)
    handle = client.ask(BEHIND)
    client.cancel(handle)
    made.until(lambda: stage.announced[-1].episode != other)
    assert not stage.held(other), "that episode was for another goal"


def test_goal_of_the_topic_in_mid_episode_preempts_the_action_and_is_not_overwritten(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    handle, episode = client.running(BEHIND)
    stage.request(OTHER)
    result = client.result(handle)
    assert result.status == Result.PREEMPTED and "topic" in result.reason
    made.until(lambda: bool(stage.episodes("1")))
    (number,) = stage.episodes("1")
    assert not stage.held(episode) and stage.episodes(goal_id(handle)) == [episode]
    announced = next(a for a in stage.announced if a.episode == number)
    np.testing.assert_allclose(announced.goal, OTHER, atol=1e-6)
    made.until(lambda: stage.announced[-1].episode > number)
    assert stage.announced[-1].goal_id == "", "the action goal does not return"


def test_goal_of_the_topic_that_is_kept_outlives_an_action_goal_of_before(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    keep = made.node.create_client(SetBool, "supervisor/keep_goal")
    made.until(keep.service_is_ready)
    made.until(keep.call_async(SetBool.Request(data=True)).done)
    handle, _ = client.running(BEHIND)
    stage.request(OTHER)
    assert client.result(handle).status == Result.PREEMPTED
    made.until(lambda: len(stage.episodes("1")) >= 3)
    assert {a.goal_id for a in stage.announced if a.episode >= stage.episodes("1")[0]} <= {"1", ""}


def test_action_is_served_on_when_the_planner_dies_and_after_it_was_restarted(waiting: Client) -> None:
    client, stage, made = waiting, waiting.stage, waiting.stage.bench
    handle, _ = client.running(BEHIND)
    made.stop("planner", signal.SIGKILL)
    client.cancel(handle)
    made.diagnostics.pop("planner")
    made.start("planner", **PLANNER)
    made.until(lambda: "planner" in made.diagnostics, 60)
    stage.teach()
    stage.follows = True
    assert client.result(client.ask(BEHIND)).status == Result.REACHED


@pytest.mark.parametrize(
    ("planner", "status", "words"),
    [(True, Result.NO_EXPERIENCE, ""), (False, Result.OUT_OF_TIME, "waiting for planner")],
)
def test_action_goal_without_experience_or_planner_is_aborted_with_a_status_and_a_reason(
    made: Bench, planner: bool, status: int, words: str
) -> None:
    client = start(made, planner)
    result = client.result(client.ask(BEHIND, time_budget_s=0.0 if planner else 1.0))
    assert result.status == status and words in result.reason
