"""Start, loop and end of every node, and error handling of callbacks: an error is counted, the arm holds."""

from __future__ import annotations

import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer

from tdm_ros.bringup.starting import report
from tdm_ros.control.validation import Rejections
from tdm_ros.drivers.intera.output import never_wait, reader_has_ended
from tdm_ros.files import IN_USE_STATUS, FolderInUseError

STUCK_S, QUIET_S = 5.0, 1.0
"""An error of the node's own loop or timer that has come again for so long, never this long apart, is raised [s]."""


class Guard:
    """Reports errors to a node; one that does not stop to occur is raised.

    Parameters
    ----------
    node : Node
        Its ``rejections`` count the errors. With ``on_callback_error(why)`` it holds what it moves.
    clock : callable
        Steady time [s].
    """

    def __init__(self, node: Node, clock: Callable[[], float] = time.monotonic) -> None:
        self._node, self._clock = node, clock
        self._rejections = getattr(node, "rejections", None) or Rejections(node.get_logger().error)
        self._failing_s: dict[str, tuple[float, float]] = {}

    def failed(self, place: str, error: Exception, own: bool = True, by_itself: bool = False) -> None:
        """Count and log an error and, if it is in an own callback of the node, let the node hold.

        ``by_itself``: no message is the cause, it comes from a timer or the node's loop.

        Raises
        ------
        Exception
            The error, if it came by itself and does not stop for `STUCK_S`, another process writes our folder, or ROS
            is shut down.
        """
        if isinstance(error, FolderInUseError) or not rclpy.ok(context=self._node.context):
            raise error
        if by_itself:
            now_s = self._clock()
            begin_s, last_s = self._failing_s.get(place, (now_s, now_s))
            begin_s = now_s if now_s - last_s > QUIET_S else begin_s
            self._failing_s[place] = begin_s, now_s
            if now_s - begin_s > STUCK_S:
                raise error
        self._rejections.failed(place, error)
        hold = getattr(self._node, "on_callback_error", None)
        if own and hold is not None:
            hold(f"an error in {place}: {type(error).__name__}: {error}")


class GuardedExecutor(SingleThreadedExecutor):
    """Executor of one node that goes on after an error in a callback.

    Parameters
    ----------
    node : Node
    """

    def __init__(self, node: Node) -> None:
        super().__init__(context=node.context)
        self.guard = Guard(node)
        self.add_node(node)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and execute it."""
        try:
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec)
        except (ShutdownException, TimeoutException):
            return
        handler()
        error = handler.exception()
        if error is None:
            return
        if isinstance(error, ExternalShutdownException) or not isinstance(error, Exception):
            raise error
        _release(entity)
        by_rclpy = str(getattr(getattr(entity, "callback", None), "__module__", "")).startswith("rclpy.")
        self.guard.failed(place_of(entity), error, own=not by_rclpy, by_itself=isinstance(entity, Timer))


def _release(entity: Any) -> None:
    """Let an entity be waited for again: where a message cannot be taken, rclpy does not."""
    if getattr(entity, "_executor_event", False):
        entity._executor_event = False
        entity.callback_group.ending_execution(entity)


def place_of(entity: Any) -> str:
    """What a callback belongs to: its topic or service, else its name."""
    for name in ("topic_name", "service_name", "srv_name"):
        if found := getattr(entity, name, ""):
            return str(found)
    callback = getattr(entity, "callback", None)
    return str(getattr(callback, "__qualname__", type(entity).__name__))


try:
    from rclpy._rclpy_pybind11 import RCLError
except ImportError:  # its place is not part of rclpy's promises
    RCLError = RuntimeError

IDLE_S = 0.1
"""Longest time in one wait, and so the time after which a signal is noticed."""
READER_S = 1.0
"""Time between two looks at whether somebody reads what a node prints: who started it may have been killed."""


class StopSignal:
    """SIGINT, SIGTERM and SIGHUP as a flag, so that nothing stops half-way; during start-up an exception.

    An exception may be swallowed by what is just being imported: the flag counts. SIGHUP stays ignored where it was
    (nohup); SIGINT does not: a shell lets what it starts in the background ignore it, and launch stops nodes by it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._starting = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def look_for_the_reader(self) -> None:
        """Ask for the end when nobody is left who could read what is printed."""
        self.requested |= reader_has_ended()

    def started(self) -> None:
        """From now on signals only set the flag."""
        self._starting = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self._starting:
            raise KeyboardInterrupt


def spin_idle(executor: SingleThreadedExecutor) -> None:
    """Handle what is there, or wait a little for it: the loop of a node that only reacts."""
    executor.spin_once(timeout_sec=IDLE_S)


def every(node: Node, seconds: float, call: Callable[[], object]) -> None:
    """Call something again and again, on the steady clock: a simulation that is paused must not stop it [s]."""
    node.create_timer(seconds, call, clock=Clock(clock_type=ClockType.STEADY_TIME))


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Make a node, spin it until a signal or its own end, and close it.

    A node may have ``step(executor)``, its own loop body; ``done``, true when it has nothing left to do; ``close()``,
    called once at the end, when publishing may no longer be possible; and ``failure``, after that, why it did not do
    what it was started for.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error or failure, which is printed; `IN_USE_STATUS` if another process writes its
        folder.
    """
    stop = StopSignal()
    never_wait()
    node: Any = None
    failure: Exception | None = None
    running = False
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        every(node, READER_S, stop.look_for_the_reader)
        executor = GuardedExecutor(node)
        step = getattr(node, "step", spin_idle)
        stop.started()
        gc.collect()
        gc.freeze()
        running = True
        while not stop.requested and rclpy.ok() and not getattr(node, "done", False):
            try:
                step(executor)
            except (KeyboardInterrupt, ExternalShutdownException):
                raise
            except Exception as error:
                executor.guard.failed("the loop", error, by_itself=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        # What an interruption breaks while the node starts, or a shutdown while it spins, is no failure.
        if not (stop.requested if not running else isinstance(error, RCLError) and not rclpy.ok()):
            failure = error
    finally:
        stop.started()
    if failure is not None:
        report(node.get_name() if node else Path(sys.argv[0]).name, failure)
    _end(node)
    if sentence := getattr(node, "failure", ""):
        print(sentence, file=sys.stderr, flush=True)
    if isinstance(failure, FolderInUseError):
        return IN_USE_STATUS
    return 1 if failure is not None or sentence else 0


def _end(node: Any) -> None:
    """Close, destroy and shut down; an error in one must not keep the others from happening."""
    for action in (getattr(node, "close", None), getattr(node, "destroy_node", None), rclpy.try_shutdown):
        if action is None:
            continue
        try:
            action()
        except (RCLError, ExternalShutdownException):
            pass
        except Exception:
            traceback.print_exc()
