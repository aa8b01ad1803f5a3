"""Starts real nodes as processes, in a namespace of their own, and talks to them over DDS."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_NUMBERS = itertools.count(1)
SETTLE_S = 0.05
"""Time for Fast DDS to handle what ended processes have announced [s].

In 2.14 the deletion of a reader while a writer is discovered can end our process
(EDP::pairing_writer_proxy_with_any_local_reader).
"""
PROGRAM = "import sys; from tdm_ros.bringup.starting import start; sys.exit(start('{0}'))"
"""What the node's executable does."""


def resting_state(**fields: Any) -> Any:
    """A valid `ArmState` of an arm at rest at home, with these fields; its stamp is left to be filled in."""
    import numpy as np
    from tdm_ros.msg import ArmState

    from tdm_ros.nodes.convert import doubles, floats
    from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD

    rest = {
        "run": "test",
        "joint_names": list(JOINT_NAMES),
        "position": doubles(NEUTRAL_RAD),
        "velocity": doubles(np.zeros(7)),
        "executed_action": floats(np.zeros(7)),
    }
    return ArmState(**rest | fields)


class Bench:
    """Processes and one node of ours; the output of each process is in the folder as ``<node>.out``."""

    def __init__(self, folder: Path) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.folder = folder
        self.namespace = f"/bench_{os.getpid()}_{next(_NUMBERS)}"
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("bench", namespace=self.namespace, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._others: list[Any] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._watch_diagnostics()

    def start(
        self,
        name: str,
        environment: Mapping[str, str] | None = None,
        out: int | None = None,
        program: str = PROGRAM,
        **parameters: object,
    ) -> subprocess.Popen[bytes]:
        """Start a node as a process of its own; ``arm2/policy`` is one of an arm that shares our trainer.

        It has our folder as its run folder. Its output goes to a file, or to the descriptor ``out``.
        """
        from tdm_ros.nodes.parameters import NODES

        whole, (arm, _, name) = name, name.rpartition("/")
        usual = {"run_dir": self.folder / arm, "port": 0}
        parameters = {key: value for key, value in usual.items() if hasattr(NODES.get(name), key)} | parameters
        arguments = ["--ros-args", "-r", f"__ns:={self.namespace}/{arm}".removesuffix("/")]
        arguments += ["-r", f"policy_weights:={self.namespace}/policy_weights"] if arm else []
        for key, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ["-p", f"{key}:={text}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        (self.folder / arm).mkdir(exist_ok=True)
        with (self.folder / f"{whole}.out").open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", program.replace("{0}", name), *arguments],
                stdout=file if out is None else out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment,
            )
        self.processes[whole] = process
        return process

    def stop(self, name: str, number: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Send a signal; return the exit status and how long it took [s]."""
        process = self.processes.pop(name)
        begin_s = time.monotonic()
        process.send_signal(number)
        try:
            status = process.wait(10)
        finally:
            process.kill()
        return status, time.monotonic() - begin_s

    def another(self, name: str, arm: str = "") -> Any:
        """Make a node that publishes under another name; it receives nothing."""
        import rclpy

        space = f"{self.namespace}/{arm}".rstrip("/")
        self._others.append(rclpy.create_node(name, namespace=space, context=self.context))
        return self._others[-1]

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text(errors="replace")

    def collect(self, kind: type[Any], topic: str, qos: Any = 100) -> list[Any]:
        """Subscribe; the list grows as messages come."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, qos)
        return received

    def spin(self, seconds: float) -> None:
        self.until(lambda: False, seconds, must=False)

    def until(self, condition: Callable[[], bool], seconds: float = 20.0, must: bool = True) -> None:
        """Handle messages until something is true; fail with every node's output if it does not."""
        end_s = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end_s:
                if must:
                    said = "\n".join(f"--- {name}\n{self.output(name)[-3000:]}" for name in self.processes)
                    raise AssertionError(f"did not come true within {seconds} s; the nodes said:\n{said}")
                return
            self._executor.spin_once(timeout_sec=0.02)

    def values(self, name: str) -> dict[str, str]:
        return self.diagnostics.get(name, {})

    def rejected(self, name: str) -> dict[str, int]:
        """Rejected inputs of a node, per reason, from its diagnostics."""
        prefix = "rejected: "
        return {k.removeprefix(prefix): int(v) for k, v in self.values(name).items() if k.startswith(prefix)}

    def _watch_diagnostics(self) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        def note(message: DiagnosticArray) -> None:
            for status in message.status:
                if status.name.startswith(f"{self.namespace}/"):
                    name = status.name.removeprefix(f"{self.namespace}/")
                    self.diagnostics[name] = {pair.key: pair.value for pair in status.values}

        self.node.create_subscription(DiagnosticArray, "/diagnostics", note, 100)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        if self.processes:
            time.sleep(SETTLE_S)
        self._executor.shutdown()
        for node in (*self._others, self.node):
            node.destroy_node()
        self.context.try_shutdown()


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """A bench that leaves no process behind."""
    made = Bench(folder)
    try:
        yield made
    finally:
        made.close()
