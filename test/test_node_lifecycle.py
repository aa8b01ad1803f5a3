"""Lifecycle of every node: its transitions, what it does while it is active, and what it does not in other states."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from lifecycle_msgs.msg import State as LifecycleState  # noqa: E402
from lifecycle_msgs.msg import Transition as Change  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from ros_bench import Bench, bench  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Episode  # noqa: E402
from test_hostile_messages import CLASSES  # noqa: E402
from test_node_arm import Commander  # noqa: E402
from test_node_collector import Stage as Recorded  # noqa: E402
from test_node_planner import Stage as Planned  # noqa: E402
from test_node_policy import Stage as Answered  # noqa: E402
from test_node_supervisor import Arm  # noqa: E402
from test_node_teleop import Terminal  # noqa: E402
from test_node_trainer import SETTINGS, Experience  # noqa: E402
from visualization_msgs.msg import MarkerArray  # noqa: E402

from tdm_ros.data.log import EPISODE_TOPIC, LOG_FOLDER, count_messages, mcap_files  # noqa: E402
from tdm_ros.data.mcap_layout import is_finished  # noqa: E402
from tdm_ros.files import FolderLock  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.node_runner import ManagedNode  # noqa: E402
from tdm_ros.nodes.parameters import NODES  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402
from tdm_ros.training.checkpoint import load_learner  # noqa: E402

CONFIGURE, CLEANUP = Change.TRANSITION_CONFIGURE, Change.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Change.TRANSITION_ACTIVATE, Change.TRANSITION_DEACTIVATE
UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = (
    LifecycleState.PRIMARY_STATE_UNCONFIGURED,
    LifecycleState.PRIMARY_STATE_INACTIVE,
    LifecycleState.PRIMARY_STATE_ACTIVE,
    LifecycleState.PRIMARY_STATE_FINALIZED,
)
PRIMARY = {
    UNCONFIGURED: (),
    INACTIVE: (CONFIGURE,),
    ACTIVE: (CONFIGURE, ACTIVATE),
}
"""Each state in which a node may begin, and the transitions that lead there from UNCONFIGURED."""
LEADS_TO = {
    (UNCONFIGURED, CONFIGURE): INACTIVE,
    (INACTIVE, CLEANUP): UNCONFIGURED,
    (INACTIVE, ACTIVATE): ACTIVE,
    (ACTIVE, DEACTIVATE): INACTIVE,
    (UNCONFIGURED, Change.TRANSITION_UNCONFIGURED_SHUTDOWN): FINALIZED,
    (INACTIVE, Change.TRANSITION_INACTIVE_SHUTDOWN): FINALIZED,
    (ACTIVE, Change.TRANSITION_ACTIVE_SHUTDOWN): FINALIZED,
}
"""Transitions that an operator may request; every other request is rejected, and changes nothing."""
REQUESTS = (*range(Change.TRANSITION_CREATE, Change.TRANSITION_DESTROY + 1), 42)
ALWAYS = ("/rosout", "/parameter_events", "/diagnostics", "/transition_event")


@contextmanager
def made_here(name: str, folder: Path, **more: object) -> Iterator[Any]:
    """A node in this process that waits for transitions."""
    chosen = {"autostart": "false", "run_dir": folder, "port": 0, **more}
    known = {key: value for key, value in chosen.items() if hasattr(NODES[name](), key)}
    rclpy.init(args=["--ros-args", "--log-level", "fatal", *(w for k, v in known.items() for w in ("-p", f"{k}:={v}"))])
    node = CLASSES[name]()
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()


def change(node: Any, transition: int) -> bool:
    request = ChangeState.Request(transition=Change(id=transition))
    return bool(node._service_change_state.callback(request, ChangeState.Response()).success)


def state_of(node: Any) -> int:
    return int(node._state_machine.current_state[0])


def outputs(node: Any) -> set[str]:
    """Topics that a node publishes, without those that every node does."""
    return {one.topic_name for one in node.publishers if not one.topic_name.endswith(ALWAYS)}


def test_every_node_is_a_managed_node() -> None:
    assert set(NODES) == {*CLASSES, "teleop_keyboard"}
    assert all(issubclass(kind, ManagedNode) for kind in CLASSES.values())


@pytest.mark.any_speed
@pytest.mark.parametrize(("begin", "transition"), LEADS_TO)
@pytest.mark.parametrize("name", CLASSES)
def test_valid_transition_leads_to_its_state_and_all_others_are_rejected(
    name: str, begin: int, transition: int, tmp_path: Path
) -> None:
    with made_here(name, tmp_path) as node:
        for step in PRIMARY[begin]:
            assert change(node, step)
        for other in REQUESTS:
            if (begin, other) not in LEADS_TO:
                assert not change(node, other) and state_of(node) == begin
        assert node.active == (begin == ACTIVE)
        assert bool(outputs(node)) == (begin in (INACTIVE, ACTIVE)) == node.configured
        node._diagnostics.publish()
        assert change(node, transition) and state_of(node) == LEADS_TO[begin, transition]
        if state_of(node) == FINALIZED:
            assert not node.active and not outputs(node)
            assert not any(change(node, other) for other in REQUESTS)


@pytest.mark.any_speed
@pytest.mark.parametrize("name", CLASSES)
def test_node_cleaned_up_and_configured_again_has_the_same_inputs_and_outputs(name: str, tmp_path: Path) -> None:
    with made_here(name, tmp_path) as node:
        found = []
        for _ in range(2):
            assert change(node, CONFIGURE) and change(node, ACTIVATE)
            found.append((outputs(node), sorted(one.topic_name for one in node.subscriptions), len([*node.timers])))
            assert change(node, DEACTIVATE) and change(node, CLEANUP)
        assert found[0] == found[1]


@pytest.mark.any_speed
@pytest.mark.parametrize(
    ("before", "transition", "hook"),
    [
        ((), CONFIGURE, "configure"),
        ((CONFIGURE,), ACTIVATE, "activate"),
        ((CONFIGURE, ACTIVATE), DEACTIVATE, "deactivate"),
        ((CONFIGURE,), CLEANUP, "_destroy_entities"),
        ((CONFIGURE, ACTIVATE), Change.TRANSITION_ACTIVE_SHUTDOWN, "_destroy_entities"),
    ],
    ids=["configure", "activate", "deactivate", "cleanup", "shutdown"],
)
@pytest.mark.parametrize("name", CLASSES)
def test_transition_that_fails_leaves_the_node_unconfigured_and_usable(
    name: str, before: tuple[int, ...], transition: int, hook: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hook fails once, after its work is done: everything it made is released."""
    with made_here(name, tmp_path) as node:
        for step in before:
            assert change(node, step)
        real, failures = getattr(node, hook), [OSError("no memory")]

        def failing() -> None:
            if not failures or hook != "_destroy_entities":
                real()
            if failures:
                raise failures.pop()

        monkeypatch.setattr(node, hook, failing)
        assert not change(node, transition) and not failures
        assert state_of(node) == UNCONFIGURED and not node.active and not outputs(node)
        assert change(node, CONFIGURE) and change(node, ACTIVATE)
        assert state_of(node) == ACTIVE and node.active and outputs(node)


@pytest.mark.any_speed
def test_node_whose_configuration_fails_at_the_start_raises_the_error(tmp_path: Path) -> None:
    with made_here("collector", tmp_path) as node:
        node.set_parameters_atomically([])
        (tmp_path / LOG_FOLDER).write_text("a file, where the folder of the log is to be")
        object.__setattr__(node._declared.values, "autostart", True)
        with pytest.raises(OSError, match=LOG_FOLDER):
            node.bring_up()
        assert state_of(node) == UNCONFIGURED


class Operator:
    """Requests transitions of a node in a process of its own."""

    def __init__(self, made: Bench, name: str) -> None:
        self.bench, self.name = made, name
        self._change = made.node.create_client(ChangeState, f"{name}/change_state")
        self._get = made.node.create_client(GetState, f"{name}/get_state")

    def call(self, client: Any, request: Any) -> Any:
        assert client.wait_for_service(20)
        future = client.call_async(request)
        self.bench.until(future.done)
        return future.result()

    def __call__(self, *transitions: int) -> None:
        for transition in transitions:
            assert self.call(self._change, ChangeState.Request(transition=Change(id=transition))).success

    def state(self) -> int:
        return int(self.call(self._get, GetState.Request()).current_state.id)


def started(made: Bench, name: str, **parameters: object) -> Operator:
    made.start(name, autostart=False, **parameters)
    return Operator(made, name)


def ends(operator: Operator, quiet: Callable[[], object]) -> None:
    """Shut the active node down: nothing more comes, its process lives, and its diagnostics show the state."""
    operator(Change.TRANSITION_ACTIVE_SHUTDOWN)
    quiet()
    made, name = operator.bench, operator.name
    made.until(lambda: made.values(name).get("lifecycle") == "finalized")
    assert operator.state() == FINALIZED and made.processes[name].poll() is None
    assert f"[{made.namespace.lstrip('/')}.{name}]: the node is active" in made.output(name)
    assert "the node is inactive" in made.output(name) and "the node is finalized" in made.output(name)


def lives(
    operator: Operator, acts: Callable[[], object], silent: Callable[[], object], inactive: Callable[[], object]
) -> None:
    """Lead a node through all its states: it acts in ACTIVE alone, and is silent where it is not configured."""
    silent()
    operator(CONFIGURE)
    inactive()
    for _ in range(2):
        operator(ACTIVATE)
        acts()
        operator(DEACTIVATE)
        inactive()
    operator(CLEANUP)
    silent()
    operator(CONFIGURE, ACTIVATE)
    acts()
    ends(operator, silent)


def test_arm_moves_in_active_alone_and_holds_while_it_is_inactive(made: Bench) -> None:
    operator = started(made, "arm")
    stage = Commander(made)

    runs = []

    def moves() -> None:
        made.until(stage.moves)
        made.until(lambda: stage.speed() > 0.01)
        runs.append(stage.states[-1].run)

    def holds() -> None:
        made.until(lambda: len(stage.states) > 3)
        made.until(lambda: "the node arm is inactive" in stage.states[-1].hold_reason and stage.speed() < 0.01)
        begin = len(stage.states)
        made.until(lambda: len(stage.states) > begin + 10)
        after = stage.states[begin:]
        assert {state.source for state in after} <= {ArmState.SOURCE_SAFETY, ArmState.SOURCE_NONE}
        assert np.ptp([state.position for state in after], axis=0).max() < 1e-3
        assert all("inactive" in state.hold_reason and not state.fault for state in after)

    def silent() -> None:
        made.spin(0.3)
        stage.states.clear()
        made.spin(0.5)
        assert not stage.states

    lives(operator, moves, silent, holds)
    assert runs[0] == runs[1] != runs[2], "the cycles are numbered from 1 again"


def test_arm_stops_within_a_cycle_of_its_deactivation(made: Bench) -> None:
    operator = started(made, "arm")
    stage = Commander(made)
    operator(CONFIGURE, ACTIVATE)
    made.until(lambda: stage.states[-1:] != [] and stage.speed() > 0.05)
    operator(DEACTIVATE)
    stopped = stage.states[-1].cycle
    made.until(lambda: stage.states[-1].cycle > stopped + 5)
    later = [state for state in stage.states if state.cycle > stopped + 2]
    assert {state.source for state in later} == {ArmState.SOURCE_SAFETY}


@pytest.mark.any_speed
def test_policy_commands_in_active_alone(made: Bench) -> None:
    operator = started(made, "policy")
    stage = Answered(made)

    def answers() -> None:
        stage.commands.clear()
        made.until(lambda: len(stage.commands) > 3)

    def silent() -> None:
        assert stage.silent(0.4)

    def inactive() -> None:
        silent()
        made.until(lambda: made.values("policy").get("ready") == "False")

    lives(operator, answers, silent, inactive)


@pytest.mark.any_speed
def test_planner_plans_in_active_alone_and_lets_the_episode_hold_when_it_is_deactivated(made: Bench) -> None:
    operator = started(made, "planner", planner="direct")
    stage = Planned(made)

    def plans() -> None:
        episode = stage.run((0.5, 0.1, 0.3))
        made.until(lambda: any(len(subgoal.goal) for subgoal in stage.of(episode)))

    def silent() -> None:
        episode = stage.run((0.5, 0.1, 0.3))
        made.spin(0.5)
        assert not stage.of(episode)

    def inactive() -> None:
        if stage.subgoals:
            episode = stage.announced.episode
            made.until(lambda: not len(stage.of(episode)[-1].goal))
            assert "inactive" in stage.of(episode)[-1].reason
        silent()

    lives(operator, plans, silent, inactive)


@pytest.mark.any_speed
def test_supervisor_starts_in_active_alone_and_pauses_when_it_is_deactivated(made: Bench) -> None:
    operator = started(made, "supervisor", auto_start=False)
    announced = made.collect(Episode, "episode", qos.EPISODE)
    start, stop = (made.node.create_client(Trigger, f"supervisor/{name}") for name in ("start", "stop"))
    Arm(made)

    def silent() -> None:
        made.spin(0.3)
        announced.clear()
        made.spin(0.6)
        assert not announced

    silent()
    operator(CONFIGURE)
    answer = operator.call(start, Trigger.Request())
    assert not answer.success and "activate" in answer.message
    operator(ACTIVATE)
    assert operator.call(start, Trigger.Request()).success
    made.until(lambda: announced[-1].state == Episode.HOLD and "policy" in announced[-1].reason)
    operator(DEACTIVATE)
    made.until(lambda: announced[-1].state == Episode.PAUSED)
    assert "inactive" in announced[-1].reason
    assert not operator.call(start, Trigger.Request()).success
    operator(ACTIVATE)
    announced.clear()
    made.until(lambda: len(announced) > 3)
    assert {one.state for one in announced} == {Episode.PAUSED}, "until an operator starts it"
    assert operator.call(start, Trigger.Request()).success
    made.until(lambda: announced[-1].state == Episode.HOLD)
    operator(DEACTIVATE)
    assert operator.call(stop, Trigger.Request()).success, "a stop is accepted in each state"
    made.until(lambda: announced[-1].state == Episode.DISABLED)
    operator(CLEANUP)
    silent()
    operator(CONFIGURE, ACTIVATE)
    made.until(lambda: bool(announced))
    ends(operator, silent)


@pytest.mark.any_speed
def test_collector_records_in_active_alone_and_loses_nothing_when_it_is_deactivated(
    made: Bench, tmp_path: Path
) -> None:
    operator = started(made, "collector")
    stage = Recorded(made)

    def logged() -> int:
        return count_messages(tmp_path / LOG_FOLDER)

    operator(CONFIGURE, ACTIVATE)
    stage.ready()
    stage.play(10)
    made.until(lambda: len(stage.transitions) == 8)
    operator(DEACTIVATE)
    made.until(lambda: len(stage.transitions) == 9, must=False)
    assert len(stage.transitions) == 9, "the one that waited for its successor, too"
    made.until(lambda: logged() == 9)
    stage.play(10)
    made.until(lambda: "NOT RECORDED" in made.values("collector").get("alarm", ""))
    assert "NOT RECORDED" in made.output("collector") and "inactive" in made.values("collector")["alarm"]
    assert len(stage.transitions) == 9 and logged() == 9
    operator(ACTIVATE)
    made.until(lambda: made.values("collector").get("alarm") == "")
    stage.play(10)
    made.until(lambda: len(stage.transitions) == 17)
    operator(DEACTIVATE, CLEANUP)
    made.until(lambda: len(stage.transitions) == 18)
    assert logged() == 18 and all(map(is_finished, mcap_files(tmp_path / LOG_FOLDER)))
    operator(CONFIGURE, ACTIVATE)
    stage.ready("0001.mcap")
    stage.play(10)
    made.until(lambda: len(stage.transitions) == 26)
    operator(Change.TRANSITION_ACTIVE_SHUTDOWN)
    made.until(lambda: len(stage.transitions) == 27)
    assert logged() == 27 and all(map(is_finished, mcap_files(tmp_path / LOG_FOLDER)))


@pytest.mark.any_speed
def test_trainer_learns_in_active_alone_and_saves_when_it_is_deactivated(made: Bench, tmp_path: Path) -> None:
    operator = started(made, "trainer", **SETTINGS)
    stage = Experience(made)
    task = SAWYER_REACH["velocity"]

    def value(name: str) -> int:
        return int(made.values("trainer").get(name, 0))

    def still() -> None:
        made.until(lambda: made.values("trainer").get("active") == "False")
        made.spin(1.2)
        before, weights = value("updates"), len(stage.weights)
        stage.play(20)
        made.spin(1.5)
        assert value("updates") == before and len(stage.weights) == weights

    operator(CONFIGURE)
    still()
    operator(ACTIVATE)
    stage.learn()
    operator(DEACTIVATE)
    saved = load_learner(tmp_path / "checkpoint", task).updates
    still()
    assert saved == value("updates") > 0, "everything that was learned is saved"
    transitions = value("transitions")
    stage.play(20)
    made.until(lambda: value("transitions") == transitions + 20)
    operator(ACTIVATE)
    stage.learn()
    operator(DEACTIVATE, CLEANUP)
    assert load_learner(tmp_path / "checkpoint", task).updates > saved
    FolderLock(tmp_path / "checkpoint", "test").release()
    operator(CONFIGURE, ACTIVATE)
    stage.learn()
    operator(Change.TRANSITION_ACTIVE_SHUTDOWN)
    FolderLock(tmp_path / "checkpoint", "test").release()


@pytest.mark.any_speed
def test_console_passes_requests_on_in_active_alone_but_pauses_in_inactive_too(tmp_path: Path) -> None:
    with bench(tmp_path) as made, made_here("console", tmp_path) as node:
        goals = made.collect(PoseStamped, "/goal", qos.GOAL)
        engaged = made.collect(Bool, "/teleop/engaged", qos.TELEOP)
        events = made.collect(String, "/teleop/event", qos.EVENT)
        assert change(node, CONFIGURE)
        made.until(lambda: node._goals.get_subscription_count() > 0 and node._engagements.get_subscription_count() > 0)

        def request() -> None:
            node.console.request_goal(0.5, 0.0, 0.3)
            node.console.drive((0.05, 0.0, 0.0), True)
            node._carry_out()
            made.spin(0.3)

        request()
        assert not goals and not engaged and "activate" in node.console.notes[-1]
        assert change(node, ACTIVATE)
        request()
        assert goals and [one.data for one in engaged] == [True]
        assert change(node, DEACTIVATE)
        made.until(lambda: [one.data for one in engaged] == [True, True] and [one.data for one in events] == ["pause"])
        count = len(goals)
        request()
        assert len(goals) == count and len(engaged) == 2
        node.console.request("lost")
        node._carry_out()
        made.until(lambda: [one.data for one in events] == ["pause", "pause"])


def test_console_keeps_a_goal_only_when_the_supervisor_has_confirmed_it(tmp_path: Path) -> None:
    with bench(tmp_path) as made, made_here("console", tmp_path) as node:
        assert change(node, CONFIGURE) and change(node, ACTIVATE)
        assert not node._switches["keep_goal"].service_is_ready()

        def kept() -> bool:
            node.console.request_goal(0.5, 0.0, 0.3)
            node._carry_out()
            made.spin(0.1)
            rclpy.spin_once(node, timeout_sec=0.1)
            return bool(node.console.keep_goal)

        assert not kept() and "the supervisor does not run" in node.console.notes[-1]
        received: list[bool] = []

        def confirm(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
            received.append(request.data)
            response.success = True
            return response

        made.node.create_service(SetBool, "/supervisor/keep_goal", confirm)
        made.until(kept)
        assert received and set(received) == {True}
        again = DiagnosticStatus(name="/supervisor", values=[KeyValue(key="keep_goal", value="False")])
        node._on_diagnostics(DiagnosticArray(status=[again]))  # as of a supervisor that was started again
        assert not node.console.keep_goal and node.console.notes[-1].endswith("the supervisor keeps no goal")
        made.node.create_service(Trigger, "/supervisor/stop", lambda request, response: response)
        made.until(node._triggers["stop"].service_is_ready)
        node.console.request("stop")
        node._carry_out()  # nothing handles the request, as after the end of a supervisor
        assert node.console.notes[-1].endswith("stop: sent, not confirmed")


@pytest.mark.any_speed
def test_collector_that_cannot_write_its_log_is_not_cleaned_up(tmp_path: Path) -> None:
    with made_here("collector", tmp_path) as node:
        assert change(node, CONFIGURE)
        folder, log, message = tmp_path / LOG_FOLDER, node._log, serialize_message(Episode())
        shutil.rmtree(folder)
        folder.write_text("in the way")
        with pytest.raises(OSError):
            log.write(EPISODE_TOPIC, message, 1)
        assert not change(node, CLEANUP) and state_of(node) == INACTIVE
        folder.unlink()
        log.write(EPISODE_TOPIC, message, 2)
        assert change(node, CLEANUP) and log.lost == 0
    (found,) = mcap_files(folder)
    with found.open("rb") as stream:
        assert [m.log_time for *_, m in make_reader(stream).iter_messages([EPISODE_TOPIC])] == [1, 2]


@pytest.mark.any_speed
def test_trainer_of_several_arms_that_would_learn_from_one_is_not_configured(tmp_path: Path) -> None:
    with made_here("trainer", tmp_path, arms=2) as node:
        assert not change(node, CONFIGURE)


@pytest.mark.any_speed
def test_scene_draws_in_active_alone(made: Bench) -> None:
    operator = started(made, "scene")
    drawn = made.collect(MarkerArray, "scene_markers", qos.LATCHED)
    Arm(made)

    def draws() -> None:
        made.until(lambda: len(drawn) > 2)

    def silent() -> None:
        made.spin(0.3)
        drawn.clear()
        made.spin(0.6)
        assert not drawn

    lives(operator, draws, silent, silent)


@pytest.mark.any_speed
def test_keyboard_drives_in_active_alone_and_pauses_when_it_is_deactivated(made: Bench) -> None:
    twists = made.collect(TwistStamped, "teleop/twist", qos.TELEOP)
    engaged = made.collect(Bool, "teleop/engaged", qos.TELEOP)
    events = made.collect(String, "teleop/event", qos.EVENT)
    terminal = Terminal(made, autostart=False)
    operator = Operator(made, "teleop_keyboard")
    operator(CONFIGURE)
    terminal.press("w")
    made.spin(0.5)
    assert not twists
    operator(ACTIVATE)
    terminal.press("i")  # in control until released: on a busy machine a key alone lapses before the deactivation
    end_s = time.monotonic() + 20
    while not (twists and twists[-1].twist.linear.x > 0) and time.monotonic() < end_s:
        terminal.press("w")
        made.spin(0.1)
    assert twists[-1].twist.linear.x > 0
    operator(DEACTIVATE)
    made.until(lambda: twists[-1].twist.linear.x == 0 and [one.data for one in events] == ["pause"])
    assert engaged[-1].data  # a release would give the arm back to the policy
    made.spin(0.5)
    count = len(twists)
    terminal.press("w")
    made.spin(0.5)
    assert len(twists) == count
    operator(CLEANUP, CONFIGURE, ACTIVATE)
    terminal.press("q")
    assert terminal.process.wait(10) == 0
