"""Lifecycle transitions of every lifecycle node: commands are sent in the state ACTIVE, and in no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

import rclpy  # noqa: E402
from lifecycle_msgs.msg import State as LifecycleState  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rclpy.lifecycle import LifecyclePublisher  # noqa: E402
from ros_bench import ROOT, Bench, bench  # noqa: E402
from test_node_policy import Stage  # noqa: E402

from tdm_ros.nodes.policy import PolicyNode  # noqa: E402

PRIMARY = {
    LifecycleState.PRIMARY_STATE_UNCONFIGURED: (),
    LifecycleState.PRIMARY_STATE_INACTIVE: (Transition.TRANSITION_CONFIGURE,),
    LifecycleState.PRIMARY_STATE_ACTIVE: (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    LifecycleState.PRIMARY_STATE_FINALIZED: (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,),
}
"""Each state in which a node rests, and the transitions that lead there from UNCONFIGURED."""
LEADS_TO = {
    (LifecycleState.PRIMARY_STATE_UNCONFIGURED, Transition.TRANSITION_CONFIGURE): LifecycleState.PRIMARY_STATE_INACTIVE,
    (LifecycleState.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_CLEANUP): LifecycleState.PRIMARY_STATE_UNCONFIGURED,
    (LifecycleState.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_ACTIVATE): LifecycleState.PRIMARY_STATE_ACTIVE,
    (LifecycleState.PRIMARY_STATE_ACTIVE, Transition.TRANSITION_DEACTIVATE): LifecycleState.PRIMARY_STATE_INACTIVE,
    **{
        (state, shutdown): LifecycleState.PRIMARY_STATE_FINALIZED
        for state, shutdown in (
            (LifecycleState.PRIMARY_STATE_UNCONFIGURED, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN),
            (LifecycleState.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_INACTIVE_SHUTDOWN),
            (LifecycleState.PRIMARY_STATE_ACTIVE, Transition.TRANSITION_ACTIVE_SHUTDOWN),
        )
    },
}
"""Transitions that a person may ask for; every other request is refused, and changes nothing."""
REQUESTS = (*range(Transition.TRANSITION_CREATE, Transition.TRANSITION_DESTROY + 1), 42)


class Operator:
    """Asks the node `policy` for transitions, beside an arm that moves."""

    def __init__(self, made: Bench) -> None:
        self.stage = Stage(made)
        self.bench = made
        self._change = made.node.create_client(ChangeState, "policy/change_state")
        self._get = made.node.create_client(GetState, "policy/get_state")

    def call(self, client: Any, request: Any) -> Any:
        assert client.wait_for_service(10)
        future = client.call_async(request)
        self.bench.until(future.done)
        return future.result()

    def ask(self, transition: int) -> bool:
        return self.call(self._change, ChangeState.Request(transition=Transition(id=transition))).success

    def state(self) -> int:
        return self.call(self._get, GetState.Request()).current_state.id

    def check_answers(self, active: bool) -> None:
        """Commands come exactly in ACTIVE, for states of the arm that the node has certainly been sent."""
        if not active:
            assert self.stage.silent(0.4)
        else:
            self.stage.commands.clear()
            self.bench.until(lambda: len(self.stage.commands) > 3)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with bench(tmp_path) as made:
        made.start("policy", autostart=False)
        yield Operator(made)


def test_policy_is_the_only_lifecycle_node() -> None:
    """A second one belongs into this file."""
    found = set()
    for path in (ROOT / "tdm_ros" / "nodes").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "LifecycleNode" in [getattr(base, "id", "") for base in node.bases]:
                found.add(path.stem)
    assert found == {"policy"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("begin", PRIMARY, ids=["unconfigured", "inactive", "active", "finalized"])
def test_policy_commands_in_active_alone_whatever_transition_is_asked_for(operator: Operator, begin: int) -> None:
    """From one state: all unlawful requests in turn, then the lawful ones, each on the way that comes next."""
    for transition in PRIMARY[begin]:
        assert operator.ask(transition)
    for transition in REQUESTS:
        if (begin, transition) not in LEADS_TO:
            assert not operator.ask(transition)
            assert operator.state() == begin
    operator.check_answers(begin == LifecycleState.PRIMARY_STATE_ACTIVE)
    assert operator.bench.processes["policy"].poll() is None, operator.bench.output("policy")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("begin", "transition"), LEADS_TO)
def test_policy_transition_leads_to_its_state_and_commands_only_if_that_is_active(
    operator: Operator, begin: int, transition: int
) -> None:
    for step in PRIMARY[begin]:
        assert operator.ask(step)
    operator.check_answers(begin == LifecycleState.PRIMARY_STATE_ACTIVE)
    assert operator.ask(transition)
    end = LEADS_TO[begin, transition]
    assert operator.state() == end
    operator.check_answers(end == LifecycleState.PRIMARY_STATE_ACTIVE)
    operator.bench.until(lambda: operator.bench.values("policy").get("active") == str(end == 3))


def test_policy_cleaned_up_and_configured_again_answers(operator: Operator) -> None:
    there_and_back = (1, 3, 4, 2)
    for transition in (*there_and_back, *there_and_back, 1, 3):
        assert operator.ask(transition)
    operator.check_answers(True)


class Failing:
    """A method of the real node, in this process, that fails once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        real, self.left = getattr(owner, name), 0

        def call(*given: object, **named: object) -> object:
            if self.left:
                self.left -= 1
                raise OSError("no memory")
            return real(*given, **named)

        monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    ("before", "transition", "part", "name"),
    [
        ("", "configure", PolicyNode, "create_subscription"),
        ("configure", "activate", LifecyclePublisher, "on_activate"),
        ("configure activate", "deactivate", LifecyclePublisher, "on_deactivate"),
        ("configure", "cleanup", PolicyNode, "destroy_subscription"),
        ("configure activate", "shutdown", PolicyNode, "destroy_subscription"),
    ],
)
def test_policy_transition_that_fails_stops_the_commands_and_the_node_can_be_used_again(
    monkeypatch: pytest.MonkeyPatch, before: str, transition: str, part: type, name: str
) -> None:
    failing = Failing(monkeypatch, part, name)
    rclpy.init(args=["--ros-args", "-p", "autostart:=false"])
    try:
        node = PolicyNode()
        for step in before.split():
            getattr(node, f"trigger_{step}")()
        failing.left = 1
        getattr(node, f"trigger_{transition}")()
        assert not failing.left
        assert node._state_machine.current_state[1] == "unconfigured"
        assert not node._active and node._commands is None
        node.trigger_configure()
        node.trigger_activate()
        assert node._state_machine.current_state[1] == "active" and node._active
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
