"""Which arm the node `arm` drives, and within which limits: from parameters."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any

from tdm_ros.control.sawyer_arm import SawyerArm
from tdm_ros.intera.client import WORKER, InteraClient, InteraError
from tdm_ros.intera.ros1_environment import ros1_environment
from tdm_ros.nodes.parameters import ArmParameters
from tdm_ros.robot.actuation import ACTUATIONS
from tdm_ros.robot.arm import Arm
from tdm_ros.robot.limits import Limits
from tdm_ros.sim.sawyer_sim import SawyerSim


def limits_of(given: ArmParameters) -> Limits:
    """The limits that parameters name.

    Raises
    ------
    ValueError
        If a corner is not three numbers, or makes no box.
    """
    corners: dict[str, Any] = {}
    for name in ("box_low_m", "box_high_m"):
        text = getattr(given, name)
        try:
            x, y, z = map(float, text.split())
        except ValueError:
            raise ValueError(f"arm.{name} must be three numbers, x y z [m], got {text!r}") from None
        corners[name] = x, y, z
    return Limits(
        **corners,
        joint_margin_rad=given.joint_margin_rad,
        velocity_scale=given.velocity_scale,
        look_ahead_s=given.look_ahead_s,
    )


def make_sim(given: ArmParameters) -> Arm:
    """A simulated arm."""
    return SawyerSim(ACTUATIONS[given.actuation])


def make_sawyer(given: ArmParameters) -> Arm:
    """A Sawyer, through a worker.

    Raises
    ------
    ValueError
        If it is not to be had; the text says why.
    """
    try:
        if given.worker_address:
            host, _, port = given.worker_address.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"worker_address must be HOST:PORT, got {given.worker_address!r}")
            client = InteraClient.connect(host, int(port))
        else:
            folders = [folder for folder in given.worker_path.split(":") if folder]
            environ = ros1_environment(os.environ, given.master_uri, given.host_ip, folders)
            client = InteraClient.start([*shlex.split(given.worker_command), WORKER], environ)
        client.wait_ready()
        return SawyerArm(client)
    except (InteraError, ValueError) as error:
        raise ValueError(f"robot sawyer: {error}") from error


ARMS: dict[str, Callable[[ArmParameters], Arm]] = {"mujoco": make_sim, "sawyer": make_sawyer}
"""By the name of the parameter ``robot``."""
