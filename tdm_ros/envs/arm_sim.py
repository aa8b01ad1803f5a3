"""Physics of an arm in MuJoCo, without task, limiter or ROS."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.arm import Actuation, Mode
from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import HandPose
from tdm_ros.robots.limiter import ArmReading
from tdm_ros.robots.mjcf import TORQUE_GROUP, VELOCITY_GROUP, robot_xml
from tdm_ros.robots.sawyer import SAWYER

SUBSTEPS = 25
"""Physics steps of 2 ms in one control cycle of 50 ms."""

Array = NDArray[np.float64]


class ArmSim:
    """Simulated arm, initially at rest in its home posture.

    Of the actuation only damping and friction factors are used here. A given ``model`` may contain other objects, whose
    joints follow those of the arm.
    """

    def __init__(self, actuation: Actuation, model: mujoco.MjModel | None = None, robot: Robot = SAWYER) -> None:
        xml = robot_xml(robot, actuation.damping_factor, actuation.friction_factor)
        self.joints = len(robot.joint_names)
        self.model = model or mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        self._hand = self.model.site(robot.hand_frame).id
        self.reset(robot.home_rad)

    def reset(self, q_rad: ArrayLike) -> None:
        """Set the arm at rest at (J,) [rad], holding.

        Raises ValueError if the shape is wrong or a value is not finite.
        """
        q = self._checked(q_rad, "q_rad")
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[: self.joints] = q
        self.hold()
        mujoco.mj_forward(self.model, self.data)

    def object_m(self) -> Array:
        """Position of the object that slides on the table, (2,) [m]; empty without one."""
        return self.data.qpos[self.joints :].copy()

    def place_object(self, position_m: ArrayLike) -> None:
        """Put the object at (2,) [m], at rest."""
        self.data.qpos[self.joints :] = position_m
        self.data.qvel[self.joints :] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        """Follow (J,) velocities [rad/s] or torques [N m] from now on.

        Raises ValueError if the mode is unknown, the shape is wrong or a value is not finite.
        """
        if mode not in ("velocity", "torque"):
            raise ValueError(f'mode must be "velocity" or "torque", got {mode!r}')
        wanted = self._checked(values, f"{mode} command")
        velocity = mode == "velocity"
        self.model.opt.disableactuator = 1 << (TORQUE_GROUP if velocity else VELOCITY_GROUP)
        self.data.ctrl[: self.joints] = wanted if velocity else 0.0
        self.data.ctrl[self.joints :] = 0.0 if velocity else wanted

    def hold(self) -> None:
        """Hold: velocity servos at zero."""
        self.drive("velocity", np.zeros(self.joints))

    def advance(self, substeps: int) -> None:
        """Simulate ``substeps`` x 2 ms. Raises ValueError if ``substeps`` is negative."""
        if substeps < 0:
            raise ValueError(f"substeps must be >= 0, got {substeps}")
        if substeps:
            mujoco.mj_step(self.model, self.data, substeps)
            mujoco.mj_kinematics(self.model, self.data)  # mj_step leaves the poses of the previous state

    def reading(self) -> ArmReading:
        """Joint positions, velocities and position of the hand."""
        q, qd = self.data.qpos[: self.joints].copy(), self.data.qvel[: self.joints].copy()
        return ArmReading(q, qd, self.data.site_xpos[self._hand].copy())

    def effort(self) -> Array:
        """Torque of the actuators, (J,) [N m], during the last substep."""
        return self.data.qfrc_actuator[: self.joints].copy()

    def hand_pose(self) -> HandPose:
        return HandPose(self.data.site_xpos[self._hand].copy(), self.data.site_xmat[self._hand].reshape(3, 3).copy())

    def problem(self) -> str:
        """Always "": a simulated arm has no faults."""
        return ""

    def guided(self) -> bool:
        """Always false: a simulated arm has no cuff."""
        return False

    def close(self) -> None:
        self.hold()

    def _checked(self, values: ArrayLike, what: str) -> Array:
        array = np.asarray(values, np.float64)
        if array.shape != (self.joints,) or not np.isfinite(array).all():
            raise ValueError(f"{what} must be {self.joints} finite values, one for each joint, got {array}")
        return array
