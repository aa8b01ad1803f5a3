"""Worker: a ROS 1 process that holds intera_interface, and moves the arm for the client on its socket.

Run it as a file; it needs rospy, intera_interface and the modules beside it, but neither numpy nor tdm_ros:

    python3 tdm_ros/drivers/intera/worker.py --listen 127.0.0.1:7447 --secret-file worker.secret

The watchdogs are nested: the worker stops the arm when it receives no new command for 0.15 s, or no answer of the ROS
master for 0.12 s; the robot stops it when it receives no command from the worker, which repeats each at 100 Hz, for
0.15 s; and the arm process detects within 0.1 s that the worker is silent.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

if not __package__:  # run as a file: to this Python our package is the folder of this file alone
    for name in ("tdm_ros", "tdm_ros.drivers", "tdm_ros.drivers.intera"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [os.path.dirname(os.path.abspath(__file__))]

from tdm_ros.drivers.intera import sdk, wire
from tdm_ros.drivers.intera.authentication import Keys, MessageCodes, read_secret
from tdm_ros.drivers.intera.command_watchdog import Caps, CommandWatchdog
from tdm_ros.drivers.intera.devices import Devices, RequestQueue
from tdm_ros.drivers.intera.listener import Listener
from tdm_ros.drivers.intera.output import never_wait

PERIOD_S = 0.01
BROKEN_LINK, FAILED = 6, 7
"""Exit codes: invalid message from the client; failure of intera_interface while the arm was in use."""

VELOCITY_RAD_S = (1.74, 1.328, 1.957, 1.957, 3.485, 3.485, 4.545)
"""The vendor's limits; a test compares them with `tdm_ros.robots.sawyer`, which this process cannot import."""

TORQUE_N_M = (8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0)
"""Source: the limits of Berkeley's sawyer_control, added to gravity compensation."""

VELOCITY_SCALE = 0.25
HAND_SPEED_M_S = 0.25
"""Bounds of commands: the limiter's share of the vendor's joint speeds, and its speed of the hand plus a quarter, since
the limiter uses other joint states and its commands must not be rejected for that."""

IDLE_S = 10.0
"""Time without a message after which a connection over the network is closed [s]; a client sends one per second."""


class Worker:
    """One client, one robot.

    ``sender`` has the method `send` of a `wire.Sender`. The connection is closed when the client has sent nothing for
    ``idle_s``. ``wait`` lets a number of seconds pass; another one than the default may read messages meanwhile.
    """

    def __init__(
        self,
        sender: Any,
        watchdog: CommandWatchdog,
        idle_s: float = math.inf,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sender, self._watchdog, self._idle_s, self._wait = sender, watchdog, idle_s, wait
        self._last_received_s = time.monotonic()
        self._robot: sdk.Robot | None = None
        self._devices: Devices | None = None
        self._queues = {name: RequestQueue(name) for name in ("motors", "stop", "step")}
        self._ticking = threading.Lock()
        self._leaving = threading.Event()
        self._at_rest = threading.Event()
        self._code = 0
        self._seq = 0

    def read_from(self, link: socket.socket, codes: MessageCodes | None = None) -> None:
        """Receive the messages of a socket, which carry ``codes`` if given, on a thread; its end is the client's."""
        frames = wire.Frames(codes)
        threading.Thread(target=self._read, args=(link, frames), name="reader", daemon=True).start()

    def run(self, connect: Callable[[], tuple[Any, Any]]) -> int:
        """Connect to the robot and its devices, serve the client, and return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.end())
        overdue = threading.Timer(wire.UP_S, self.overdue)
        overdue.daemon = True
        overdue.start()
        try:
            robot, devices = connect()
        except sdk.ComingUpError as error:
            self.leave(str(error), error.code)
            return error.code
        finally:
            overdue.cancel()
        return self.serve(robot, devices)

    def serve(self, robot: sdk.Robot, devices: Devices) -> int:
        """Send the hello, and serve until the client ends; return the exit code."""
        hello = wire.Hello(wire.VERSION, robot.interface, *robot.versions(), tuple(devices.missing))
        self._devices, self._robot = devices, robot
        robot.on_shutdown(self._node_ends)
        gc.collect()
        gc.freeze()  # a collection that visits all objects of the start takes 0.1 s
        self._last_received_s = time.monotonic()  # until now the client had nothing to answer
        self._wait(0.0)  # reads what has arrived meanwhile
        try:
            self.sender.send(hello)
            self._loop(robot, devices)
        except OSError:
            self.leave()  # the client has ended
        except (Exception, SystemExit) as error:
            self.leave(f"intera_interface failed: {type(error).__name__}: {error}", FAILED)
        self._wind_down(robot)
        return self._code

    def leave(self, why: str = "", code: int = 0) -> None:
        """End the loop; report the reason, if there is one, to the client and to stderr."""
        if why and not self._code:
            self._code = code
            report_failure(self.sender, why)
        self._leaving.set()

    def overdue(self) -> None:
        """End: the call that waits for the robot may never return."""
        self.leave(
            f"the robot was not there after {wire.UP_S:g} s. What does not answer: the ROS master, although it takes "
            "connections, or the name server that is asked for the robot's name",
            sdk.NO_ROBOT,
        )
        exit_now(sdk.NO_ROBOT)

    def end(self) -> None:
        """End on a signal or at the end of the client; at once while no robot is connected."""
        if self._robot is None:
            os._exit(self._code)
        self.leave()

    def _loop(self, robot: sdk.Robot, devices: Devices) -> None:
        deadline_s = time.monotonic()
        while not self._leaving.is_set():
            self._tick(robot)
            self._report(robot, devices)
            silent_s = time.monotonic() - self._last_received_s
            if silent_s > self._idle_s:
                self.leave(f"the client has sent nothing for {silent_s:.0f} s", BROKEN_LINK)
            deadline_s = max(deadline_s + PERIOD_S, time.monotonic())
            self._wait(max(0.0, deadline_s - time.monotonic()))

    def _tick(self, robot: sdk.Robot) -> None:
        now_s = time.monotonic()
        fresh = robot.joints_age_s(now_s) <= sdk.STALE_S
        with self._ticking:  # otherwise an output of one thread might be sent after a later one of another
            robot.send(*self._watchdog.step(now_s, self._problem(now_s), fresh))

    def _step(self, robot: Any, seconds: float) -> str:
        """Let time pass in a paused world, after the newest output has been sent."""
        if not hasattr(robot, "step"):
            return "the time of this robot passes by itself: step is for a simulated world in lock-step"
        self._tick(robot)
        return str(robot.step(seconds))

    def _problem(self, now_s: float) -> str:
        """Return why the robot cannot be moved now, or ""."""
        if self._robot is None or self._devices is None:
            return "the worker is not up yet"
        if self._leaving.is_set():  # a client that goes on must not keep the arm moving
            return "the worker is ending"
        return self._robot.problem(now_s) or self._devices.problem(now_s) or self._overspeed()

    def _enable(self, robot: sdk.Robot) -> str:
        reason = str(robot.motors.enable())
        if not reason:
            with self._ticking:  # otherwise a tick that read "motors off" might follow
                self._watchdog.acknowledge()
        return reason

    def _overspeed(self) -> str:
        """Return why a torque must end, or ""."""
        joints = self._robot.joints() if self._robot and self._watchdog.mode == "torque" else None
        return self._watchdog.caps.overspeed(joints.q_rad, joints.qd_rad_s) if joints else ""

    def _wind_down(self, robot: sdk.Robot) -> None:
        """Stop the arm and return to position mode; ROS needs a moment to send that."""
        self._watchdog.drop(time.monotonic())
        try:
            while self._watchdog.phase != "idle":
                self._tick(robot)
                self._wait(PERIOD_S)
        except Exception as error:
            print(f"worker: the robot's own time-out has to stop it: {error}", file=sys.stderr, flush=True)
        time.sleep(5 * PERIOD_S)
        self._at_rest.set()
        robot.shut_down()

    def _node_ends(self) -> None:
        """Delay the end of the ROS 1 node until the arm has been stopped."""
        if not self._leaving.is_set():
            self.leave("ROS 1 shuts down the worker's node", FAILED)
        self._at_rest.wait(0.5)

    def _report(self, robot: sdk.Robot, devices: Devices) -> None:
        joints, hand, now_s = robot.joints(), robot.hand(), time.monotonic()
        assert joints is not None
        self._seq += 1
        state = wire.State(
            seq=self._seq,
            stamp_s=now_s,
            joints_age_s=robot.joints_age_s(now_s),
            q_rad=joints.q_rad,
            qd_rad_s=joints.qd_rad_s,
            effort_n_m=joints.effort_n_m,
            p_base_hand_m=hand[0],
            quat_wxyz=hand[1],
            **robot.flags(),
            cuff=devices.cuff,
            buttons=devices.buttons,
            problem=self._problem(now_s),
            phase=self._watchdog.phase,
            command_seq=self._watchdog.command_seq,
            rejected=self._watchdog.rejected,
            rejection=self._watchdog.rejection,
            interruption=self._watchdog.interruption,
        )
        self._watchdog.state_sent(state.seq, now_s)  # before sending: the answer may arrive at once
        self.sender.send(state, droppable=True)

    def _read(self, link: socket.socket, frames: wire.Frames) -> None:
        try:
            while True:
                data = link.recv(4096)
                if not data:
                    break
                self._last_received_s = time.monotonic()
                for message in frames.feed(data):
                    self.receive(message)
                time.sleep(0.001)  # a flood of commands must not starve the loop
            frames.end()
        except wire.WireError as error:
            self.leave(str(error), BROKEN_LINK)
        except OSError:
            pass  # treated like the end of the stream
        self.end()

    def receive(self, message: wire.Message) -> None:
        """Follow a command, or carry out a request."""
        now_s = time.monotonic()
        if isinstance(message, wire.Command):
            joints = self._robot.joints() if self._robot else None
            self._watchdog.offer(message, now_s, self._problem(now_s), joints.q_rad if joints else ())
            if self._robot is not None and getattr(self._robot, "prompt", False):
                self._tick(self._robot)
        elif isinstance(message, wire.Request):
            self._do(message, now_s)
        elif not isinstance(message, wire.Alive):
            raise wire.WireError(f"a worker takes commands and requests, got {type(message).__name__}")

    def _do(self, request: wire.Request, now_s: float) -> None:
        """Carry out a hold at once; queue the others for a thread that may wait."""

        def done(reason: str) -> None:
            try:
                self.sender.send(wire.Answer(request.number, reason[:500]))
            except OSError:
                self.leave()

        robot = self._robot
        if robot is None:
            return done("the worker is not up yet")
        if request.action in ("hold", "stop"):
            self._watchdog.drop(now_s)
        if request.action == "hold":
            self._watchdog.acknowledge()
            return done("")
        actions: dict[str, tuple[str, Callable[[], str]]] = {
            "stop": ("stop", robot.motors.stop),
            "enable": ("motors", lambda: self._enable(robot)),
            "reset": ("motors", robot.motors.reset),
            "step": ("step", lambda: self._step(robot, request.value)),
        }
        if request.action not in actions:
            return done(f"action must be hold, {', '.join(actions)}, got {request.action!r}")
        queue, action = actions[request.action]
        return self._queues[queue].submit(action, done)


def connect(arguments: argparse.Namespace) -> tuple[sdk.Robot, Devices]:
    """The robot and its devices, through intera_interface."""
    rospy, interface = sdk.join_ros()
    devices = Devices(interface, sdk.device_states(rospy), arguments.without)
    robot = sdk.Robot(rospy, interface, arguments.speed_ratio, arguments.state_silent_s)
    devices.wait()
    return robot, devices


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the client of `--fd`, or those that connect to `--listen`; return the exit code."""
    never_wait()  # the output is that of the node, which may have no reader
    arguments = parser().parse_args(argv)
    try:
        caps_of(arguments)
        if arguments.fd is not None:
            return serve(arguments, socket.socket(fileno=arguments.fd), math.inf)
        if not arguments.secret_file:
            raise ValueError("--listen needs --secret-file, because every host on the network can connect")
        listener = Listener(arguments.listen, read_secret(arguments.secret_file))
    except (OSError, ValueError) as error:
        report_failure(None, f"the worker cannot start: {error}")
        return sdk.UNUSABLE
    return listener.run(lambda link, keys: serve(arguments, link, IDLE_S, keys))


def serve(arguments: argparse.Namespace, link: socket.socket, idle_s: float, keys: Keys | None = None) -> int:
    """Start, serve one client, whose messages and ours carry codes if there are ``keys``, and return the exit code."""
    # A small buffer: a client that reads late must not receive a second of old states.
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    ours, theirs = (MessageCodes(keys.worker), MessageCodes(keys.client)) if keys else (None, None)
    worker = Worker(wire.Sender(link, ours), CommandWatchdog(caps_of(arguments)), idle_s)
    worker.read_from(link, theirs)
    return worker.run(lambda: connect(arguments))


def caps_of(arguments: argparse.Namespace) -> Caps:
    """Return the bounds of commands that arguments name; a ValueError if they contradict each other."""
    if arguments.speed_ratio > arguments.velocity_scale:
        raise ValueError(
            f"--speed-ratio must not be over --velocity-scale ({arguments.velocity_scale:g}), "
            f"got {arguments.speed_ratio:g}"
        )
    return Caps(
        velocity_rad_s=tuple(arguments.velocity_scale * cap for cap in VELOCITY_RAD_S),
        torque_n_m=TORQUE_N_M,
        allow_torque=arguments.allow_torque,
        hand_speed_m_s=arguments.hand_speed_m_s,
    )


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="worker.py", description="Moves a Sawyer arm for a client on a socket.", parents=[bounds_parser()]
    )
    where = words.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="socket that the parent process left open")
    where.add_argument(
        "--listen", metavar="HOST:PORT", help="address to listen on; serves clients that know the secret, one at a time"
    )
    words.add_argument("--secret-file", default="", help="with --listen: file with the secret that clients have, too")
    words.add_argument(
        "--without", action="append", default=[], choices=["cuff", "navigator"], help="device that the robot lacks"
    )
    return words


def bounds_parser() -> argparse.ArgumentParser:
    """Return the arguments of every arm's worker: bounds of commands, and the largest age of the robot's state."""
    words = argparse.ArgumentParser(add_help=False)
    for name, kind, default, text in (
        ("--speed-ratio", _share, 0.2, "of position mode, in (0, 1]"),
        (
            "--velocity-scale",
            _share,
            VELOCITY_SCALE,
            "reject joint velocities over this share of the vendor's limits, and a larger --speed-ratio, in (0, 1]",
        ),
        (
            "--hand-speed-m-s",
            _at_least_0,
            HAND_SPEED_M_S,
            "reject velocities that move the hand faster, and end what does [m/s]; 0: none",
        ),
        (
            "--state-silent-s",
            _at_least_0,
            sdk.STATE_SILENT_S,
            "hold when the robot's state, its collision state or the hand's pose was not received for so long [s]",
        ),
    ):
        words.add_argument(name, type=kind, default=default, help=f"{text} (default {default:g})")
    words.add_argument("--allow-torque", action="store_true", help="accept torque commands")
    return words


def report_failure(sender: wire.Sender | None, reason: str) -> None:
    """Send the reason to the client, and print it to stderr."""
    print(f"worker: {reason}", file=sys.stderr, flush=True)
    try:
        if sender is not None:
            sender.send(wire.Failure(reason[:2000]))
    except OSError:
        pass


def exit_now(status: int) -> None:
    """End the process, even if threads still wait."""
    sys.stdout.flush()
    os._exit(status)


def _at_least_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite and at least 0, got {text}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be in (0, 1], got {text}")
    return value


if __name__ == "__main__":
    exit_now(main())
