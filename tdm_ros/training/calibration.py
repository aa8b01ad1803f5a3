"""Calibration per horizon: error of the critics, and interval that covers the outcomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec
from tdm_ros.training.outcomes import Outcome, horizons_of
from tdm_ros.training.reachability import LEVEL, Bounds


@dataclass(frozen=True)
class HorizonCalibration:
    """How good the predictions of one horizon are; distances in the goal's unit, by the task's score.

    Parameters
    ----------
    steps_left : int
        The horizon [steps]; the policy acted ``steps_left + 1`` steps.
    n : int
        Outcomes: the odd episodes' ones fix the interval, the even ones' check it.
    predicted, reached : float
        Means.
    mae : float
        Mean absolute difference of predicted and reached.
    mae_staying : float
        The same for the guess that nothing moves: what a prediction must beat.
    bias : float
        Mean of predicted minus reached; negative: too optimistic.
    correlation : float or None
        Of predicted and reached; None where one of them never differs.
    coverage : float or None
        Part of the even episodes' outcomes within the interval that is meant to hold `LEVEL` of them.
    width : float
        Median width of that interval.
    """

    steps_left: int
    n: int
    predicted: float
    reached: float
    mae: float
    mae_staying: float
    bias: float
    correlation: float | None
    coverage: float | None
    width: float


@dataclass(frozen=True)
class Calibration:
    """Result of one calibration.

    Parameters
    ----------
    updates : int
        Of the agent that was measured; after more of them it no longer holds.
    seed : int
        Of starts and goals, from the stream "evaluate".
    episodes : int
    unit : str
        Of the distances.
    horizons : tuple of HorizonCalibration
    bounds : Bounds
    """

    updates: int
    seed: int
    episodes: int
    unit: str
    horizons: tuple[HorizonCalibration, ...]
    bounds: Bounds

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back."""
        return asdict(self) | {"level": LEVEL}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Calibration:
        """Rebuild from `to_json` data.

        Raises
        ------
        ValueError
            If a field is missing or unknown.
        """
        values = {key: value for key, value in data.items() if key != "level"}
        try:
            horizons = tuple(HorizonCalibration(**one) for one in data["horizons"])
            return cls(**{**values, "horizons": horizons, "bounds": Bounds.from_json(data["bounds"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a calibration: {error}; run `tdm_ros calibrate` again") from error


def calibration(found: list[Outcome], task: TaskSpec, updates: int, seed: int) -> Calibration:
    """Compare predicted with reached.

    Raises
    ------
    ValueError
        If no horizon was played out in both halves of the episodes.
    """
    columns = {name: np.array([getattr(one, name) for one in found]) for name in Outcome._fields}
    fits = {h: _fit(columns, columns["steps_left"] == h) for h in horizons_of(task)}
    known = {h: fit for h, fit in fits.items() if fit is not None}
    if not known:
        raise ValueError(
            f"{len(found)} goals were gone for before an episode ended, too few to compare: "
            "give more episodes, or look at why they end early"
        )
    bounds = Bounds(tuple(known), *(tuple(part) for part in zip(*known.values(), strict=True)))
    horizons = tuple(_measure(h, columns, columns["steps_left"] == h, bounds) for h in known)
    return Calibration(updates, seed, int(columns["episode"].max()) + 1, task.goal.unit, horizons, bounds)


def _fit(columns: dict[str, NDArray[Any]], rows: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """Floor and quantiles of one horizon, from the odd episodes; None without outcomes in both halves."""
    odd = rows & (columns["episode"] % 2 == 1)
    if not odd.any() or odd.sum() == rows.sum():
        return None
    floor = float(np.median(columns["std"][odd])) or 1e-6
    error = (columns["reached"][odd] - columns["predicted"][odd]) / (columns["std"][odd] + floor)
    tail = (1 - LEVEL) / 2
    low = float(np.quantile(error, tail, method="lower"))
    high = float(np.quantile(error, 1 - tail, method="higher"))
    return floor, low, float(np.median(error)), high


def _measure(
    horizon: int, columns: dict[str, NDArray[Any]], rows: NDArray[np.bool_], bounds: Bounds
) -> HorizonCalibration:
    expected, std, reached = (columns[name][rows] for name in ("predicted", "std", "reached"))
    low, _, high = bounds.around(expected, std, columns["steps_left"][rows].astype(float))
    even = columns["episode"][rows] % 2 == 0
    differ = len(reached) > 1 and expected.std() > 0 and reached.std() > 0
    return HorizonCalibration(
        steps_left=horizon,
        n=len(reached),
        predicted=float(expected.mean()),
        reached=float(reached.mean()),
        mae=float(np.abs(expected - reached).mean()),
        mae_staying=float(np.abs(columns["before"][rows] - reached).mean()),
        bias=float((expected - reached).mean()),
        correlation=float(np.corrcoef(expected, reached)[0, 1]) if differ else None,
        coverage=float(((low <= reached) & (reached <= high))[even].mean()) if even.any() else None,
        width=float(np.median(high - low)),
    )
