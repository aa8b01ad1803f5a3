"""Arm behind a worker process: the interface of every arm, on a client of the worker."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.drivers.intera.client import ArmClient, InteraError
from tdm_ros.drivers.intera.wire import State
from tdm_ros.robots.arm import Mode
from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import HandPose, forward, rotation_of
from tdm_ros.robots.limits import ArmReading, Array
from tdm_ros.robots.sawyer import SAWYER

FIRST_STATE_S = 2.0
HAND_OFF_M = 0.03
"""Largest distance of the reported hand from the hand computed from the joints [m]. The reported pose carries no time;
its samples are at most 10 ms older than those of the joints, and the calibration differs by millimetres."""


class WorkerArm:
    """An `Arm` behind a worker that has started; without any state it raises an InteraError."""

    max_age_s = 0.1
    """Largest age of joint states while the arm moves [s]."""

    def __init__(self, client: ArmClient, clock: Callable[[], float] = time.monotonic, robot: Robot = SAWYER) -> None:
        self.client, self._robot = client, robot
        self._failure = ""
        self._moving = False
        until_s = clock() + FIRST_STATE_S
        while client.state().state is None and clock() < until_s:
            time.sleep(0.01)
        newest = client.state()
        if newest.state is None:
            raise InteraError(f"the worker has started, and sent no state for {FIRST_STATE_S:g} s: {newest.problem}")
        self._rejected = newest.state.rejected
        self._tip_m = _tip(newest.state, robot)

    def reading(self) -> ArmReading:
        state, age_s, _ = self.client.state()
        assert state is not None, "it came once"
        return ArmReading(np.array(state.q_rad), np.array(state.qd_rad_s), np.array(state.p_base_hand_m), age_s)

    def hand_pose(self) -> HandPose:
        """Pose of the hand in frame base, as the robot reports it, with its own calibration."""
        state = self._state()
        return HandPose(np.array(state.p_base_hand_m), rotation_of(np.array(state.quat_wxyz)))

    def effort(self) -> Array:
        return np.array(self._state().effort_n_m)

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        """Follow (J,) velocities [rad/s] or torques [N m]; a failure becomes a problem."""
        self._moving = True
        self._failure = self.client.command(mode, values)

    def hold(self) -> None:
        """Stop, and hold in the robot's own position mode."""
        state = self.client.state().state
        if self._moving or (state is not None and state.interruption):  # the hold acknowledges the interruption
            self._moving = False
            self.client.request("hold")

    def advance(self, substeps: int) -> None:
        """Do nothing: time passes by itself."""

    def problem(self) -> str:
        """Why the arm must not be driven, or "": the worker, the age of the joint states, or the robot's own state."""
        state, age_s, problem = self.client.state()
        if problem or state is None:
            return problem
        if state.problem:
            return state.problem
        if age_s > self.max_age_s:
            return f"joint states are {age_s:.2f} s old"
        off_m = float(np.linalg.norm(_tip(state, self._robot) - self._tip_m))
        if off_m > HAND_OFF_M:
            return f"the hand that the robot reports is {off_m:.2f} m from the position computed from its joints"
        if state.rejected > self._rejected:
            self._rejected = state.rejected
            return f"the worker rejected a command: {state.rejection or 'see its log; a later one was accepted'}"
        failure, self._failure = self._failure, ""
        return failure

    def guided(self) -> bool:
        return self._state().cuff

    def buttons(self) -> dict[str, int]:
        """State of the robot's buttons, by the vendor's names; 0: not pressed."""
        return self._state().buttons

    def close(self) -> None:
        self.client.close()

    def _state(self) -> State:
        state = self.client.state().state
        assert state is not None, "it came once"
        return state


def _tip(state: State, robot: Robot) -> Array:
    """Reported tip relative to the computed hand, (3,) [m]; constant."""
    hand = forward(state.q_rad, robot)
    offset: Array = hand.rotation.T @ (np.array(state.p_base_hand_m) - hand.position_m)
    return offset
