"""Check of a robot's description: its numbers, spaces and distances, and hostile commands through the limiter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robots.arm import Actuation
from tdm_ros.robots.batch import clearances, frames_of, heights, random_goals, random_postures, reach_from_home
from tdm_ros.robots.capsules import body, capsule_ends, gaps
from tdm_ros.robots.description import Array, Robot, load_robot, robot_files
from tdm_ros.robots.hostile import COMMANDERS, LATENESSES, ROUNDING, Episode, Integrator, margins, roomy, run_episode
from tdm_ros.robots.kinematics import jacobian
from tdm_ros.robots.limiter import Limiter, Limits
from tdm_ros.robots.limits import REAL

POSTURES, GOALS = 2000, 500
NEAR_M = 1e-3
"""A goal is reached if the hand is nearer than this."""
ENOUGH = 0.95
"""Share of the goals that must be reached."""
UNITS = {
    "joints": "rad",
    "box": "m",
    "links": "m",
    "clearance": "m",
    "hand speed": "m/s",
    "velocity": "of its limit",
}
"""Units of the margins of hostile episodes."""
START_M = 0.011
"""Room that home must leave before each bound, so that the arm can start there."""


@dataclass
class Report:
    """Text of the check by section, and one sentence for each thing that is wrong."""

    lines: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def add(self, title: str, *lines: str) -> None:
        """Add a section."""
        self.lines += [title, *(f"  {line}" for line in lines)]

    def text(self) -> str:
        """The whole report, with the verdict as its last line."""
        verdict = "fit" if not self.findings else f"unfit: {len(self.findings)} findings"
        return "\n".join([*self.lines, f"verdict: {verdict}"])


def table_of_robots() -> str:
    """Table of the robots that are known by name; one whose file is wrong has a row with the sentence."""
    head = ("name", "joints", "hand frame", "reach [m]", "drivers", "file")
    rows, wrong = [head], []
    for name, path in sorted(robot_files().items()):
        try:
            robot = load_robot(path)
        except ValueError as error:
            wrong.append(str(error))
            continue
        hands = frames_of(random_postures(robot, POSTURES, np.random.default_rng(0)), robot)[:, -1, :3, 3]
        far = f"{np.linalg.norm(hands, axis=1).max():.2f}"
        drivers = ", ".join(robot.drivers) or "-"
        rows.append((name, str(len(robot.joint_names)), robot.hand_frame, far, drivers, str(path)))
    note = f"reach: largest distance of the hand from the base frame over {POSTURES} random postures"
    return "\n".join([*as_columns(rows), note, *wrong])


def as_columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def check(robot: Robot, seed: int, cycles: int, progress: Callable[[], object]) -> Report:
    """Report of a robot, with ``cycles`` of each hostile episode; ``progress`` is called after each of them."""
    report, rng = Report(), np.random.default_rng(seed)
    report.add(robot.name, f"source: {robot.source.strip()}", f"{robot.base_frame} to {robot.hand_frame}")
    _add_joints(report, robot)
    frames = frames_of(random_postures(robot, POSTURES, rng), robot)
    _add_spaces(report, robot, frames, rng)
    _add_distances(report, robot, frames)
    _add_home(report, robot)
    _add_hostile(report, robot, seed, cycles, progress)
    return report


def _add_joints(report: Report, robot: Robot) -> None:
    head = ("joint", "lower [rad]", "upper", "home", "velocity [rad/s]", "acceleration [rad/s^2]", "effort [N m]")
    numbers = np.stack([robot.lower_rad, robot.upper_rad, robot.home_rad, robot.velocity_rad_s,
                        robot.acceleration_rad_s2, robot.effort_n_m], axis=1)  # fmt: skip
    rows = [(name, *(f"{value:.4g}" for value in row)) for name, row in zip(robot.joint_names, numbers, strict=True)]
    report.add("joints", *as_columns([head, *rows]))
    for name, friction, effort in zip(robot.joint_names, robot.friction_n_m, robot.effort_n_m, strict=True):
        if not friction < effort:
            report.findings.append(
                f"{name}: friction_n_m must be below effort_n_m, {effort:g}, or the joint cannot move, "
                f"got {friction:g}: correct one of them (values of simulator models are often placeholders)"
            )


def _triple(values: ArrayLike) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in np.ravel(values)) + ")"


def _add_spaces(report: Report, robot: Robot, frames: Array, rng: np.random.Generator) -> None:
    hands = frames[:, -1, :3, 3]
    low, high = np.percentile(hands, [1, 99], axis=0)
    goals = random_goals(robot, GOALS, rng)
    reached = reach_from_home(robot, goals)
    near = reached.miss_m < NEAR_M
    ends = frames_of(reached.q_rad, robot)
    free = near & (clearances(ends, robot) > 0)
    share = float(free.mean())
    report.add(
        "hand [m], in the base frame",
        f"reachable, 1st to 99th percentile of {POSTURES} random postures: {_triple(low)} to {_triple(high)}",
        f"reachable, extremes of these: {_triple(hands.min(axis=0))} to {_triple(hands.max(axis=0))}",
        f"hand box: {_triple(robot.hand_box_m[0])} to {_triple(robot.hand_box_m[1])}",
        f"goal box: {_triple(robot.goal_box_m[0])} to {_triple(robot.goal_box_m[1])}",
        f"goals that damped least squares reaches from home: {near.mean():.1%} of {GOALS} random ones to "
        f"{1e3 * NEAR_M:g} mm; free of self-collision at {share:.1%}",
    )
    if share < ENOUGH:
        worst = _triple(goals[int(np.where(free, -np.inf, reached.miss_m).argmax())])
        report.findings.append(
            f"goal_box_m must be reached by damped least squares at {ENOUGH:.0%} of random goals or more, got "
            f"{share:.1%} (the farthest is {worst}): make goal_box_m smaller, or move home_rad to its middle"
        )
    for key, low_side in (("low", True), ("high", False)):
        goal, hand = robot.goal_box_m[not low_side], robot.hand_box_m[not low_side]
        outside = np.less(goal, hand) if low_side else np.greater(goal, hand)
        if outside.any():
            report.findings.append(
                f"goal_box_m must be inside hand_box_m, got {key} {_triple(goal)} against "
                f"{_triple(hand)}: make the one smaller or the other larger"
            )


class Pair(NamedTuple):
    """Two links, their least distance at home, and over the sampled postures [m]."""

    near: str
    far: str
    home_m: float
    sampled_m: float


def pairs_of(robot: Robot, frames: Array) -> list[Pair]:
    """Pairs of links whose capsules are checked, the nearest over postures with these frames first."""
    shape = body(robot)
    if not len(shape.near):
        return []
    at_home = frames_of(robot.home_rad[None], robot)
    found = [np.array([gaps(capsule_ends(one, shape), shape).gap_m.reshape(5, -1).min(0) for one in some]).min(0)
             for some in (at_home, frames)]  # fmt: skip
    names = [capsule.link for capsule in robot.capsules]
    least: dict[tuple[str, str], list[float]] = {}
    for a, b, home, sampled in zip(shape.near, shape.far, *found, strict=True):
        entry = least.setdefault((names[a], names[b]), [np.inf, np.inf])
        entry[:] = min(entry[0], float(home)), min(entry[1], float(sampled))
    return sorted((Pair(*links, *values) for links, values in least.items()), key=lambda pair: pair.sampled_m)


def _add_distances(report: Report, robot: Robot, frames: Array) -> None:
    pairs = pairs_of(robot, frames)
    head = ("link", "link", "at home [mm]", "least [mm]")
    rows = [(p.near, p.far, f"{1e3 * p.home_m:.0f}", f"{1e3 * p.sampled_m:.0f}") for p in pairs]
    overlap = (clearances(frames, robot) <= 0).mean()
    said = f"{len(body(robot).near)} pairs of capsules, {len(pairs)} of links, "
    said += f"overlap in {overlap:.1%} of {len(frames)} random postures"
    report.add(f"self-collision: {said}", *(as_columns([head, *rows]) if rows else ()))
    for pair in pairs:
        if pair.home_m <= 0:
            report.findings.append(
                f"home_rad must be free of self-collision, got {pair.near} and {pair.far} overlapping by "
                f"{-1e3 * pair.home_m:.0f} mm: change home_rad, or capsules that are too wide"
            )


def _add_home(report: Report, robot: Robot) -> None:
    frames = frames_of(robot.home_rad[None], robot)
    hand, lowest = frames[0, -1, :3, 3], float(heights(frames, robot)[0])
    inside = np.minimum(hand - robot.hand_box_m[0], robot.hand_box_m[1] - hand).min()
    clear = float(clearances(frames, robot)[0])
    report.add(
        "home",
        f"posture [rad]: {_triple(robot.home_rad)}",
        f"hand at {_triple(hand)} m, {'inside' if inside >= 0 else 'outside'} the hand box",
        f"{'free of self-collision' if clear > 0 else 'in self-collision'}, "
        + (f"least distance {1e3 * clear:.0f} mm" if np.isfinite(clear) else "no pair is checked"),
        f"lowest point of the hand and of links that more than one joint moves: z = {lowest:.3f} m",
    )
    if inside < START_M:
        report.findings.append(
            f"hand at home must be inside hand_box_m by {1e3 * START_M:g} mm or more, got {_triple(hand)} m, "
            f"{1e3 * inside:.0f} mm: change home_rad or hand_box_m"
        )


def limits_of(robot: Robot) -> Limits:
    """Limits for the hostile commands: as on a real arm, with boxes and distances from the description.

    The links' box has room around the hand box and the links at home. Its lower side is the table, if that is above
    no part of them. Distance and singular value are at most half of those at home.
    """
    frames, shape = frames_of(robot.home_rad[None], robot), body(robot)
    ends = capsule_ends(frames[0], shape)[shape.links].reshape(-1, 3)
    radii = np.repeat(shape.radius_m[shape.links], 2)[:, None]
    low = np.min([*(ends - radii), robot.hand_box_m[0]], axis=0) - 0.1
    high = np.max([*(ends + radii), robot.hand_box_m[1]], axis=0) + 0.1
    if robot.hand_box_m[0][2] > 0:
        low[2] = min(0.0, float((ends - radii)[:, 2].min(initial=0.0)) - 2 * START_M)
    clear, agile = float(clearances(frames, robot)[0]), np.linalg.svd(jacobian(robot.home_rad, robot)[:3])[1]
    box_low_m, box_high_m = robot.hand_box_m
    return Limits(
        box_low_m=box_low_m,
        box_high_m=box_high_m,
        **REAL,
        links_low_m=(float(low[0]), float(low[1]), float(low[2])),
        links_high_m=(float(high[0]), float(high[1]), float(high[2])),
        singular_m=float(min(0.1, agile[2] / 2)) if len(agile) == 3 and agile[2] > 1e-3 else None,
        clearance_m=min(0.02, clear / 2) if len(shape.near) else None,
    )


def episodes_of(robot: Robot, cycles: int) -> Iterator[tuple[int, Episode]]:
    """All hostile episodes, and whether the hand's box is as large as that of the links (1) or not (0)."""
    for wide, name, lateness in product((0, 1), COMMANDERS, LATENESSES):
        yield wide, Episode(name, lateness, cycles, robot)


def _add_hostile(report: Report, robot: Robot, seed: int, cycles: int, progress: Callable[[], object]) -> None:
    if report.findings:
        report.add("hostile commands: not sent, as the description is unfit")
        return
    limits = limits_of(robot)
    left = margins(robot.home_rad, limits, robot)
    near = {key: left[key] for key in ("box", "links", "clearance") if left[key] < START_M / 2}
    if near or left["joints"] < limits.joint_margin_rad:
        got = ", ".join(f"{name} {value:.3f}" for name, value in left.items())
        report.findings.append(
            f"home_rad must leave {START_M / 2} m before bounds and {limits.joint_margin_rad} rad before joint limits, "
            f"got {got}: change home_rad"
        )
        return
    limiters = [Limiter(Actuation("velocity", "velocity", robot.velocity_rad_s), each, robot)
                for each in (limits, roomy(limits))]  # fmt: skip
    least: dict[str, float] = {}
    total = violations = 0
    for number, (wide, episode) in enumerate(episodes_of(robot, cycles)):
        rng = np.random.default_rng([seed, number])
        worst = run_episode(Integrator(rng), limiters[wide], episode, rng)
        worst.left["joints"] -= limits.joint_margin_rad
        total += worst.cycles
        for name, value in worst.left.items():
            least[name] = min(least.get(name, np.inf), value)
            if value < -ROUNDING:
                violations += 1
                report.findings.append(
                    f"hostile commands ({episode.commander}, lateness {episode.lateness}) must leave 0 or more "
                    f"before the limit of {name}, got {value:.4g}: do not run this arm, and report this with the file"
                )
        progress()
    values = {name: least[name] if least[name] < -ROUNDING else max(least[name], 0.0) for name in UNITS}
    distances = ", ".join(f"{name} {value:.3g} {UNITS[name]}" for name, value in values.items())
    report.add(
        f"hostile commands: {total} cycles of 50 ms, readings and commands up to 0.25 s old: {violations} violations",
        f"limits: {limits.velocity_scale:g} of the joints' velocity, hand {limits.hand_speed_m_s:g} m/s, "
        f"{limits.joint_margin_rad:g} rad before joint limits, "
        + (f"{1e3 * limits.clearance_m:.0f} mm between links" if limits.clearance_m else "no pair of links"),
        f"least distances from these limits: {distances}",
    )
