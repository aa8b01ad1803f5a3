"""Real Sawyer with the interface of every arm: it moves through the worker, and every doubt about it is a problem."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.drivers.intera.client import InteraClient, InteraError
from tdm_ros.drivers.intera.wire import State
from tdm_ros.robots.arm import Mode
from tdm_ros.robots.kinematics import HandPose, forward, rotation_of
from tdm_ros.robots.limits import ArmReading, Array

FIRST_STATE_S = 2.0
HAND_OFF_M = 0.03
"""The robot's own pose of its hand carries no time. When it no longer follows the joints by this much, it is not
believed; their samples are 10 ms apart at most, and calibration is a matter of millimetres [m]."""


class SawyerArm:
    """An `Arm`.

    Parameters
    ----------
    client : InteraClient
        Whose worker is up.
    clock : callable returning float [s]
        Steady.

    Raises
    ------
    InteraError
        If no state comes.
    """

    max_age_s = 0.1
    """Joint states that are older are no ground to move on [s]."""

    def __init__(self, client: InteraClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._trouble = ""
        self._moving = False
        until_s = clock() + FIRST_STATE_S
        while client.state().state is None and clock() < until_s:
            time.sleep(0.01)
        newest = client.state()
        if newest.state is None:
            raise InteraError(f"the worker is up, and no state came for {FIRST_STATE_S:g} s: {newest.problem}")
        self._refused = newest.state.refused
        self._tip_m = _tip(newest.state)

    def reading(self) -> ArmReading:
        """What the robot said last, and how long ago."""
        state, age_s, _ = self.client.state()
        assert state is not None, "it came once"
        return ArmReading(np.array(state.q_rad), np.array(state.qd_rad_s), np.array(state.p_base_hand_m), age_s)

    def hand_pose(self) -> HandPose:
        """Pose of the hand in frame base, as the robot reports it: it knows its own calibration."""
        state = self._state()
        return HandPose(np.array(state.p_base_hand_m), rotation_of(np.array(state.quat_wxyz)))

    def effort(self) -> Array:
        """Torque of the joints, (7,) [N m]."""
        return np.array(self._state().effort_n_m)

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        """Follow (7,) velocities [rad/s] or torques [N m]; what keeps the worker from it becomes a problem."""
        self._moving = True
        self._trouble = self.client.command(mode, values)

    def hold(self) -> None:
        """Stop, and stay in the robot's own position mode."""
        state = self.client.state().state
        if self._moving or (state is not None and state.interruption):  # the hold also says that we know of that
            self._moving = False
            self.client.hold()

    def advance(self, substeps: int) -> None:
        """Time passes by itself."""

    def problem(self) -> str:
        """Why the arm must not be driven, or "": the worker, the age of what is known, or the robot's own state."""
        state, age_s, problem = self.client.state()
        if problem or state is None:
            return problem
        if state.problem:
            return state.problem
        if age_s > self.max_age_s:
            return f"joint states are {age_s:.2f} s old"
        off_m = float(np.linalg.norm(_tip(state) - self._tip_m))
        if off_m > HAND_OFF_M:
            return f"the hand that the robot reports is {off_m:.2f} m from where its joints put it"
        if state.refused > self._refused:
            self._refused = state.refused
            return f"the worker refused a command: {state.refusal or 'why is in its log, a later one passed'}"
        trouble, self._trouble = self._trouble, ""
        return trouble

    def guided(self) -> bool:
        """Whether somebody holds the cuff: the robot then gives way, and follows no command."""
        return self._state().cuff

    def buttons(self) -> dict[str, int]:
        """What the robot's buttons say, by their vendor's names; 0 is up."""
        return self._state().buttons

    def close(self) -> None:
        """Let the worker stop the arm and leave."""
        self.client.close()

    def _state(self) -> State:
        state = self.client.state().state
        assert state is not None, "it came once"
        return state


def _tip(state: State) -> Array:
    """Where the robot says its tip is, (3,) [m], seen from where our kinematics put the hand: the same all along."""
    hand = forward(state.q_rad)
    offset: Array = hand.rotation.T @ (np.array(state.p_base_hand_m) - hand.position_m)
    return offset
