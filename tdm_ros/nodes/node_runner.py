"""Start, loop and end, the same for every node: SIGINT or SIGTERM at any moment ends it with status 0."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

try:
    from rclpy._rclpy_pybind11 import RCLError
except ImportError:  # its place is not part of rclpy's promises
    RCLError = RuntimeError

IDLE_S = 0.1
"""Longest time in one wait, and so the time after which a signal is noticed."""


class StopSignal:
    """SIGINT and SIGTERM as a flag, so that nothing stops half-way; during start-up an exception."""

    def __init__(self) -> None:
        self.requested = False
        self._starting = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

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

    A node may have ``step(executor)``, its own loop body; ``done``, true when it has nothing left to do; and
    ``close()``, called once at the end, when publishing may no longer be possible.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error, which is printed.
    """
    stop = StopSignal()
    node: Node | None = None
    status = 0
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        step = getattr(node, "step", spin_idle)
        stop.started()
        gc.collect()
        gc.freeze()
        while not stop.requested and rclpy.ok() and not getattr(node, "done", False):
            step(executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RCLError:
        if rclpy.ok():
            traceback.print_exc()
            status = 1
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        if not isinstance(error, ValueError | OSError):
            traceback.print_exc()
        status = 1
    finally:
        stop.started()
        _end(node)
    return status


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
