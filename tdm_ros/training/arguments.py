"""Checks of the library's arguments. Each error has what was expected, what was given, and the remedy."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any, ParamSpec

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tdm.config import PRESETS, TdmConfig, setting_hint

P = ParamSpec("P")
SHOWN = 100
"""Characters of a value in a message."""


def described(value: Any) -> str:
    """Short text of a value for a message."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    if shape := getattr(value, "shape", ()):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """An argument as int. Raises ValueError if it is not one, or too small."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {described(value)}")
    return int(value)


def whole_steps(name: str, values: ArrayLike, least: int, most: int = 10**9, bound: str = "") -> NDArray[np.int64]:
    """An argument that is one number of steps, or an array of them; ``bound`` describes ``most`` in the message.

    Raises ValueError if a number is not whole, or not within ``least`` and ``most``.
    """
    try:
        steps = np.asarray(values)
        fits = steps.dtype.kind in "iuf" and bool(((steps >= least) & (steps <= most)).all() and (steps % 1 == 0).all())
    except ValueError:  # lists of several lengths
        fits = False
    if not fits:
        limits = f"from {least} to {most}, {bound}" if bound else f">= {least}"
        raise ValueError(f"{name} must be whole numbers {limits}, got {described(values)}")
    return steps.astype(np.int64)


def check_type(name: str, value: Any, expected: type) -> None:
    """Raise `ValueError` if an optional argument has another type."""
    if value is not None and not isinstance(value, expected):
        made = f"{expected.__name__}(...)"
        raise ValueError(f"{name} must be a {expected.__name__}, got {described(value)}: write {name}={made}")


def as_path(name: str, value: Any) -> Path:
    """An argument as Path. Raises ValueError if it is neither a str nor a path."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f'{name} must be a path, got {described(value)}: give the folder, for example "runs/mine"')
    return Path(value)


def checked_config(config: Any) -> TdmConfig:
    """The argument ``config`` of `TDM`; None means the default. Raises ValueError if it is something else."""
    if config is None or isinstance(config, TdmConfig):
        return config or TdmConfig()
    remedy = "write config=TdmConfig(...)"
    if isinstance(config, dict):
        remedy = "write config=TdmConfig(**settings)"
    elif isinstance(config, str):
        remedy = f"write config=TdmConfig.preset({config if config in PRESETS else 'default'!r})"
    elif isinstance(config, gym.Env):
        remedy = "the order is TDM(env, config)"
    raise ValueError(f"config must be a TdmConfig, got {described(config)}: {remedy}")


def reject_policy_name(env: Any) -> None:
    """Raise `ValueError` if the first argument of `TDM` is a policy, as other libraries have it."""
    name = getattr(env, "__name__", env)
    if isinstance(name, str) and name.endswith("Policy") and ":" not in name:
        raise ValueError(f"env must come first, got the policy {name!r}: write TDM(env), a TDM has no policy name")


def reject_unknown_keywords(init: Callable[P, None]) -> Callable[P, None]:
    """Make a constructor raise `TypeError` for settings of `TdmConfig` and for keywords of other libraries."""
    known = inspect.signature(init).parameters

    @functools.wraps(init)
    def checked(*arguments: P.args, **keywords: P.kwargs) -> None:
        for name in keywords:
            if name not in known:
                hint = setting_hint(name, [other for other in known if other != "self"])
                raise TypeError(f"TDM has no argument {name!r}{hint}; settings belong in config=TdmConfig(...)")
        init(*arguments, **keywords)

    return checked


def episode_time(
    state: tuple[NDArray[np.int64], ...] | None, episode_start: ArrayLike | None, size: int
) -> NDArray[np.int64]:
    """Steps since the start of the episode, (B,), from the arguments of `TDM.predict`.

    Raises ValueError if there is another number of them than of observations.
    """
    try:
        time = np.zeros(size, np.int64) if state is None else np.array(state[0], np.int64)
        started = np.asarray(False if episode_start is None else episode_start, np.bool_)
        return np.broadcast_to(np.where(started, 0, time), (size,)).copy()
    except (IndexError, TypeError, ValueError):
        raise ValueError(
            f"state and episode_start must be those of {size} observations, got {state!r} and {episode_start!r}: "
            "pass the state that predict returned for the step before, or None"
        ) from None
