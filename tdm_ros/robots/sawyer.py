"""Sawyer, read from `config/robots/sawyer.yaml`, and all links of the vendor, read from `sawyer_facts.json`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from tdm_ros.robots.description import load_robot


@cache
def facts() -> dict[str, Any]:
    """Table of the vendor's links, sensors included, for model files: ``{"joints": [...], "links": [...]}``.

    Source: Rethink's `sawyer_description` (Apache-2.0), numbers only.
    """
    data: dict[str, Any] = json.loads(files("tdm_ros.robots").joinpath("sawyer_facts.json").read_text())
    return data


def link(name: str) -> dict[str, Any]:
    """Table entry of a link; StopIteration if it does not exist."""
    return next(entry for entry in facts()["links"] if entry["name"] == name)


def joint_above(link_name: str) -> dict[str, Any]:
    """Table entry of a link's parent joint; StopIteration if there is none."""
    return next(entry for entry in facts()["joints"] if entry["child"] == link_name)


SAWYER = load_robot("sawyer")
JOINT_NAMES = SAWYER.joint_names
Q_LOWER_RAD, Q_UPPER_RAD = SAWYER.lower_rad, SAWYER.upper_rad
QD_MAX_RAD_S, QDD_MAX_RAD_S2 = SAWYER.velocity_rad_s, SAWYER.acceleration_rad_s2
EFFORT_MAX_N_M, ROTOR_INERTIA_KG_M2 = SAWYER.effort_n_m, SAWYER.rotor_inertia_kg_m2
DAMPING_N_M_S_RAD, FRICTION_N_M = SAWYER.damping_n_m_s_rad, SAWYER.friction_n_m
NEUTRAL_RAD = SAWYER.home_rad
