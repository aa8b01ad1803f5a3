"""What a model file does not have: accelerations, damping, friction and rotors of the joints, home and boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tdm_ros.robots.batch import frames_of, random_postures
from tdm_ros.robots.description import Array, Robot, robot_from
from tdm_ros.robots.home import home_and_boxes
from tdm_ros.robots.importing import Draft, tidy
from tdm_ros.robots.tree import Note

GRAVITY_M_S2 = 9.81
DAMPED_SHARE, FRICTION_SHARE, ACCELERATING_SHARE = 0.1, 0.01, 0.5
"""Shares of the effort: that of damping at full velocity, that of dry friction, that, of what gravity leaves, which
accelerates."""
ROTOR_KG_M2_N_M = 0.003
"""Rotor inertia for each N m of effort: that of the arms in config/robots is 0.0007 to 0.011."""
SAID = {
    "damping_n_m_s_rad": f"{DAMPED_SHARE:g} of the effort at full velocity",
    "friction_n_m": f"{FRICTION_SHARE:g} of the effort",
    "rotor_inertia_kg_m2": f"{ROTOR_KG_M2_N_M:g} kg m^2 for each N m of effort",
    "acceleration_rad_s2": f"{ACCELERATING_SHARE:g} of the effort that gravity leaves, over the inertia, from 1 to 10",
}
LEAST_RAD_S2, MOST_RAD_S2 = 1.0, 10.0
POSTURES = 500


class Loads(NamedTuple):
    """Largest inertia [kg m^2] and torque of gravity [N m] at each joint over random postures, (J,) each."""

    inertia_kg_m2: Array
    gravity_n_m: Array


def complete(draft: Draft, rng: np.random.Generator) -> Robot:
    """Fill in what the draft lacks, note it, and return the robot."""
    content = draft.content
    count = len(content["joints"])
    content["home_rad"] = [(joint["lower_rad"] + joint["upper_rad"]) / 2 for joint in content["joints"]]
    content |= dict.fromkeys(("goal_box_m", "hand_box_m"), _box(np.full(3, -1.0), np.full(3, 1.0))) | {"drivers": {}}
    dynamics: dict[str, Callable[[dict[str, Any], float, float], float]] = {
        "damping_n_m_s_rad": lambda joint, *_: DAMPED_SHARE * joint["effort_n_m"] / joint["velocity_rad_s"],
        "friction_n_m": lambda joint, *_: FRICTION_SHARE * joint["effort_n_m"],
        "rotor_inertia_kg_m2": lambda joint, *_: ROTOR_KG_M2_N_M * joint["effort_n_m"],
        "acceleration_rad_s2": _acceleration,
    }
    placeholders = {"joints": [dict.fromkeys(dynamics, 1.0) | joint for joint in content["joints"]]}
    loads = loads_of(robot_from(content | placeholders, "draft: "), rng)
    for key, formula in dynamics.items():
        assumed = [joint["name"] for joint in content["joints"] if key not in joint]
        for joint, *load in zip(content["joints"], *loads, strict=True):
            joint.setdefault(key, float(f"{formula(joint, *load):.2g}"))
        if assumed:
            names = "all joints" if len(assumed) == count else ", ".join(assumed)
            draft.notes.append(Note("joints", f"{key} of {names}: {SAID[key]}", True))
    weak = [j["name"] for j, most in zip(content["joints"], loads.gravity_n_m, strict=True) if j["effort_n_m"] <= most]
    if weak:
        said = f"the effort of {', '.join(weak)} does not hold the arm in every posture: check masses and efforts"
        draft.notes.append(Note("joints", said))
    robot = robot_from(content, "draft: ")
    home_rad, goal, hand = home_and_boxes(robot, rng)
    content |= {"home_rad": tidy(home_rad, 3), "goal_box_m": _box(*goal), "hand_box_m": _box(*hand)}
    content |= {"drivers": content.pop("drivers")}
    draft.notes.append(
        Note("home_rad", "home_rad, goal_box_m and hand_box_m: by computation, with a table at z = 0", True)
    )
    return robot_from(content, "draft: ")


def _acceleration(joint: dict[str, Any], inertia: float, gravity: float) -> float:
    spare = max(joint["effort_n_m"] - gravity, 0.0)
    moved = inertia + joint["rotor_inertia_kg_m2"]
    return float(np.clip(ACCELERATING_SHARE * spare / moved, LEAST_RAD_S2, MOST_RAD_S2))


def _box(low: Array, high: Array) -> dict[str, list[float]]:
    return {"low": tidy(low, 3), "high": tidy(high, 3)}


def loads_of(robot: Robot, rng: np.random.Generator) -> Loads:
    """Inertia and torque of gravity at each joint, with the other joints at rest, largest over random postures."""
    frames = frames_of(random_postures(robot, POSTURES, rng), robot)
    axes = np.einsum("njab,jb->nja", frames[:, :-1, :3, :3], robot.axes)
    count = len(robot.joint_names)
    inertia, gravity = np.zeros((2, len(frames), count))
    for link, (mass_kg, com_m, moments) in robot.links.items():
        joints, place = robot.place(link)
        if not joints:
            continue
        frame = frames[:, joints - 1] @ place
        com = frame[:, :3, :3] @ com_m + frame[:, :3, 3]
        xx, yy, zz, xy, xz, yz = moments
        tensor = frame[:, :3, :3] @ [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]] @ frame[:, :3, :3].transpose(0, 2, 1)
        lever = np.cross(axes[:, :joints], com[:, None] - frames[:, :joints, :3, 3])
        inertia[:, :joints] += mass_kg * np.square(lever).sum(-1)
        inertia[:, :joints] += np.einsum("nja,nab,njb->nj", axes[:, :joints], tensor, axes[:, :joints])
        gravity[:, :joints] += mass_kg * GRAVITY_M_S2 * lever[..., 2]
    return Loads(inertia.max(axis=0), np.abs(gravity).max(axis=0))
