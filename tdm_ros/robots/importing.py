"""Description of an arm from a model file: one chain of its tree, with what is not in the file assumed and said so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tdm_ros.robots.capsule_fit import Fit, capsules_around
from tdm_ros.robots.description import Array, Inertia, transform
from tdm_ros.robots.tree import Joint, Note, Tree, raise_if_any

FULL_TURN_RAD = 2 * np.pi
DENSITY_KG_M3 = 1000.0
LEAST_MASS_KG = 0.05
LEAST_MOMENT_KG_M2 = 1e-7
THIN = 0.05
"""Radius of the capsule of a link without shapes, as a share of its length."""
TURNING = ("revolute", "continuous")
REQUIRED = {"velocity_rad_s": "--velocity", "effort_n_m": "--effort"}
"""Limits that must be in the file or be given, and the options that give them."""


class Place(NamedTuple):
    """Link that a joint of the chain moves (or the base), its number of joints, and a transform in its frame."""

    owner: str
    joints: int
    frame: Array


@dataclass
class Draft:
    """Description without home and boxes: what `tdm_ros.robots.assuming` completes and `robot_yaml` writes."""

    content: dict[str, Any]
    notes: list[Note]


def draft(tree: Tree, base: str, tip: str, name: str = "", options: dict[str, list[float]] | None = None) -> Draft:
    """Fold a chain of a model into a description. Raises ValueError, one sentence, if it is none of revolute joints.

    The options are joints' numbers by the description's names, one for all joints or one for each.
    """
    if name and not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"--name must be letters, digits, _, - and dots, got {name!r}: choose another one")
    path = tree.path_to(base, tip)
    moving = [joint for joint in path if joint.kind != "fixed"]
    if not moving:
        raise ValueError(f"{tree.path}: joints must move {tip} against {base}, got fixed ones alone: choose others")
    notes: list[Note] = []
    numbers = [_limits(joint, i, len(moving), options or {}, notes) for i, joint in enumerate(moving)]
    raise_if_any(tree.path, [*_unfit_joints(moving), *_unfit_options(options or {}, len(moving)),
                             *_unfit_limits(moving, numbers)])  # fmt: skip
    places, origins, hand = _chain(path, base)
    placed = _branches(tree, places, base, notes)
    joints = [
        {"name": joint.name, "link": joint.child, **pose(origin), "axis": tidy(joint.axis), **_known(row)}
        for joint, origin, row in zip(moving, origins, numbers, strict=True)
    ]
    notes += [note for note in tree.notes if not note.link or note.link in placed]
    shapes = _capsules(tree, placed, base, [*origins[1:], hand], notes)
    links = _inertias(tree, [joint.child for joint in moving], placed, shapes, notes)
    fixed = {
        link: {"parent": place.owner, **pose(place.frame)} for link, place in placed.items() if link != place.owner
    }
    needed = {link: entry for link, entry in fixed.items() if link in links or shapes.get(link)}
    content = {
        "name": name or re.sub(r"\W+", "_", tree.name).strip("_").lower() or "arm",
        "source": f"{tree.path.name}, imported by `tdm_ros robot import`; add its origin and licence.",
        "base_frame": base,
        "hand_frame": tip,
        "joints": joints,
        "hand": pose(hand),
        "fixed_links": needed,
        "links": links,
        "capsules": [
            {"link": link, "ends_m": tidy(fit.ends_m.ravel(), 4), "radius_m": tidy([fit.radius_m], 4)[0],
             "group": _group(placed[link].joints, len(moving))}
            for link, fits in shapes.items() for fit in fits
        ],
    }  # fmt: skip
    return Draft(content, notes)


def tidy(values: Any, digits: int = 15) -> list[float]:
    """Floats without rounding errors such as 1e-17, for a file."""
    return [float(value) + 0.0 for value in np.round(np.asarray(values, np.float64), digits)]


def pose(frame: Array) -> dict[str, list[float]]:
    """Position and roll, pitch, yaw of a transform, (4, 4)."""
    r = frame[:3, :3]
    pitch = np.arctan2(-r[2, 0], np.hypot(r[0, 0], r[1, 0]))
    if np.hypot(r[0, 0], r[1, 0]) > 1e-9:
        rpy = [np.arctan2(r[2, 1], r[2, 2]), pitch, np.arctan2(r[1, 0], r[0, 0])]
    else:  # roll and yaw are about one axis: yaw is zero
        rpy = [np.arctan2(-r[1, 2], r[1, 1]), pitch, 0.0]
    return {"xyz_m": tidy(frame[:3, 3]), "rpy_rad": tidy(rpy)}


def rotation_about(axis: Array, angle_rad: float) -> Array:
    """Transform, (4, 4), of a rotation about a unit vector, (3,)."""
    frame, cross = np.eye(4), np.cross(axis, np.eye(3)).T
    frame[:3, :3] += np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    return frame


def _unfit_joints(moving: list[Joint]) -> list[str]:
    """One sentence for each joint of the chain that cannot be one of an arm."""
    remedy = "choose a base below it or a tip above it"
    sentences = []
    for joint in moving:
        where = f"joint {joint.name} between --base and --tip must be"
        if joint.kind not in TURNING:
            kind = joint.kind or "no type"
            sentences.append(f"{where} revolute, continuous or fixed, got {kind}: {remedy}")
        elif joint.mimic:
            sentences.append(f"{where} independent, got one that follows {joint.mimic} (mimic): {remedy}")
    return sentences


def _chain(path: list[Joint], base: str) -> tuple[dict[str, Place], list[Array], Array]:
    """Places of the chain's links, origins of its J joints in the link before, and the hand in the last link."""
    at = Place(base, 0, np.eye(4))
    places, origins = {base: at}, []
    for joint in path:
        frame = at.frame @ joint.origin
        if joint.kind == "fixed":
            at = at._replace(frame=frame)
        else:
            origins.append(frame)
            at = Place(joint.child, at.joints + 1, np.eye(4))
        places[joint.child] = at
    return places, origins, at.frame


def _branches(tree: Tree, places: dict[str, Place], base: str, notes: list[Note]) -> dict[str, Place]:
    """Places of all links that the chain carries; joints beside the chain are held, those on the base left out."""
    placed, held, out = dict(places), [], []
    waiting = [joint for joint in tree.joints if joint.child not in placed and joint.child != base]
    while ready := [joint for joint in waiting if joint.parent in placed]:
        for joint in ready:
            waiting.remove(joint)
            above = placed[joint.parent]
            if joint.kind != "fixed" and above.joints == 0:
                out.append(joint.name)
                continue
            at = above.frame @ joint.origin
            if joint.kind != "fixed":
                held.append(joint.name)
                at = at @ _held(joint)
            placed[joint.child] = above._replace(frame=at)
    if held:
        notes.append(
            Note(
                "fixed_links",
                f"joints beside the chain are held at zero, or at the limit next to it: {', '.join(held)}",
            )
        )
    if out:
        notes.append(Note("fixed_links", f"what these joints move on the base is left out: {', '.join(out)}"))
    return placed


def _held(joint: Joint) -> Array:
    low, high = (joint.limits.get(key, 0.0) for key in ("lower_rad", "upper_rad"))
    value = float(np.clip(0.0, low, high)) if low < high else 0.0
    if joint.kind == "prismatic":
        return transform(value * joint.axis, (0, 0, 0))
    return rotation_about(joint.axis, value) if joint.kind in TURNING else np.eye(4)


def _limits(
    joint: Joint, index: int, count: int, options: dict[str, list[float]], notes: list[Note]
) -> dict[str, float]:
    """Limits of a joint: an option of one value fills what the file lacks, one of a value per joint replaces."""
    found = dict(joint.limits)
    for key, values in options.items():
        value, had = values[index if len(values) == count else 0], found.get(key, 0.0)
        if len(values) > 1 or not had > 0:  # one value for all fills what is missing
            found[key] = value
            if had > 0 and had != value:
                notes.append(Note("joints", f"{joint.name}: {key} {value:g} was given instead of {had:g}", False))
    if joint.kind == "continuous":
        found |= {"lower_rad": -FULL_TURN_RAD, "upper_rad": FULL_TURN_RAD}
        notes.append(Note("joints", f"{joint.name} has no limits (continuous): -2 pi and 2 pi are taken", True))
    return found


def _known(found: dict[str, float]) -> dict[str, float]:
    """Numbers of a joint for the description: bounds (zero if the file has one alone), and what is above 0."""
    return {key: found.get(key, 0.0) for key in ("lower_rad", "upper_rad")} | {
        key: value for key, value in found.items() if value > 0
    }


def _unfit_options(options: dict[str, list[float]], count: int) -> list[str]:
    """One sentence for each option that has neither one value nor one per joint."""
    return [
        f"--{key.split('_')[0]} must have 1 value or {count}, one per joint, got {len(values)}: correct it"
        for key, values in options.items()
        if len(values) not in (1, count)
    ]


def _unfit_limits(moving: list[Joint], numbers: list[dict[str, float]]) -> list[str]:
    """One sentence for each limit that is missing or cannot be one, with all joints that it is of."""
    turning = [(joint, row) for joint, row in zip(moving, numbers, strict=True) if joint.kind in TURNING]
    sentences = []
    unbounded = {
        joint.name: f"lower {row.get('lower_rad', 'missing')} and upper {row.get('upper_rad', 'missing')}"
        for joint, row in turning
        if not row.get("lower_rad", 0.0) < row.get("upper_rad", 0.0)
    }
    if unbounded:
        remedy = 'add <limit lower="..." upper="..."/> [rad], or make it continuous'
        sentences.append(f"{_of(unbounded, 'a lower limit below the upper one')}: {remedy}")
    for key, option in REQUIRED.items():
        missing = {joint.name: f"{row.get(key, 'none')}" for joint, row in turning if not row.get(key, 0.0) > 0}
        if missing:
            remedy = f"add it to the file, or give {option} with one value for all joints or one for each"
            sentences.append(f"{_of(missing, f'a limit {key} above 0')}: {remedy}")
    return sentences


def _of(got: dict[str, str], expected: str) -> str:
    """Beginning of a sentence on joints: their names, what they must have, and what each has."""
    values = next(iter(got.values())) if len({*got.values()}) == 1 else ", ".join(f"{n}: {v}" for n, v in got.items())
    return f"{'joint' if len(got) == 1 else 'joints'} {', '.join(got)} must have {expected}, got {values}"


def _capsules(
    tree: Tree, placed: dict[str, Place], base: str, nexts: list[Array], notes: list[Note]
) -> dict[str, list[Fit]]:
    """Capsules by link, in its frame; a thin one is assumed for a moved link without shapes that has a length."""
    shapes = {link: capsules_around(tree.links[link].parts) for link in placed}
    thin = []
    for link, place in placed.items():
        if link != place.owner or shapes[link] or link == base:
            continue
        end = nexts[place.joints - 1][:3, 3]
        if (length := float(np.linalg.norm(end))) > 1e-3:
            shapes[link] = [Fit(np.array([np.zeros(3), end]), max(round(THIN * length, 3), 0.01))]
            thin.append(link)
    if thin:
        said = f"no shape of {', '.join(thin)} can be read: a thin capsule is put along each of these links"
        notes.append(Note("capsules", said, True))
    return shapes


def _inertias(
    tree: Tree, moved: list[str], placed: dict[str, Place], shapes: dict[str, list[Fit]], notes: list[Note]
) -> dict[str, Any]:
    """Inertias by link: the file's, or for moved links without any those of water in their capsules."""
    found, assumed, no_moments = {}, [], []
    for link in placed:
        inertia = tree.links[link].inertia
        if inertia is None and link not in moved:
            continue
        if inertia is None:
            assumed.append(link)
            inertia = _of_water(shapes[link])
        elif not inertia.inertia_kg_m2[:3].min() > 0:
            no_moments.append(link)
            inertia = inertia._replace(inertia_kg_m2=_moments(inertia.mass_kg, shapes[link]))
        mass, com, moments = float(inertia.mass_kg), inertia.com_m, inertia.inertia_kg_m2
        found[link] = {"mass_kg": mass, "com_m": tidy(com), "inertia_kg_m2": tidy(moments)}
    for links, what in ((assumed, "mass"), (no_moments, "inertia")):
        if links:
            how = (
                f"{DENSITY_KG_M3:g} kg/m^3 in its capsules"
                if what == "mass"
                else "that of a ball around its longest capsule"
            )
            notes.append(Note("links", f"{', '.join(links)}: no {what} in the file; {how} is taken", True))
    return found


def _of_water(fits: list[Fit]) -> Inertia:
    volumes = [fit.volume_m3 for fit in fits] or [0.0]
    middles = np.array([fit.ends_m.mean(axis=0) for fit in fits] or [np.zeros(3)])
    mass = max(DENSITY_KG_M3 * sum(volumes), LEAST_MASS_KG)
    com = np.average(middles, axis=0, weights=volumes) if sum(volumes) else middles[0]
    return Inertia(mass, com, _moments(mass, fits))


def _moments(mass_kg: float, fits: list[Fit]) -> Array:
    """Moments, (6,), of a ball around the longest capsule: rough, but never too small."""
    wide = max((fit.radius_m + np.linalg.norm(fit.ends_m[1] - fit.ends_m[0]) / 2 for fit in fits), default=0.02)
    return np.array([max(0.4 * mass_kg * wide**2, LEAST_MOMENT_KG_M2)] * 3 + [0.0] * 3)


def _group(joints: int, count: int) -> str:
    """Contact group: body up to the first joint, wrist for the last two or three, upper and elbow between."""
    if joints <= 1:
        return "body"
    if joints >= max(count - 2, 4):
        return "wrist"
    return "upper" if joints <= (count - 1) / 2 else "elbow"
