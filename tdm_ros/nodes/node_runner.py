"""Start, loop and end of every node: a signal at any moment ends it with status 0."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from tdm_ros.folder_lock import IN_USE_STATUS, FolderInUseError
from tdm_ros.intera.output import never_wait, reader_has_ended
from tdm_ros.nodes.guard import GuardedExecutor
from tdm_ros.system.starting import report

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
