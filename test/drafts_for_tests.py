"""Robots of drafts, which lack what no model file has."""

from tdm_ros.robots.description import Robot, robot_from
from tdm_ros.robots.importing import Draft


def robot_of(made: Draft) -> Robot:
    """Robot of a draft, with placeholders for what the file does not have."""
    missing = ("damping_n_m_s_rad", "friction_n_m", "rotor_inertia_kg_m2", "acceleration_rad_s2")
    joints = [dict.fromkeys(missing, 1.0) | entry for entry in made.content["joints"]]
    home = [(entry["lower_rad"] + entry["upper_rad"]) / 2 for entry in joints]
    box = {"low": [-1, -1, -1], "high": [1, 1, 1]}
    rest = {"home_rad": home, "joints": joints, "goal_box_m": box, "hand_box_m": box}
    return robot_from(made.content | rest, "draft: ")
