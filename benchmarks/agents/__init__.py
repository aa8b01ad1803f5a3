"""The learners that are compared, by name."""

from __future__ import annotations

import ast
import re
from typing import Any

from benchmarks.trial import Agent

NAMES = """\
tdm[_PRESET][_T<horizon>][_u<gradient steps>][,SETTING=VALUE]...   e.g. tdm, tdm_paper, tdm_T10_u1,critic=structured
sac_her, td3_her, ddpg_her, tqc_her [_next][_plain][_u<gradient steps>]   Stable-Baselines3, hindsight goals (next:
      half of them of the next state), the inputs of tdm
mpc   one-step model and random shooting"""

BASELINES = ("sac", "td3", "ddpg", "tqc")


def make_agent(name: str) -> Agent:
    """Make the learner called ``name``.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists what there is.
    """
    from benchmarks.agents.model_based import ModelBased
    from benchmarks.agents.sb3 import Baseline
    from benchmarks.agents.temporal_difference import TemporalDifference

    name_only, *assignments = name.split(",")
    kind, *parts = name_only.split("_")
    plain, preset = "plain" in parts, ""
    numbers: dict[str, int] = {}
    for part in parts:
        number = re.fullmatch(r"([Tu])(\d+)", part)
        if number:
            numbers[number[1]] = int(number[2])
        elif part not in ("her", "plain", "next"):
            preset += f"_{part}" if preset else part
    if kind == "tdm" and not {"plain", "her", "next"} & set(parts):
        settings = dict(_setting(text) for text in assignments)
        settings |= {"gradient_steps": numbers["u"]} if "u" in numbers else {}
        return TemporalDifference(numbers.get("T"), preset, settings)
    if kind in BASELINES and "her" in parts and not (assignments or preset or "T" in numbers):
        return Baseline(kind, plain, numbers.get("u", 1), "next" in parts)
    if name == "mpc":
        return ModelBased()
    raise ValueError(f"an agent is one of the following, got {name!r}\n{NAMES}")


def _setting(text: str) -> tuple[str, Any]:
    """Read one ``NAME=VALUE`` of `TdmConfig`; what is no Python literal is a word."""
    key, _, value = text.partition("=")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
