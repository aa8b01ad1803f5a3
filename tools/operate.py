"""Operate a running system from one terminal without `ros2`: motors, faults, start, and the deadman.

    .venv/bin/python tools/operate.py runs/latest

The run folder has the ROS domain of the system. s and SPACE, while they are held, are the deadman. s also starts the
arm, because a terminal repeats only the last key. A terminal reports no release: 0.15 s without a repetition count as
one (0.5 s after a single tap).
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import termios
import time
import tty
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tdm_ros.cli.teleop import add_system_arguments, environment_of, namespace_of  # noqa: E402
from tdm_ros.control.teleop import FIRST_S, REPEAT_S  # noqa: E402
from tdm_ros.control.timeline import State  # noqa: E402

SERVICES = {
    "e": "arm/enable",
    "r": "arm/reset",
    "x": "arm/stop",
    "c": "supervisor/clear_fault",
    "p": "supervisor/pause",
}
START, DEADMAN, QUIT = "s", " ", "q"
HELP = (
    f"{'   '.join(f'{key} {name}' for key, name in SERVICES.items())}\n"
    "s, held: supervisor/start, and the deadman   SPACE, held: the deadman   q leave"
)
PERIOD_S = 0.05
FOUND_S = 5.0
"""Time in which services are discovered [s]."""


class Deadman:
    """State of the deadman's keys, from the repetitions that a terminal sends."""

    def __init__(self) -> None:
        self._key = ""
        self._pressed_s = self._until_s = -float("inf")

    def press(self, key: str, now_s: float) -> bool:
        """Process a key; return whether it was pressed anew, instead of repeated."""
        repeats = key == self._key and now_s - self._pressed_s < FIRST_S
        self._key, self._pressed_s = key, now_s
        self._until_s = now_s + (REPEAT_S if repeats else FIRST_S)
        return not repeats

    def held(self, now_s: float) -> bool:
        """Whether a key is held."""
        return now_s < self._until_s


def main() -> int:
    """Read keys until q or the end of input."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_system_arguments(words)
    asked = words.parse_args()
    if not sys.stdin.isatty():
        print("operate: it needs a terminal on its standard input", file=sys.stderr)
        return 1
    try:
        os.environ.update(environment_of(asked.run_dir, asked.network))
    except (OSError, ValueError) as error:
        print(f"operate: {error}", file=sys.stderr)
        return 1
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        operate(asked.namespace or namespace_of(asked.run_dir))
    except KeyboardInterrupt:
        pass
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
    return 0


class Operator:
    """Services, deadman and printed state of the system in a namespace."""

    def __init__(self, namespace: str) -> None:
        import rclpy
        from std_msgs.msg import Bool
        from std_srvs.srv import Trigger
        from tdm_ros.msg import ArmState, Episode

        from tdm_ros.nodes import qos

        self._bool, self._request = Bool, Trigger.Request
        self.node = node = rclpy.create_node("deadman", namespace=namespace)  # the name that the arm expects
        self._services = SERVICES | {START: "supervisor/start"}
        self._clients = {key: node.create_client(Trigger, name) for key, name in self._services.items()}
        self._deadman = node.create_publisher(Bool, "deadman", qos.COMMAND)
        self._shown: dict[str, str] = {}
        node.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)
        node.create_subscription(ArmState, "arm_state", self._on_arm, qos.STATE)
        until_s = time.monotonic() + FOUND_S
        for client in self._clients.values():
            client.wait_for_service(max(0.0, until_s - time.monotonic()))

    def deadman(self, held: bool) -> None:
        """Publish the deadman."""
        self._deadman.publish(self._bool(data=held))

    def call(self, key: str) -> None:
        """Call the service of a key, and print the answer when it comes."""
        name, client = self._services[key], self._clients[key]
        if not client.service_is_ready():
            print(f"{name}: no node offers it: is the system up, and in this namespace?", flush=True)
            return
        answer = client.call_async(self._request())
        answer.add_done_callback(lambda done: print(f"{name}: {_answer(done.result())}", flush=True))

    def _show(self, name: str, text: str) -> None:
        if self._shown.get(name) != text:
            self._shown[name] = text
            print(f"{name}: {text}", flush=True)

    def _on_episode(self, message: Any) -> None:
        self._show("system", f"{State(message.state).name} {message.reason}")

    def _on_arm(self, message: Any) -> None:
        self._show("arm", message.fault or message.hold_reason or "moves")


def operate(namespace: str) -> None:
    """Call the services of the keys, publish the deadman while its key is held, and print changes of state."""
    import rclpy

    rclpy.init()
    operator, deadman, was_held = Operator(namespace), Deadman(), False
    print(HELP, flush=True)
    while True:
        if select.select([sys.stdin], [], [], PERIOD_S)[0]:
            keys = os.read(sys.stdin.fileno(), 64).decode(errors="ignore")
            if not keys or QUIT in keys:
                break
            for key in dict.fromkeys(keys):
                if key in (START, DEADMAN) and deadman.press(key, time.monotonic()) and key == START:
                    operator.deadman(True)  # before the start, which needs it
                    operator.call(key)
                elif key in SERVICES:
                    operator.call(key)
        if (held := deadman.held(time.monotonic())) or was_held:
            operator.deadman(held)
        was_held = held
        for _ in range(20):
            rclpy.spin_once(operator.node, timeout_sec=0.0)
    operator.deadman(False)
    operator.node.destroy_node()
    rclpy.shutdown()


def _answer(answer: object) -> str:
    done, message = getattr(answer, "success", False), getattr(answer, "message", "")
    return message or ("done" if done else "not done")


if __name__ == "__main__":
    sys.exit(main())
