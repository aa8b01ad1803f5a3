"""XML that URDF and SDF share: shapes and layout of the text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from tdm_ros.description.shapes import Shape, text

WRITTEN_BY = "Written by `python -m tdm_ros.description` from tdm_ros/robot/sawyer_facts.json: change that, not this."
INERTIA = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")


def pose(shape: Shape) -> tuple[str, str]:
    """Position and roll, pitch, yaw of a shape."""
    return text(shape.position_m), text(shape.rpy_rad)


def laid_out(xml: str) -> str:
    """Indent XML, and say at its top where it comes from.

    Raises
    ------
    xml.etree.ElementTree.ParseError
        If it is not well-formed.
    """
    root = ElementTree.fromstring(xml)
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n<!-- {WRITTEN_BY} -->\n{ElementTree.tostring(root, encoding="unicode")}\n'
