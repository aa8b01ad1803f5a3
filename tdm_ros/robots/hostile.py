"""Hostile commanders, late readings, and the margins that are left: a test of the limiter in closed loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tdm_ros.robots.capsules import body, capsule_ends, gaps
from tdm_ros.robots.description import Array, Robot
from tdm_ros.robots.kinematics import forward, jacobian, link_frames
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.limits import CYCLE_S
from tdm_ros.robots.sawyer import SAWYER

Generator = np.random.Generator
Commander = Callable[[Array, Limits, Robot, Generator], Array]

LATE = 4
"""Cycles in 0.2 s."""

ROUNDING = 1e-9
"""A margin below zero by no more is kept."""


def _joints(q_rad: Array, limits: Limits, robot: Robot = SAWYER) -> float:
    return float(np.minimum(q_rad - robot.lower_rad, robot.upper_rad - q_rad).min())


def _box(q_rad: Array, limits: Limits, robot: Robot = SAWYER) -> float:
    hand = forward(q_rad, robot).position_m
    return float(np.minimum(hand - limits.box_low_m, limits.box_high_m - hand).min())


def _links(q_rad: Array, limits: Limits, robot: Robot = SAWYER) -> float:
    shape = body(robot)
    ends = capsule_ends(link_frames(q_rad, robot), shape)[shape.links]
    radii = shape.radius_m[shape.links, None, None]
    assert limits.links_low_m is not None and limits.links_high_m is not None
    room = np.minimum(ends - radii - limits.links_low_m, limits.links_high_m - ends - radii)
    return float(room.min(initial=np.inf))


def _clearance(q_rad: Array, limits: Limits, robot: Robot = SAWYER) -> float:
    shape = body(robot)
    return float(gaps(capsule_ends(link_frames(q_rad, robot), shape), shape).gap_m.min(initial=np.inf)) - (
        limits.clearance_m or 0.0
    )


MARGINS: dict[str, Callable[..., float]] = {
    "joints": _joints,
    "box": _box,
    "links": _links,
    "clearance": _clearance,
}


def margins(q_rad: Array, limits: Limits, robot: Robot = SAWYER) -> dict[str, float]:
    """Distances from the bounds at (J,) [rad]: rad for the joints, else m; negative is a violation."""
    return {name: left(q_rad, limits, robot) for name, left in MARGINS.items()}


def _to_nearest(name: str) -> Commander:
    """Command in the direction in which a margin decreases most."""

    def command(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
        left = MARGINS[name]
        steps = 1e-4 * np.eye(len(q))
        slope = np.array([left(q + d, limits, robot) - left(q - d, limits, robot) for d in steps])
        return np.nan_to_num(-slope / max(np.abs(slope).max(), 1e-12) * 10.0)

    return command


def _sideways(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
    """Into the nearest side of the box and along it, all joints turning."""
    along = np.linalg.pinv(jacobian(q, robot)[:3]) @ rng.normal(size=3)
    into = _to_nearest("box")(q, limits, robot, rng)
    return np.asarray(10 * along / np.abs(along).max() + 0.3 * into + rng.choice([-3.0, 0.0, 3.0], len(q)))


def _fastest_hand(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
    return np.asarray(1e3 * jacobian(q, robot)[:3].T @ rng.normal(size=3))


def _storm(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
    command = rng.normal(size=len(q)) * 10.0 ** rng.uniform(-3, 6)
    return np.where(rng.random(len(q)) < 0.03, np.nan, command)


def _bang(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
    return rng.choice([-1.0, 1.0], len(q)) * robot.velocity_rad_s


def _one_joint(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
    return np.asarray(np.eye(len(q))[rng.integers(len(q))] * rng.choice([-9.0, 9.0]))


def _hand_still(q: Array, limits: Limits, robot: Robot, rng: Generator) -> Array:
    """Joints that cancel out at the hand, slowly or fast: what each of them fails to do moves the hand."""
    free = np.linalg.svd(jacobian(q, robot)[:3])[2][3:]
    motion = rng.normal(size=len(free)) @ free + 0.02 * _to_nearest("box")(q, limits, robot, rng)
    return np.asarray(motion / max(np.abs(motion).max(), 1e-12) * 10.0 ** rng.uniform(-1.5, 1))


COMMANDERS: dict[str, Commander] = {
    "bang-bang": _bang,
    "storm": _storm,
    "one joint": _one_joint,
    "nearest joint limit": _to_nearest("joints"),
    "nearest wall": _to_nearest("box"),
    "nearest wall of links": _to_nearest("links"),
    "nearest part": _to_nearest("clearance"),
    "along the wall": _sideways,
    "fastest hand": _fastest_hand,
    "hand still": _hand_still,
}
RANDOM = ("bang-bang", "storm", "one joint", "fastest hand", "hand still")
LATENESSES = ("none", "old reading", "long in force", "any")


@dataclass(frozen=True)
class Episode:
    """Commander, kind of lateness, and number of cycles of 50 ms."""

    commander: str
    lateness: str
    cycles: int
    robot: Robot = SAWYER


def commands(episode: Episode, limits: Limits, rng: Generator) -> Iterator[Callable[[Array], Array]]:
    """Commands of a commander, cycle by cycle, given the joints: kept for a while, flipped, or with gaps of NaN."""
    keep, flip, gaps_of_nan = int(rng.choice([1, 1, 4, 25])), rng.random() < 0.2, rng.random() < 0.2
    name, robot = episode.commander, episode.robot
    now = np.zeros(len(robot.joint_names))
    k = 0

    def command(q: Array) -> Array:
        nonlocal now
        if k % keep == 0 or name not in RANDOM:
            now = COMMANDERS[name](q, limits, robot, rng)
        values = now * (-1) ** k if flip else now
        return np.full(len(q), np.nan) if gaps_of_nan and rng.random() < 0.2 else values

    while True:
        yield command
        k += 1


def starts(limits: Limits, rng: Generator, robot: Robot = SAWYER) -> Array:
    """Posture within the limits, spread over them: (J,) [rad]; home if no random one is found."""
    inside = np.minimum(0.15, (robot.upper_rad - robot.lower_rad) / 4)
    for spread in np.linspace(1.5, 0.0, 400):
        q = robot.home_rad + spread * rng.normal(size=len(inside))
        q = np.clip(q, robot.lower_rad + inside, robot.upper_rad - inside)
        left = margins(q, limits, robot)
        if min(left["box"], left["links"], left["clearance"]) > 0.011:
            return q
    return robot.home_rad.copy()


@dataclass
class Lateness:
    """Age of the reading behind a command and time for which it is in force, in cycles, together at most 0.25 s."""

    kind: str
    rng: Generator

    def draw(self) -> tuple[int, int]:
        """(age of the reading, cycles in force)."""
        if self.kind == "none":
            return 0, 1
        if self.kind == "old reading":
            return LATE, 1
        if self.kind == "long in force":
            return 0, 1 + LATE
        age = int(self.rng.integers(LATE + 1))
        return age, int(self.rng.integers(1, LATE + 2 - age))


@dataclass
class Worst:
    """Least margin of each kind over all cycles, number of cycles, and path of the fastest joint."""

    left: dict[str, float] = field(default_factory=dict)
    cycles: int = 0
    moved_rad: float = 0.0

    def see(self, left: dict[str, float]) -> None:
        """Keep the smaller of each margin."""
        for name, value in left.items():
            self.left[name] = min(self.left.get(name, np.inf), value)


class Mover(Protocol):
    """Arm that commands move."""

    def reset(self, q_rad: Array) -> None:
        """Begin at (J,) [rad], at rest."""

    def move(self, velocity: Array) -> Iterator[tuple[Array, Array]]:
        """Joints and their velocities, (J,) each, some times in the cycle that follows a command [rad/s]."""


class Integrator:
    """Arm that moves exactly as commanded; with ``sticky`` joints, each does all, half or nothing of it, at random."""

    def __init__(self, rng: Generator, sticky: bool = False) -> None:
        self.rng, self.sticky = rng, sticky

    def reset(self, q_rad: Array) -> None:
        self.q = q_rad

    def move(self, velocity: Array) -> Iterator[tuple[Array, Array]]:
        done = velocity * self.rng.choice([0.0, 0.5, 1.0], len(velocity)) if self.sticky else velocity
        for _ in range(2):
            self.q = self.q + 0.5 * CYCLE_S * done
            yield self.q, done


def run_episode(arm: Mover, limiter: Limiter, episode: Episode, rng: Generator) -> Worst:
    """Send a commander's commands through the limiter to an arm, and return the least margins."""
    limits, robot, late, worst = limiter.limits, episode.robot, Lateness(episode.lateness, rng), Worst()
    here, qd = starts(limits, rng, robot), np.zeros(len(robot.joint_names))
    arm.reset(here)
    past = [(here, qd)] * (LATE + 1)
    sender = commands(episode, limits, rng)
    sent, left = np.zeros(len(qd)), 0
    for _ in range(episode.cycles):
        if left == 0:
            age, left = late.draw()
            q, qd = past[-1 - age]
            reading = ArmReading(q, qd, forward(q, robot).position_m, commanded_rad_s=sent)
            sent = limiter.apply(next(sender)(q), reading).command
        left -= 1
        for q, qd in arm.move(sent):
            worst.see(margins(q, limits, robot))
            if limits.hand_speed_m_s is not None:
                speed = float(np.linalg.norm(jacobian(q, robot)[:3] @ qd))
                worst.see({"hand speed": limits.hand_speed_m_s - speed})
            worst.see({"velocity": float((limits.velocity_scale - np.abs(qd) / robot.velocity_rad_s).min())})
        worst.moved_rad += float(np.abs(q - past[-1][0]).max())
        worst.cycles += 1
        past = [*past[1:], (q, qd)]
    return worst


def roomy(limits: Limits) -> Limits:
    """The same limits with all of the links' box for the hand, so that joints, links and clearance come into play."""
    low, high = limits.links_low_m or limits.box_low_m, limits.links_high_m or limits.box_high_m
    return replace(limits, box_low_m=low, box_high_m=high, singular_m=None)
