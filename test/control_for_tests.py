"""A simulated arm under `ArmControl` with an injected clock, and commands for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tdm_ros.control.arm_control import ArmControl, ArmTiming, CycleReport
from tdm_ros.control.arm_io import CommandCheck, JointOrder, ReceivedCommand
from tdm_ros.control.arm_modes import ModeChange
from tdm_ros.control.safeguards import Safeguards, SafeguardSettings
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import ACTUATIONS, Actuation
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.limiter import Limiter
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD

PERIOD_S = 0.05
VELOCITY = ACTUATIONS["velocity"]
CHECK = CommandCheck(JointOrder(JOINT_NAMES), mode=0)
GOOD = ReceivedCommand(7, 1, 0, int(Source.POLICY), 0.002, JOINT_NAMES, np.full(7, 0.1))


class Arm(ArmSim):
    """A simulated arm with a problem and a cuff that a test sets; it keeps the commands that it received."""

    def __init__(self, actuation: Actuation) -> None:
        self.trouble, self.cuff, self.driven = "", False, []  # type: ignore[var-annotated]
        super().__init__(actuation)

    def problem(self) -> str:
        return self.trouble

    def guided(self) -> bool:
        return self.cuff

    def drive(self, mode, values):  # type: ignore[no-untyped-def]
        self.driven.append(np.asarray(values).tolist())
        super().drive(mode, values)


class ControlBench:
    """The arm, its control with the given safeguards, and every input as a method; cycle 1 has begun."""

    def __init__(self, actuation: str = "velocity", **settings: object) -> None:
        kind = ACTUATIONS[actuation]
        self.arm, self.now_s = Arm(kind), 0.0
        drives = (ArmCycle(self.arm, Limiter(kind), kind), ArmCycle(self.arm, Limiter(VELOCITY), VELOCITY))
        guards = Safeguards(SafeguardSettings(**settings), 1 / PERIOD_S)  # type: ignore[arg-type]
        timing = ArmTiming()
        self.control = ArmControl(drives, CHECK, timing, NEUTRAL_RAD, 0.0, guards, on_change=self.changed)

    def changed(self, change: ModeChange) -> None:
        """Receive a change of mode."""

    def tell(self, state: State, episode: int = 0, start: int = 0, length: int = 10**6) -> None:
        goal = np.zeros(3, np.float32)
        announced = Announcement(state, episode=episode, start_cycle=start, length=length, goal=goal, reason="test")
        self.control.announce(announced, self.now_s)

    def heartbeat(self) -> None:
        self.control.announce(self.control.timeline.newest, self.now_s)

    def command(self, after_s: float = 0.002, **changes: object) -> str:
        """Send a command for this cycle and the newest episode, with some changes; returns why it is rejected."""
        episode = self.control.timeline.newest.episode
        given = {"cycle": self.control.cycle, "episode": episode, "values": np.full(7, 0.2)} | changes
        return self.control.receive(replace(GOOD, **given), self.now_s + after_s)  # type: ignore[arg-type]

    def tick(self, late_s: float = 0.0) -> CycleReport:
        self.now_s += PERIOD_S + late_s
        return self.control.tick(self.now_s)

    def hand(self) -> np.ndarray:
        return self.arm.reading().hand_m.copy()

    def speed(self) -> float:
        return float(np.abs(self.arm.reading().qd_rad_s).max())
