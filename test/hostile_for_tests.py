"""Hostile commanders, late readings, and the margins that are left: for tests of the limiter in closed loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.capsules import BODY, LINKS, capsule_ends, gaps
from tdm_ros.robots.kinematics import forward, jacobian, link_frames
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.limits import CYCLE_S
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S

Array = np.ndarray
Commander = Callable[[Array, Limits, np.random.Generator], Array]
LATE = 4
"""Cycles in 0.2 s."""

RADII_M = np.repeat(BODY.radius_m[LINKS], 2)[:, None]


def _joints(q_rad: Array, limits: Limits) -> float:
    return float(np.minimum(q_rad - Q_LOWER_RAD, Q_UPPER_RAD - q_rad).min())


def _box(q_rad: Array, limits: Limits) -> float:
    hand = forward(q_rad).position_m
    return float(np.minimum(hand - limits.box_low_m, limits.box_high_m - hand).min())


def _links(q_rad: Array, limits: Limits) -> float:
    ends = capsule_ends(link_frames(q_rad))[LINKS].reshape(-1, 3)
    return float(np.minimum(ends - RADII_M - limits.links_low_m, limits.links_high_m - ends - RADII_M).min())


def _clearance(q_rad: Array, limits: Limits) -> float:
    return float(gaps(capsule_ends(link_frames(q_rad))).gap_m.min()) - limits.clearance_m


MARGINS: dict[str, Callable[[Array, Limits], float]] = {
    "joints": _joints,
    "box": _box,
    "links": _links,
    "clearance": _clearance,
}


def margins(q_rad: Array, limits: Limits) -> dict[str, float]:
    """What is left before each bound: rad for the joints, else m; negative is a violation."""
    return {name: left(q_rad, limits) for name, left in MARGINS.items()}


def _downhill(value: Callable[[Array], float]) -> Commander:
    """As fast as it goes to where ``value`` of the joints is small."""

    def command(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
        slope = np.array([value(q + d) - value(q - d) for d in 1e-4 * np.eye(7)])
        return -slope / max(np.abs(slope).max(), 1e-12) * 10.0

    return command


def _to_nearest(name: str) -> Commander:
    def command(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
        return _downhill(lambda at: MARGINS[name](at, limits))(q, limits, rng)

    return command


def _sideways(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
    """Into the nearest wall and along it, all joints turning."""
    along = np.linalg.pinv(jacobian(q)[:3]) @ rng.normal(size=3)
    into = _to_nearest("box")(q, limits, rng)
    return 10 * along / np.abs(along).max() + 0.3 * into + rng.choice([-3.0, 0.0, 3.0], 7)


def _fastest_hand(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
    return 1e3 * jacobian(q)[:3].T @ rng.normal(size=3)


def _storm(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
    command = rng.normal(size=7) * 10.0 ** rng.uniform(-3, 6)
    return np.where(rng.random(7) < 0.03, np.nan, command)


def _bang(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
    return rng.choice([-1.0, 1.0], 7) * QD_MAX_RAD_S


def _one_joint(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
    return np.eye(7)[rng.integers(7)] * rng.choice([-9.0, 9.0])


def _hand_still(q: Array, limits: Limits, rng: np.random.Generator) -> Array:
    """Joints that cancel out at the hand, slowly or fast: what each of them fails to do moves the hand."""
    free = np.linalg.svd(jacobian(q)[:3])[2][3:]
    motion = rng.normal(size=4) @ free + 0.02 * _to_nearest("box")(q, limits, rng)
    return motion / np.abs(motion).max() * 10.0 ** rng.uniform(-1.5, 1)


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


def commands(name: str, limits: Limits, rng: np.random.Generator) -> Iterator[Callable[[Array], Array]]:
    """What a commander sends, cycle after cycle, given the joints: kept for a while, flipped, or with gaps of NaN."""
    keep, flip, gaps_of_nan = int(rng.choice([1, 1, 4, 25])), rng.random() < 0.2, rng.random() < 0.2
    now = np.zeros(7)
    k = 0

    def command(q: Array) -> Array:
        nonlocal now
        if k % keep == 0 or name not in RANDOM:
            now = COMMANDERS[name](q, limits, rng)
        values = now * (-1) ** k if flip else now
        return np.full(7, np.nan) if gaps_of_nan and rng.random() < 0.2 else values

    while True:
        yield command
        k += 1


def starts(limits: Limits, rng: np.random.Generator) -> Array:
    """A posture within the limits, spread over them: (7,) [rad]."""
    for spread in np.linspace(1.5, 0.0, 400):
        q = np.clip(NEUTRAL_RAD + spread * rng.normal(size=7), Q_LOWER_RAD + 0.15, Q_UPPER_RAD - 0.15)
        left = margins(q, limits)
        if min(left["box"], left["links"], left["clearance"]) > 0.011:
            return q
    return NEUTRAL_RAD.copy()


@dataclass
class Lateness:
    """Which reading a command is judged on and how long it is in force, in cycles, together at most 0.25 s."""

    kind: str
    rng: np.random.Generator

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


LATENESSES = ("none", "old reading", "long in force", "any")


@dataclass
class Worst:
    """Least margin of each kind over all cycles, how many cycles, and how far the fastest joint went."""

    left: dict[str, float] = field(default_factory=dict)
    cycles: int = 0
    moved_rad: float = 0.0

    def see(self, left: dict[str, float]) -> None:
        for name, value in left.items():
            self.left[name] = min(self.left.get(name, np.inf), value)


class Integrator:
    """An arm that moves just as commanded; with ``sticky`` joints, of which each does less, or nothing, at will."""

    def __init__(self, rng: np.random.Generator, sticky: bool = False) -> None:
        self.rng, self.sticky = rng, sticky

    def reset(self, q_rad: Array) -> None:
        self.q = q_rad

    def move(self, velocity: Array) -> Iterator[tuple[Array, Array]]:
        """Joints and their velocities, twice in the cycle that follows."""
        done = velocity * self.rng.choice([0.0, 0.5, 1.0], 7) if self.sticky else velocity
        for _ in range(2):
            self.q = self.q + 0.5 * CYCLE_S * done
            yield self.q, done


class Physics:
    """The simulated arm in MuJoCo."""

    def __init__(self) -> None:
        self.sim = ArmSim(ACTUATIONS["velocity"])

    def reset(self, q_rad: Array) -> None:
        self.sim.reset(q_rad)

    def move(self, velocity: Array) -> Iterator[tuple[Array, Array]]:
        """Joints and their velocities, five times in the cycle that follows."""
        self.sim.drive("velocity", velocity)
        for _ in range(5):
            self.sim.advance(5)
            now = self.sim.reading()
            assert self.sim.data.ncon == 0
            yield now.q_rad, now.qd_rad_s


def torment(
    arm: Integrator | Physics, limiter: Limiter, name: str, lateness: str, cycles: int, rng: np.random.Generator
) -> Worst:
    """Let a commander have ``cycles`` with an arm behind the limiter, and note the margins."""
    limits, late, worst = limiter.limits, Lateness(lateness, rng), Worst()
    here, qd = starts(limits, rng), np.zeros(7)
    arm.reset(here)
    past = [(here, qd)] * (LATE + 1)
    sender = commands(name, limits, rng)
    sent, left = np.zeros(7), 0
    for _ in range(cycles):
        if left == 0:
            age, left = late.draw()
            q, qd = past[-1 - age]
            reading = ArmReading(q, qd, forward(q).position_m, commanded_rad_s=sent)
            sent = limiter.apply(next(sender)(q), reading).command
        left -= 1
        for q, qd in arm.move(sent):
            speed = float(np.linalg.norm(jacobian(q)[:3] @ qd))
            worst.see(margins(q, limits) | {"hand speed": limits.hand_speed_m_s - speed})
            worst.see({"velocity": float((limits.velocity_scale - np.abs(qd) / QD_MAX_RAD_S).min())})
        worst.moved_rad += float(np.abs(q - past[-1][0]).max())
        worst.cycles += 1
        past = [*past[1:], (q, qd)]
    return worst


def roomy(limits: Limits) -> Limits:
    """The same limits with all of the links' box for the hand, so that joints, links and clearance come into play."""
    return replace(limits, box_low_m=limits.links_low_m, box_high_m=limits.links_high_m, singular_m=None)
