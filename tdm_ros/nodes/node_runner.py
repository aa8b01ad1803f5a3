"""Start, lifecycle, loop and end of every node, and error handling of callbacks: an error is counted, the arm holds."""

from __future__ import annotations

import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.srv import ChangeState
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer

from tdm_ros.bringup.starting import report
from tdm_ros.control.validation import Rejections
from tdm_ros.drivers.intera.output import never_wait, reader_has_ended
from tdm_ros.files import IN_USE_STATUS, FolderInUseError
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.parameters import NODES, Declared

STUCK_S, QUIET_S = 5.0, 1.0
"""An error of the node's own loop or timer that repeats for this long, at intervals below QUIET_S, is raised [s]."""


class GuardedExecutor(SingleThreadedExecutor):
    """Executor of one node that continues after an error in a callback; an error that repeats without end is raised.

    The node's ``rejections`` count the errors; in ``on_callback_error`` it holds what it moves. ``clock`` is steady.
    """

    def __init__(self, node: Any, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(context=node.context)
        self._node, self._now_s = node, clock
        self._failing_s: dict[str, tuple[float, float]] = {}
        self.add_node(node)

    def spin_once(self, timeout_sec: float | None = None) -> bool:
        """Wait for one callback and execute it; return whether there was one."""
        try:
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec)
        except (ShutdownException, TimeoutException):
            return False
        handler()
        error = handler.exception()
        if error is None:
            return True
        if isinstance(error, ExternalShutdownException) or not isinstance(error, Exception):
            raise error
        _release(entity)
        self.failed(place_of(entity), error, own=_is_own(entity, error), by_itself=isinstance(entity, Timer))
        return True

    def failed(self, place: str, error: Exception, own: bool = True, by_itself: bool = False) -> None:
        """Count and log an error and, if it is in an own callback of the node, let the node hold.

        ``by_itself``: no message is the cause; the error comes from a timer or the node's loop. It is raised if it
        repeats for `STUCK_S`; any error is, if another process writes our folder or ROS is shut down.
        """
        if isinstance(error, FolderInUseError) or not rclpy.ok(context=self._node.context):
            raise error
        if by_itself:
            now_s = self._now_s()
            begin_s, last_s = self._failing_s.get(place, (now_s, now_s))
            begin_s = now_s if now_s - last_s > QUIET_S else begin_s
            self._failing_s[place] = begin_s, now_s
            if now_s - begin_s > STUCK_S:
                raise error
        self._node.rejections.failed(place, error)
        if own and self._node.configured:
            self._node.on_callback_error(f"an error in {place}: {type(error).__name__}: {error}")


def _is_own(entity: Any, error: Exception) -> bool:
    """Return whether an error is of our callback; an action server has none of its own, but calls ours."""
    if (callback := getattr(entity, "callback", None)) is not None:
        return not str(getattr(callback, "__module__", "")).startswith("rclpy.")
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(name.startswith("tdm_ros.") and name != __name__ for name in modules)


def _release(entity: Any) -> None:
    """Make an entity ready to be waited for again; rclpy does not where a message cannot be taken."""
    if getattr(entity, "_executor_event", False):
        entity._executor_event = False
        entity.callback_group.ending_execution(entity)


def place_of(entity: Any) -> str:
    """Topic or service of a callback, else its name."""
    names = [getattr(entity, name, "") for name in ("topic_name", "service_name", "srv_name")]
    names.append(getattr(getattr(entity, "callback", None), "__qualname__", type(entity).__name__))
    return str(next(filter(None, names)))


try:
    from rclpy._rclpy_pybind11 import RCLError
except ImportError:  # its place is not part of rclpy's public interface
    RCLError = RuntimeError

IDLE_S = 0.1  # longest time in one wait, and so the time after which a signal is noticed
READER_S = 1.0
"""Time between two checks that a process reads the output of the node: its parent may have been killed."""


class StopSignal:
    """SIGINT, SIGTERM and SIGHUP as a flag, so that nothing stops half-way; during start-up an exception.

    A module that is being imported may swallow an exception: the flag counts. SIGHUP stays ignored where it was
    (nohup); SIGINT does not: a shell starts background processes with SIGINT ignored, and launch stops nodes by it.
    """

    def __init__(self) -> None:
        self.requested = False
        self.starting = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def look_for_the_reader(self) -> None:
        """Request the end when no process is left that reads the output; a signal in between stays requested."""
        if reader_has_ended():
            self.requested = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self.starting:
            raise KeyboardInterrupt


def spin_idle(executor: SingleThreadedExecutor) -> None:
    """Execute one callback, or wait for one for `IDLE_S`: the loop of a node that only reacts."""
    executor.spin_once(timeout_sec=IDLE_S)


def every(node: Node, seconds: float, call: Callable[[], object]) -> Timer:
    """Call periodically, on the steady clock [s]: a paused simulation must not stop it."""
    return node.create_timer(seconds, call, clock=Clock(clock_type=ClockType.STEADY_TIME))


Result = TypeVar("Result")


class ManagedNode(LifecycleNode):
    """Lifecycle node that configures and activates itself, unless the parameter `autostart` is false.

    A subclass creates its publishers, subscriptions, timers and services in `configure`; cleanup, shutdown and an error
    destroy them. Other resources it adds to ``resources`` when it acquires them. It acts only while ``active``. It may
    have ``done``, true when nothing is left to do, and ``failure``, why it did not do what it was started for.
    """

    PARAMETERS: type[Any]  # one of the classes in `parameters.NODES`, whose key is the name of the node

    def __init__(self) -> None:
        super().__init__(next(name for name, kind in NODES.items() if kind is self.PARAMETERS))
        self._declared: Declared[Any] = Declared(self, self.PARAMETERS)
        self.rejections = Rejections(self.get_logger().warning)
        self.active = self.configured = False
        self.resources = ExitStack()
        self._error: Exception | None = None
        self._brings_up = False
        self._diagnostics = Diagnostics(self)
        every(self, 1.0, self.publish_diagnostics)
        self._permanent: set[Any] | None = None
        """Publishers and so on that are not `configure`'s; None while it has made none."""
        self._reject_invalid_transitions()

    def configure(self) -> None:
        """Create publishers and subscriptions, and acquire resources."""

    def activate(self) -> None:
        """Begin to act; ``active`` is true already."""

    def deactivate(self) -> None:
        """Stop to act, and keep what the node has; ``active`` is false already."""

    def step(self, executor: GuardedExecutor) -> None:
        """Execute the loop body of a configured node: one callback."""
        spin_idle(executor)

    def on_callback_error(self, why: str) -> None:
        """Hold what the node moves: a callback may have been executed in part."""

    def problem(self) -> str:
        """Return the present problem of the node, for its diagnostics; "" without one."""
        return ""

    def values(self) -> Mapping[str, object]:
        """Return the values of a configured node for its diagnostics."""
        return {}

    def frame(self, name: str) -> str:
        """Return the name of a frame of this arm as others know it, with the prefix."""
        prefix, namespace = self._declared.values.frame_prefix, self.get_namespace().strip("/")
        return (f"{namespace}/" if namespace else "") + name if prefix == "auto" else prefix + name

    def bring_up(self) -> None:
        """Configure and activate, unless `autostart` is false; raise the error of a transition that failed."""
        if not self._declared.values.autostart:
            self.get_logger().info(
                f"autostart is false: ros2 lifecycle set {self.get_fully_qualified_name()} configure"
            )
            return
        self._brings_up = True  # the log has the end of it
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise self._error or RuntimeError(f"{self.get_name()} is not brought up: its transition failed")
            self._brings_up = False

    def publish_diagnostics(self) -> None:
        self._diagnostics.publish(self.not_active())

    def not_active(self) -> str:
        """Return that the node is not active, and the remedy; "" if it is."""
        state = self._state_machine.current_state[1]
        remedy = {"unconfigured": "configure", "inactive": "activate"}.get(state, "")
        command = f": ros2 lifecycle set {self.get_fully_qualified_name()} {remedy}" if remedy else ""
        return "" if self.active else f"the node is {state}{command}"

    def all_values(self) -> dict[str, object]:
        """Return the values for the diagnostics, with the state of the lifecycle."""
        lifecycle = {"active": self.active, "lifecycle": self._state_machine.current_state[1]}
        return {**lifecycle, **(self.values() if self.configured else {})}

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._permanent = self._entities()
        self._attempt(self.configure)
        self.configured = True
        return self._changed("inactive", self._attempt(super().on_configure, state))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._attempt(super().on_activate, state)
        self.active = result == TransitionCallbackReturn.SUCCESS
        if self.active:
            self._attempt(self.activate)
        return self._changed("active", result)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        self._attempt(self.deactivate)
        return self._changed("inactive", self._attempt(super().on_deactivate, state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to act and undo `on_configure`, whatever part of it was done."""
        self._attempt(self.close)
        return self._changed("unconfigured", TransitionCallbackReturn.SUCCESS)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to act for good, in any state."""
        active, self.active = self.active, False
        if active:
            self._attempt(self.deactivate)
        self._attempt(self.close)
        return self._changed("finalized", TransitionCallbackReturn.SUCCESS)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to act after a transition that failed; the node can then be configured again."""
        why = f": {type(self._error).__name__}: {self._error}" if self._error else ""
        self.get_logger().error(
            f"the transition from {state.label} failed{why}; the node is unconfigured and does nothing"
        )
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Release and destroy everything that `configure` made."""
        self.active = False
        try:
            self.resources.close()
        finally:
            self.configured = False
            self._destroy_entities()

    def destroy_node(self) -> None:
        """Destroy the node and, which rclpy does not, its state machine, whose services keep the participant alive."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _attempt(self, action: Callable[..., Result], *arguments: object) -> Result:
        """Act; keep the error, of which rclpy only keeps that there was one."""
        self._error = None
        try:
            return action(*arguments)
        except Exception as error:
            self._error = error
            raise

    def _changed(self, state: str, result: TransitionCallbackReturn) -> TransitionCallbackReturn:
        if result == TransitionCallbackReturn.SUCCESS and not self._brings_up:
            self.get_logger().info(f"the node is {state}")
        return result

    def _entities(self) -> set[Any]:
        made = (self.publishers, self.subscriptions, self.timers, self.services, self.clients, self.guards)
        return {entity for entities in (*made, self.waitables) for entity in entities}

    def _destroy_entities(self) -> None:
        """Destroy what `configure` created; first what has waitables of its own (events of publishers)."""
        kept = self._entities() if self._permanent is None else self._permanent
        for entities, destroy in (
            (self.publishers, self.destroy_lifecycle_publisher),
            (self.subscriptions, self.destroy_subscription),
            (self.timers, self.destroy_timer),
            (self.services, self.destroy_service),
            (self.clients, self.destroy_client),
            (self.guards, self.destroy_guard_condition),
            (self.waitables, lambda waitable: waitable.destroy()),
        ):
            for entity in {*entities} - kept:
                destroy(entity)
        self._permanent = None

    def _reject_invalid_transitions(self) -> None:
        """Reject a request for a transition that the present state does not have: rclpy would end the node."""
        service = self._service_change_state
        change = service.callback

        def handle(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change(request, response)
            except RuntimeError as error:  # RCLError is one
                self.rejections.reject("transition", f"id {request.transition.id}: {error}")
                response.success = False
                return response

        service.callback = handle


def run(make_node: Callable[[], ManagedNode]) -> int:
    """Make a node, bring it up, spin it until a signal or its own end, and close it; return the exit status.

    It is 1 after an error or failure, which is printed, `IN_USE_STATUS` if another process writes the node's folder.
    """
    stop = StopSignal()
    never_wait()
    node: ManagedNode | None = None
    executor: GuardedExecutor | None = None
    failure: Exception | None = None
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        every(node, READER_S, stop.look_for_the_reader)
        gc.collect()  # not later: a collection that visits all modules takes half a second, and others wait for us then
        gc.freeze()
        node.bring_up()
        executor = GuardedExecutor(node)
        stop.starting = False
        gc.freeze()
        _spin(node, executor, stop)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        # What an interruption breaks while the node starts, or a shutdown while it spins, is no failure.
        if not (stop.requested if stop.starting else isinstance(error, RCLError) and not rclpy.ok()):
            failure = error
    finally:
        stop.starting = False
    if failure is not None:
        report(node.get_name() if node else Path(sys.argv[0]).name, failure)
    _end(node, executor)
    if sentence := getattr(node, "failure", ""):
        print(sentence, file=sys.stderr, flush=True)
    if isinstance(failure, FolderInUseError):
        return IN_USE_STATUS
    return 1 if failure is not None or sentence else 0


def _spin(node: ManagedNode, executor: GuardedExecutor, stop: StopSignal) -> None:
    """Execute the node's loop body until a signal, or its own end; a node that is not configured only reacts."""
    while not stop.requested and rclpy.ok() and not getattr(node, "done", False):
        try:
            (node.step if node.configured else spin_idle)(executor)
        except ExternalShutdownException:
            raise
        except Exception as error:
            executor.failed("the loop", error, by_itself=True)


def _end(node: ManagedNode | None, executor: GuardedExecutor | None) -> None:
    """Close, destroy and shut down; an error in one must not keep the others from happening.

    First the executor: since its last callback it has everything in use, and what is in use is not destroyed. DDS would
    go on in its threads while the process exits, and might crash.
    """
    ends = [executor.shutdown] if executor else []
    ends += [node.close, node.destroy_node] if node else []
    for action in (*ends, rclpy.try_shutdown):
        try:
            action()
        except (RCLError, ExternalShutdownException):
            pass
        except Exception:
            traceback.print_exc()
