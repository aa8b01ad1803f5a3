"""A worker without a robot, for tests of the client: `python intera_fake_worker.py BEHAVIOUR --fd N`."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import suppress

from tdm_ros.drivers.intera import wire


def state(seq: int, command_seq: int = 0) -> wire.State:
    """Return a state of a robot at rest."""
    zeros = (0.0,) * 7
    flags = {"enabled": True, "stopped": False, "error": False, "estop": False, "collided": False, "cuff": False}
    flags |= {"homed": True}
    hand = {"p_base_hand_m": (0.5, 0.0, 0.3), "quat_wxyz": (1.0, 0.0, 0.0, 0.0)}
    joints = {"joints_age_s": 0.02, "q_rad": zeros, "qd_rad_s": zeros, "effort_n_m": zeros}
    rest = {"buttons": {}, "problem": "", "phase": "idle", "command_seq": command_seq, "rejected": 0, "rejection": ""}
    rest |= {"interruption": ""}
    return wire.State(seq=seq, stamp_s=time.monotonic(), **joints, **hand, **flags, **rest)


class Fake:
    """Answers requests, counts commands, and misbehaves as requested after half a second."""

    def __init__(self, link: socket.socket, behaviour: str) -> None:
        self.link, self.behaviour = link, behaviour
        self.sender = wire.Sender(link)
        self.command_seq = 0

    def run(self) -> int:
        """Say hello and go on until the link ends."""
        if self.behaviour == "failure":
            self.sender.send(wire.Failure("no ROS master at http://nowhere:11311"))
            return 4
        if self.behaviour == "mute":
            time.sleep(30)
        version = 99 if self.behaviour == "other version" else wire.VERSION
        self.sender.send(wire.Hello(version, "stand-in", "5.3.0", "5.5.2", ("cuff: no config",)))
        if self.behaviour != "deaf":
            threading.Thread(target=self.read, daemon=True).start()
        start_s = time.monotonic()
        for seq in range(1, 3000):
            if time.monotonic() - start_s > 0.5:
                self.misbehave()
            self.sender.send(state(seq, self.command_seq), droppable=True)
            time.sleep(0.01)
        return 0

    def misbehave(self) -> None:
        """Do what was asked for; nothing, if that is not here."""
        sent = {"cut": b"", "truncated": b"\x00\x00\x01\x00abc", "garbage": b"GET / HTTP/1.1\r\n\r\n"}
        if self.behaviour == "die":
            os._exit(3)
        self.link.sendall(sent.get(self.behaviour, b""))
        if self.behaviour in ("cut", "truncated"):
            self.link.shutdown(socket.SHUT_RDWR)
        if self.behaviour in ("silent", *sent):
            time.sleep(30)

    def read(self) -> None:
        """Answer."""
        frames = wire.Frames()
        while data := self.link.recv(65536):
            for message in frames.feed(data):
                if isinstance(message, wire.Command):
                    self.command_seq = message.seq
                elif isinstance(message, wire.Request) and message.action != "reset":  # which it never answers
                    self.sender.send(
                        wire.Answer(message.number, "the robot is stopped" if message.action == "enable" else "")
                    )
        os._exit(0)


if __name__ == "__main__":
    with suppress(OSError):  # the client has gone first
        sys.exit(Fake(socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1])), sys.argv[1]).run())
