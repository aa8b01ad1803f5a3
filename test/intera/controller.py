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

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.kinematics import jacobian, quaternion_wxyz
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

FACTS = ("mode", "timeout_s", "speed_ratio", "timeouts", "commands", "bad_commands", "enabled", "stopped")


class Controller:
    """The robot's own: control modes, the command time-out, enabling and stopping. Its clock is given."""

    def __init__(self) -> None:
        # The real controller makes up for friction and damping, which the servos of our model do not: nearly none here.
        self.sim = ArmSim(ACTUATIONS["torque_low_damping"])
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

    def set_estop(self, pressed: bool) -> None:
        """Press the e-stop, or release it."""
        if pressed:
            self.stop(1, 1)
        elif self.stopped:
            self.estop_button = 3

    def place(self, q_rad: list[float]) -> None:
        """Put the arm at rest in a posture."""
        self.sim.reset(q_rad)
        self.hold()
        self.trace.clear()

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

    publish_motion: Callable[[], None]
    """Joints and hand."""
    publish_state: Callable[[], None]
    publish_collision: Callable[[], None]
    press: Callable[[str, str, object], None]
    withdraw: Callable[[str], None]
    """Publish the state of a device no more."""
    leave: Callable[[], None]
    """Follow joint commands no more."""

    def publish_devices(self) -> None:
        """Cuff and navigator; none by default."""

    def publish_flags(self) -> None:
        """State of the robot and collision, unless a test made them mute."""
        if not self.flags["mute"]:
            self.publish_state()
        if not self.flags["mute_collision"]:
            self.publish_collision()

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

    def endpoint(self, state: Any) -> Any:
        """Fill an EndpointState of either ROS: pose and twist of the hand in frame base."""
        with self.controller.lock:
            reading, hand = self.controller.sim.reading(), self.controller.sim.hand_pose()
        at, turned, linear, angular = (
            state.pose.position,
            state.pose.orientation,
            state.twist.linear,
            state.twist.angular,
        )
        at.x, at.y, at.z = map(float, hand.position_m)
        turned.w, turned.x, turned.y, turned.z = map(float, quaternion_wxyz(hand.rotation))
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = jacobian(reading.q_rad) @ reading.qd_rad_s
        return state

    def state(self) -> dict[str, Any]:
        """Fields of a RobotAssemblyState."""
        names = ("homed", "enabled", "stopped", "error", "estop_button", "estop_source")
        return {name: getattr(self.controller, name) for name in names} | {"ready": self.controller.enabled}

    def settings(self) -> dict[str, Callable[[Any], object]]:
        """Topics that set the controller, and what each does."""
        c = self.controller
        return {
            LIMB + "joint_command_timeout": lambda m: setattr(c, "timeout_s", min(max(m.data, 0.0), 1.0)),
            LIMB + "set_speed_ratio": lambda m: setattr(c, "speed_ratio", min(max(m.data, 0.0), 1.0)),
            "/robot/set_super_enable": lambda m: c.enable(m.data),
            "/robot/set_super_reset": lambda m: c.reset(),
            "/robot/set_super_stop": lambda m: c.stop(2, 2),
        }

    def take(self, message: Any) -> None:
        """Take a joint command in."""
        if not self.flags["deaf"]:
            self.controller.command(message, time.monotonic())

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

    def ask(self, name: str, *arguments: Any) -> object:
        """Do what the test says. It resets and enables as another program on the network does."""
        c = self.controller
        known: dict[str, Callable[..., object]] = {
            "set": lambda flag, on: self.flags.update({flag: bool(on)}),
            "estop": c.set_estop,
            "error": lambda error, persists: vars(c).update(error=error, error_persists=persists),
            "homed": lambda homed: vars(c).update(homed=homed),
            "reset": c.reset,
            "enable": lambda: c.enable(True),
            "clear": self.clear,
            "leave": lambda: self.leave(),
            "press": lambda *button: self.press(*button),
            "withdraw": lambda device: self.withdraw(device),
            "place": c.place,
            "trace": lambda: list(c.trace),
            "facts": lambda: {name: getattr(c, name) for name in FACTS} | {"lag_s": self.lag_s},
        }
        with c.lock:
            answer = known[name](*arguments)
        if answer is None:  # something may have changed
            self.publish_flags()
        return answer

    def clear(self) -> None:
        """Set all as if the robot had just been switched on."""
        c = self.controller
        c.stopped = c.enabled = c.error = c.error_persists = False
        c.homed, c.timeout_s, self.lag_s = True, 0.2, 0.0
        c.estop_button = c.estop_source = c.timeouts = 0


def listen(body: Body, end: Callable[[], None]) -> None:
    """Answer the test, line by line, on a thread; end with it. Says first that the robot is up."""

    def answer() -> None:
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print(json.dumps(body.ask(name, *arguments)), flush=True)
        end()

    print(json.dumps("up"), flush=True)
    threading.Thread(target=answer, daemon=True).start()
