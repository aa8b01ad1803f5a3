"""Reader of URDF files: the links, joints, inertias and collision shapes that a description needs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from tdm_ros.robots import meshes
from tdm_ros.robots.description import LARGEST, Array, Inertia, transform
from tdm_ros.robots.tree import Joint, Link, Note, Part, Tree

Element = ElementTree.Element

LEAST_MASS_KG = 1e-6
"""Lighter links are frames without mass."""

LARGE_M = 5.0

LIMITS = {
    "lower": ("limit", "lower_rad"),
    "upper": ("limit", "upper_rad"),
    "velocity": ("limit", "velocity_rad_s"),
    "effort": ("limit", "effort_n_m"),
    "damping": ("dynamics", "damping_n_m_s_rad"),
    "friction": ("dynamics", "friction_n_m"),
}
"""Attributes of a joint, the element that has them, and the description's names."""


def read_urdf(path: Path) -> Tree:
    """Read a URDF file. Raises ValueError, one sentence with the remedy, if it is none."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must be a URDF or MJCF file, got none that can be read ({error}): correct it"
        ) from error
    if path.suffix == ".xacro" or "<xacro:" in text or "${" in text:
        plain = f"{path.name.split('.')[0]}_plain.urdf"
        said = f"run `xacro {path.name} > {plain}` and import {plain}"
        raise ValueError(f"{path} must be plain URDF, got xacro macros: {said}")
    root = _parsed(path, text)
    if root.tag != "robot":
        raise ValueError(f"{path} must be URDF, with <robot> as its root, got <{root.tag}>: give another file")
    notes: list[Note] = []
    links = {_name(link, path): _link(link, path, notes) for link in root.findall("link")}
    joints = [_joint(joint, path) for joint in root.findall("joint")]
    for joint in joints:
        for role, link in (("parent", joint.parent), ("child", joint.child)):
            if link not in links:
                raise ValueError(f"{path}: the {role} of joint {joint.name} must be a link, got {link!r}: add the link")
    return Tree(root.get("name") or path.stem, path, links, joints, [*dict.fromkeys(notes)])


def _parsed(path: Path, text: str) -> Element:
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        plain = re.sub(r"(</?|\s)(\w+):(?=[\w.-]+[\s=/>])", r"\1\2_", text)
        if "unbound prefix" not in str(error) or plain == text:
            raise ValueError(f"{path} must be XML, got what cannot be parsed ({error}): correct it") from error
    # Extensions (drake:, gazebo:) without a declared namespace: their elements are not read anyway.
    return _parsed(path, plain)


def _name(element: Element, path: Path) -> str:
    name = element.get("name")
    if not name:
        raise ValueError(f"{path}: every {element.tag} must have a name, got one without: name it")
    return name


def _numbers(element: Element | None, key: str, default: str, where: str) -> Array:
    """Numbers of an attribute, as many as those of the default."""
    words = default if element is None else element.get(key, default)
    try:
        numbers = np.array(words.split(), np.float64)
    except ValueError:
        numbers = np.array([np.nan])
    count = len(default.split())
    if numbers.shape != (count,) or not (np.abs(numbers) <= LARGEST).all():
        raise ValueError(f"{where} {key} must be {count} finite numbers, got {words!r}: correct the file")
    return numbers


def _frame(element: Element, where: str) -> Array:
    origin = element.find("origin")
    return transform(_numbers(origin, "xyz", "0 0 0", where), _numbers(origin, "rpy", "0 0 0", where))


def _joint(element: Element, path: Path) -> Joint:
    name = _name(element, path)
    where = f"{path}: joint {name}:"
    parent, child, mimic = (element.find(tag) for tag in ("parent", "child", "mimic"))
    if parent is None or child is None:
        raise ValueError(f"{where} must have a parent and a child, got {element.attrib}: add them")
    axis = _numbers(element.find("axis"), "xyz", "1 0 0", where)
    kind = element.get("type", "")
    if kind == "fixed":
        axis = np.array([1.0, 0.0, 0.0])
    if not np.linalg.norm(axis) > 1e-9:
        raise ValueError(f"{where} axis must be a direction, got {axis.tolist()}: correct the file")
    limits = {}
    for key, (tag, ours) in LIMITS.items():
        found = element.find(tag)
        if found is not None and found.get(key) is not None:
            limits[ours] = float(_numbers(found, key, "0", where)[0])
    ends = parent.get("link", ""), child.get("link", "")
    follows = "" if mimic is None else mimic.get("joint", "another joint")
    return Joint(name, kind, *ends, _frame(element, where), axis / np.linalg.norm(axis), limits, follows)


def _link(element: Element, path: Path, notes: list[Note]) -> Link:
    name = element.get("name", "")
    link = Link(name, _inertia(element.find("inertial"), f"{path}: link {name}:"))
    for tag in ("collision", "visual"):
        said: list[Note] = []
        for shape in element.findall(tag):
            part = _part(shape, path, name, said)
            link.parts += [] if part is None else [part]
        notes += said
        if link.parts:
            if tag == "visual":
                notes.append(
                    Note(
                        "capsules",
                        f"{name} has no collision shape that can be read: its visual ones are used",
                        link=name,
                    )
                )
            break
    return link


def _inertia(element: Element | None, where: str) -> Inertia | None:
    """Inertia in the link's axes about the centre of mass; None if there is no mass, zero moments if there are none."""
    mass = None if element is None else element.find("mass")
    if element is None or mass is None:
        return None
    mass_kg = float(_numbers(mass, "value", "0", where)[0])
    if not mass_kg > LEAST_MASS_KG:
        return None
    keys = element.find("inertia")
    xx, xy, xz, yy, yz, zz = (
        float(_numbers(keys, key, "0", where)[0]) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    )
    frame = _frame(element, where)
    turned = frame[:3, :3] @ [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]] @ frame[:3, :3].T
    return Inertia(mass_kg, frame[:3, 3], turned[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])


def _part(element: Element, path: Path, link: str, notes: list[Note]) -> Part | None:
    """Shape of a collision or visual element; None, and a note, if it cannot be read."""
    where = f"{path}: link {link}:"
    frame, geometry = _frame(element, where), element.find("geometry")
    shape = None if geometry is None or not len(geometry) else geometry[0]
    kind = "nothing" if shape is None else shape.tag
    if shape is not None and kind in ("sphere", "capsule", "cylinder"):
        radius = float(_numbers(shape, "radius", "0", where)[0])
        half = np.array([0.0, 0.0, 0.0 if kind == "sphere" else float(_numbers(shape, "length", "0", where)[0]) / 2])
        if kind == "cylinder":
            return Part(meshes.placed(meshes.cylinder(radius, 2 * half[2]), frame))
        return Part(meshes.placed(meshes.segment(-half, half), frame), radius)
    if shape is not None and kind == "box":
        return Part(meshes.placed(meshes.box(_numbers(shape, "size", "0 0 0", where)), frame))
    if shape is not None and kind == "mesh":
        return _mesh(shape, path, link, frame, notes)
    said = f"{link}: a shape of kind {kind!r} is left out; sphere, cylinder, capsule, box and mesh are read"
    notes.append(Note("capsules", said, link=link))
    return None


def _mesh(shape: Element, path: Path, link: str, frame: Array, notes: list[Note]) -> Part | None:
    name = shape.get("filename", "")
    file = meshes.find_mesh(name, path)
    if file is None:
        notes.append(
            Note("capsules", f"{link}: the mesh {name} is not found beside {path.name}; it is left out", link=link)
        )
        return None
    try:
        triangles = meshes.read_mesh(file)
    except (ValueError, OSError) as error:
        notes.append(Note("capsules", f"{link}: {error}", link=link))
        return None
    scale = _numbers(shape, "scale", "1 1 1", f"{path}: link {link}:")
    triangles = triangles * scale
    if (size_m := float(np.ptp(triangles.reshape(-1, 3), axis=0).max())) > LARGE_M:
        said = f'{link}: {file.name} is {size_m:.0f} m long; if it is in millimetres, add scale="0.001 0.001 0.001"'
        notes.append(Note("capsules", said, link=link))
    return Part(meshes.placed(triangles, frame))
