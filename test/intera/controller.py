"""The simulated robot's controller and body, which the ROS 1 and the ROS 2 robot of the tests share."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tdm_ros.envs.sawyer_sim import SawyerSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.sawyer import EFFORT_MAX_N_M, JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S

STEP_S = 0.002
PUBLISH_EVERY = 5  # steps, so that joint_states come at 100 Hz
POSITION, VELOCITY, TORQUE = 1, 2, 3
LIMB = "/robot/limb/right/"
FLAGS = (
    "frozen",
    "stuck",
    "nan",
    "collided",
    "deaf",
    "mute",
    "mute_collision",
    "mute_hand",
    "mute_cuff",
    "mute_navigator",
    "mute_io",
    "io_repeats",
)
"""What a test sets: frozen, stuck and nan are of joint states, mute of the robot's state. io_repeats is no fault: the
states of devices come 5 times per second, not on a change alone."""


class Controller:
    """The robot's own: control modes, the command time-out, enabling and stopping. Its clock is given."""

    def __init__(self) -> None:
        # The real controller makes up for friction and damping, which the servos of our model do not: nearly none here.
        self.sim = SawyerSim(ACTUATIONS["torque_low_damping"])
        self.lock = threading.RLock()
        self.timeout_s, self.speed_ratio = 0.2, 0.3
        self.mode = POSITION
        self.homed = True
        self.enabled = self.stopped = self.error = self.error_persists = False
        self.estop_button, self.estop_source = 0, 0
        self.timeouts = self.commands = self.bad_commands = 0
        self.trace: deque[tuple[float, list[float], list[float]]] = deque(maxlen=15000)  # 30 s
        self._values = np.zeros(7)
        self._heard_s = 0.0
        self.hold()

    def hold(self) -> None:
        """Position mode, where the arm is."""
        self.mode, self._goal = POSITION, self.sim.reading().q_rad

    def command(self, message: Any, now_s: float) -> None:
        """Take in a joint command. One that cannot be followed is counted, and changes nothing."""
        with self.lock:
            self.commands += 1
            field = {
                POSITION: message.position,
                VELOCITY: message.velocity,
                TORQUE: message.effort,
            }.get(message.mode, ())
            order = [JOINT_NAMES.index(name) for name in message.names if name in JOINT_NAMES]
            good = sorted(order) == list(range(7)) and len(field) == 7 and np.isfinite(field).all()
            self.bad_commands += not good
            if not good or not self.enabled:
                return
            values = np.empty(7)
            values[order] = field
            self.mode, self._heard_s = message.mode, now_s
            if self.mode == POSITION:
                self._goal = np.clip(values, Q_LOWER_RAD, Q_UPPER_RAD)
            else:
                cap = QD_MAX_RAD_S if self.mode == VELOCITY else EFFORT_MAX_N_M
                self._values = np.clip(values, -cap, cap)

    def step(self, now_s: float) -> None:
        """Let 2 ms of motion pass."""
        with self.lock:
            if self.mode != POSITION and now_s - self._heard_s > self.timeout_s:
                self.timeouts += 1
                self.hold()
            if not self.enabled:
                self.hold()
            if self.mode == TORQUE:
                self.sim.drive("torque", self._values)
            else:
                self.sim.drive("velocity", self._approach() if self.mode == POSITION else self._values)
            self.sim.advance(1)
            reading = self.sim.reading()
            self.trace.append((now_s, reading.q_rad.tolist(), reading.qd_rad_s.tolist()))

    def enable(self, on: bool) -> None:
        """Switch the motors; a stopped robot does not listen."""
        with self.lock:
            self.enabled = on and not self.stopped

    def stop(self, button: int, source: int) -> None:
        """Stop: by the button (1, user) or by the topic (2, unknown)."""
        with self.lock:
            self.stopped, self.enabled = True, False
            self.estop_button, self.estop_source = button, source

    def reset(self) -> None:
        """Clear a stop, unless the button is still pressed, and errors, unless they persist; the motors go off."""
        with self.lock:
            if self.estop_button != 1:
                self.stopped = self.enabled = False
                self.error = self.error_persists
                self.estop_button = self.estop_source = 0

    def _approach(self) -> np.ndarray:
        """All joints at one time, the slowest at the speed ratio, and slower on the last bit."""
        left = self._goal - self.sim.reading().q_rad
        seconds = np.max(np.abs(left) / (max(self.speed_ratio, 1e-3) * QD_MAX_RAD_S))
        return left / max(seconds, 0.1)


class Body:
    """The controller in real time, the faults that a test sets, and what it asks. A node of either ROS is one."""

    def __init__(self) -> None:
        self.controller = Controller()
        self.flags = dict.fromkeys(FLAGS, False)
        self.lag_s = 0.0
        self._last: Any = None

    def publish_motion(self) -> None:
        """Joints and hand."""
        raise NotImplementedError

    def publish_state(self) -> None:
        """State of the robot."""
        raise NotImplementedError

    def publish_collision(self) -> None:
        """Collision flag."""
        raise NotImplementedError

    def publish_devices(self) -> None:
        """Cuff, navigator, gripper; none by default."""

    def press(self, device: str, signal: str, value: object) -> None:
        """Press a button."""
        raise NotImplementedError

    def withdraw(self, device: str) -> None:
        """Publish the state of a device no more."""
        raise NotImplementedError

    def publish_flags(self) -> None:
        """State of the robot and collision, unless a test made them mute."""
        if not self.flags["mute"]:
            self.publish_state()
        if not self.flags["mute_collision"]:
            self.publish_collision()

    def leave(self) -> None:
        """Follow joint commands no more."""
        raise NotImplementedError

    def more_facts(self) -> dict[str, object]:
        """Facts about what not every robot has."""
        return {}

    def joints(self, message: Any) -> Any | None:
        """Fill a JointState of either ROS, that of the head included, with what sensors say; None: mute."""
        with self.controller.lock:
            reading, effort = self.controller.sim.reading(), self.controller.sim.effort()
        message.name = ["head_pan", *JOINT_NAMES]
        message.position, message.velocity = [0.0, *reading.q_rad], [0.0, *reading.qd_rad_s]
        message.effort = [0.0, *effort]
        if self.flags["nan"]:
            message.velocity[3] = float("nan")
        if self.flags["stuck"] and self._last is not None:
            message = self._last  # the same sample again and again
        self._last = message
        return None if self.flags["frozen"] else message

    def take(self, message: Any) -> None:
        """Take a joint command in."""
        if not self.flags["deaf"]:
            self.controller.command(message, time.monotonic())

    def set_timeout(self, message: Any) -> None:
        """Set the time after which a silent commander is given up."""
        self.controller.timeout_s = min(max(message.data, 0.0), 1.0)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Move in real time, and publish: joints and hand at 100 Hz, flags at 20 Hz, devices at 5 Hz."""
        start_s, steps = time.monotonic(), 0
        while not is_over():
            due_s = start_s + steps * STEP_S
            now_s = time.monotonic()
            if now_s < due_s:
                time.sleep(due_s - now_s)
                now_s = due_s
            self.lag_s = max(self.lag_s, now_s - due_s)
            if now_s - due_s > 0.05:  # too late to catch up: time was lost
                start_s += now_s - due_s
            self.controller.step(time.monotonic())
            steps += 1
            if steps % PUBLISH_EVERY == 0:
                self.publish_motion()
            if steps % (5 * PUBLISH_EVERY) == 0:
                self.publish_flags()
            if steps % (20 * PUBLISH_EVERY) == 0:
                self.publish_devices()

    def ask(self, name: str, *arguments: object) -> object:
        """Do what the test says."""
        c = self.controller
        if name == "set":
            self.flags[str(arguments[0])] = bool(arguments[1])
            self.publish_flags()
        elif name == "estop":
            if arguments[0]:
                c.stop(1, 1)
            elif c.stopped:
                c.estop_button = 3
            self.publish_flags()
        elif name == "error":  # does it have an error, and does that outlast a reset?
            c.error, c.error_persists = bool(arguments[0]), bool(arguments[1])
            self.publish_flags()
        elif name == "homed":
            c.homed = bool(arguments[0])
            self.publish_flags()
        elif name in ("reset", "enable"):  # as another program on the network does
            c.reset() if name == "reset" else c.enable(True)
            self.publish_flags()
        elif name == "clear":  # as if it had just been switched on
            with c.lock:
                c.stopped = c.enabled = c.error = c.error_persists = False
                c.homed, c.timeout_s = True, 0.2
                c.estop_button = c.estop_source = c.timeouts = 0
            self.lag_s = 0.0
            self.publish_flags()
        elif name == "leave":
            self.leave()
        elif name == "press":
            self.press(str(arguments[0]), str(arguments[1]), arguments[2])
        elif name == "withdraw":
            self.withdraw(str(arguments[0]))
        elif name == "place":  # at rest, at home
            with c.lock:
                c.sim.reset(arguments[0])
                c.hold()
                c.trace.clear()
        elif name == "trace":
            with c.lock:
                return list(c.trace)
        elif name == "facts":
            return {
                "mode": c.mode,
                "timeout_s": c.timeout_s,
                "speed_ratio": c.speed_ratio,
                "timeouts": c.timeouts,
                "commands": c.commands,
                "bad_commands": c.bad_commands,
                "enabled": c.enabled,
                "stopped": c.stopped,
                "lag_s": self.lag_s,
                **self.more_facts(),
            }
        else:
            known = "set, estop, error, homed, reset, enable, clear, leave, press, withdraw, place, trace and facts"
            raise ValueError(f"the robot knows {known}, got {name!r}")
        return None


def listen(body: Body, end: Callable[[], None]) -> None:
    """Answer the test, line by line, on a thread; end with it. Says first that the robot is up."""

    def answer() -> None:
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print(json.dumps(body.ask(name, *arguments)), flush=True)
        end()

    print(json.dumps("up"), flush=True)
    threading.Thread(target=answer, daemon=True).start()
