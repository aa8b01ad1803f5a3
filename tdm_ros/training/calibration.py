"""Calibration per horizon: predicted against reached distances of rollouts, and a plot of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.training.arguments import whole_number
from tdm_ros.training.environment import as_states
from tdm_ros.training.evaluation import EvaluationEnv
from tdm_ros.training.reachability import LEVEL, Bounds, predicted

GOALS = 50
"""Number of resets whose goals are used."""
GOAL_FRACTIONS = (0.1, 0.3, 1.0)
"""Goals are at these fractions of the difference between the present point and one of those goals."""


class RolloutResult(NamedTuple):
    """Prediction and result of one goal that was pursued for ``steps_left + 1`` steps."""

    episode: int
    steps_left: int
    """[steps]"""
    predicted: float
    """Distance that the critics predicted [goal unit]."""
    std: float
    """Standard deviation of the critics' points [goal unit]."""
    before: float
    """Distance at the start [goal unit]."""
    reached: float
    """Final distance [goal unit]."""


def horizons_of(task: TaskSpec) -> tuple[int, ...]:
    """Calibrated horizons [steps]: 0, 1, 3, half of the longest and the longest, within the episode."""
    longest = min(task.horizon, task.episode_steps - 1)
    return tuple(sorted({h for h in (0, 1, 3, longest // 2, longest) if h <= longest}))


def collect_rollouts(
    agent: TdmAgent,
    env: GoalEnv,
    task: TaskSpec,
    episodes: int,
    seed: int,
    on_episode: Callable[[], object] = lambda: None,
) -> list[RolloutResult]:
    """Pursue goals at several distances, one after the other, with each horizon about equally often.

    Actions of ``env`` are in [-1, 1]. The policy acts with ``steps_left`` counting down to 0. Goals that the end of an
    episode interrupts are left out. Starts and goals are from the stream "evaluate". ``on_episode`` is called after
    each episode. Raises ValueError if ``episodes`` is less than 2, or the critics do not predict points.
    """
    episodes, seed = whole_number("episodes", episodes, 2), whole_number("seed", seed)
    collector = _RolloutCollector(agent, env, task, seed, min(episodes, GOALS))
    found: list[RolloutResult] = []
    for episode in range(episodes):
        found += collector.episode(episode)
        on_episode()
    return found


class _RolloutCollector:
    """Pursues goals and measures the final distances."""

    def __init__(self, agent: TdmAgent, env: GoalEnv, task: TaskSpec, seed: int, goals: int) -> None:
        self._agent, self._env, self._task, self._seed = agent, EvaluationEnv(env), task, seed
        # Without selection of a shorter horizon: the critics predict the distance for the given one.
        self._actor = NumpyActor(agent.actor_tensors("hold"))
        self._goals = [np.asarray(self._reset(number)["desired_goal"], np.float32) for number in range(goals)]
        self._counts = dict.fromkeys(horizons_of(task), 0)

    def _reset(self, episode: int) -> dict[str, NDArray[Any]]:
        seen: dict[str, NDArray[Any]] = self._env.reset(seed=reset_seed("evaluate", self._seed, episode))[0]
        return seen

    def episode(self, episode: int) -> Iterator[RolloutResult]:
        rng = np.random.default_rng(np.random.SeedSequence([5, self._seed, episode]))
        seen, left, over = self._reset(episode), self._task.episode_steps, False
        while not over:
            fitting = [h for h in self._counts if h < left]
            if not fitting:
                return
            horizon = min(fitting, key=lambda h: (self._counts[h], rng.random()))
            goal = self._goal(seen, rng)
            states, _ = as_states(self._task, seen, goal, horizon)
            distance, std = predicted(self._agent, self._task, states)
            before = self._distance(seen, goal)
            for steps_left in range(horizon, -1, -1):
                if over:
                    return
                at, achieved = (np.asarray(seen[key], np.float32) for key in ("observation", "achieved_goal"))
                seen, _, terminated, truncated, _ = self._env.step(self._actor.act(at, achieved, goal, steps_left))
                over, left = bool(terminated or truncated), left - 1
            self._counts[horizon] += 1
            yield RolloutResult(episode, horizon, float(distance[0]), float(std[0]), before, self._distance(seen, goal))

    def _goal(self, seen: dict[str, NDArray[Any]], rng: np.random.Generator) -> NDArray[np.float32]:
        here = np.asarray(seen["achieved_goal"], np.float32)
        there = self._goals[rng.integers(len(self._goals))]
        return (here + rng.choice(GOAL_FRACTIONS) * self._task.goal.difference(there, here)).astype(np.float32)

    def _distance(self, seen: dict[str, NDArray[Any]], goal: NDArray[np.float32]) -> float:
        return float(self._task.distance(self._env.achieved(seen["achieved_goal"]), goal))


@dataclass(frozen=True)
class HorizonCalibration:
    """Accuracy of the predictions of one horizon; distances by `TaskSpec.distance`, in the goal's unit."""

    steps_left: int  # the horizon [steps]; the policy acted ``steps_left + 1`` steps
    n: int  # rollouts: those of odd episodes determine the interval, those of even ones check it
    predicted: float  # mean
    reached: float  # mean
    mae: float  # mean absolute difference of predicted and reached
    mae_staying: float  # the same for the prediction that nothing moves, as a baseline
    bias: float  # mean of predicted minus reached; negative: too optimistic
    correlation: float | None  # of predicted and reached; None if one of them is constant
    coverage: float | None  # fraction of the results of even episodes within the interval; nominally `LEVEL`
    width: float  # median width of that interval


@dataclass(frozen=True)
class Calibration:
    """Result of one calibration."""

    updates: int  # of the agent; the calibration is invalid after further updates
    seed: int  # of starts and goals, from the stream "evaluate"
    episodes: int
    unit: str  # of the distances
    horizons: tuple[HorizonCalibration, ...]
    bounds: Bounds

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it."""
        return asdict(self) | {"level": LEVEL}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Calibration:
        """Rebuild from `to_json` data. Raises ValueError if a field is missing or unknown."""
        values = {key: value for key, value in data.items() if key != "level"}
        try:
            horizons = tuple(HorizonCalibration(**one) for one in data["horizons"])
            return cls(**{**values, "horizons": horizons, "bounds": Bounds.from_json(data["bounds"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a calibration: {error}; run `tdm_ros calibrate` again") from error


def calibration(found: list[RolloutResult], task: TaskSpec, updates: int, seed: int) -> Calibration:
    """Compare predicted with reached distances.

    Raises ValueError if no horizon has results in both halves of the episodes.
    """
    columns = {name: np.array([getattr(one, name) for one in found]) for name in RolloutResult._fields}
    fits = {h: _fit(columns, columns["steps_left"] == h) for h in horizons_of(task)}
    known = {h: fit for h, fit in fits.items() if fit is not None}
    if not known:
        raise ValueError(
            f"{len(found)} goals were pursued to the end of their horizon, too few to compare: "
            "give more episodes, or check why they end early"
        )
    bounds = Bounds(tuple(known), *(tuple(part) for part in zip(*known.values(), strict=True)))
    horizons = tuple(_measure(h, columns, columns["steps_left"] == h, bounds) for h in known)
    return Calibration(updates, seed, int(columns["episode"].max()) + 1, task.goal.unit, horizons, bounds)


def _fit(columns: dict[str, NDArray[Any]], rows: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """Floor and quantiles of one horizon, from the odd episodes; None without results in both halves."""
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
    predictions, std, reached = (columns[name][rows] for name in ("predicted", "std", "reached"))
    low, _, high = bounds.around(predictions, std, columns["steps_left"][rows].astype(float))
    even = columns["episode"][rows] % 2 == 0
    differ = len(reached) > 1 and predictions.std() > 0 and reached.std() > 0
    return HorizonCalibration(
        steps_left=horizon,
        n=len(reached),
        predicted=float(predictions.mean()),
        reached=float(reached.mean()),
        mae=float(np.abs(predictions - reached).mean()),
        mae_staying=float(np.abs(columns["before"][rows] - reached).mean()),
        bias=float((predictions - reached).mean()),
        correlation=float(np.corrcoef(predictions, reached)[0, 1]) if differ else None,
        coverage=float(((low <= reached) & (reached <= high))[even].mean()) if even.any() else None,
        width=float(np.median(high - low)),
    )


if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "calibration.png"


def draw_calibration(directory: Path, result: Calibration, found: list[RolloutResult], title: str = "") -> Path:
    """Draw ``calibration.png`` of these rollouts into ``directory``; return the path of the image."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    count = len(result.horizons)
    figure = Figure(figsize=(1 + 3.2 * count, 4.6), dpi=110, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, count))
    for panel, one in zip(axes, result.horizons, strict=True):
        _draw(panel, result, one, [outcome for outcome in found if outcome.steps_left == one.steps_left])
        panel.set_xlabel(f"predicted [{result.unit}]")
    axes[0].set_ylabel(f"reached: distance left [{result.unit}]")
    axes[0].legend(loc="upper left", fontsize="x-small", framealpha=0.9)
    if title:
        figure.suptitle(title)
    path = directory / PICTURE
    figure.savefig(path)
    return path


def _draw(axes: Axes, result: Calibration, one: HorizonCalibration, found: list[RolloutResult]) -> None:
    predicted, reached, std = (np.array([getattr(o, name) for o in found]) for name in ("predicted", "reached", "std"))
    limit = 1.05 * max(predicted.max(), reached.max(), 1e-9)
    line = np.linspace(0, limit, 50)
    low, _, high = result.bounds.around(line, np.full(50, np.median(std)), np.full(50, float(one.steps_left)))
    axes.fill_between(line, low, high, color="tab:orange", alpha=0.2, lw=0, label=f"{LEVEL:.0%} interval, median std")
    axes.plot([0, limit], [0, limit], color="0.4", lw=1, label="as predicted")
    axes.plot(predicted, reached, ".", color="tab:blue", ms=4, alpha=0.5, label="a goal")
    axes.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")
    steps = one.steps_left + 1
    correlation = "-" if one.correlation is None else f"{one.correlation:.2f}"
    coverage = "-" if one.coverage is None else f"{one.coverage:.0%}"
    axes.set_title(
        f"{steps} step{'s' if steps > 1 else ''} (steps_left {one.steps_left}), n = {one.n}\n"
        f"MAE {one.mae:.2g}, bias {one.bias:+.2g}, r {correlation}\n{coverage} in the interval",
        fontsize="small",
    )
