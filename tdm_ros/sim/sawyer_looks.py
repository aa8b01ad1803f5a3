"""Shapes of the simulated Sawyer: what touches (capsules), and what is only seen (paint)."""

from __future__ import annotations

from typing import NamedTuple


class Capsule(NamedTuple):
    """A collision capsule in its link's frame: end points [m], radius [m] and which group it belongs to."""

    ends_m: tuple[float, ...]
    radius_m: float
    group: str


CAPSULES: dict[str, tuple[Capsule, ...]] = {
    "right_arm_base_link": (Capsule((0, 0, 0, 0, 0, 0.2), 0.08, "body"),),
    "right_l0": (Capsule((0, 0, 0.0, 0, 0, 0.25), 0.07, "body"),),
    "head": (Capsule((0, -0.06, 0.1, 0, 0.06, 0.1), 0.09, "body"),),
    "right_l1": (Capsule((0, 0, -0.06, 0, 0, 0.13), 0.068, "body"),),
    "right_l2": (Capsule((0, 0, -0.15, 0, 0, 0.26), 0.055, "upper"),),
    "right_l3": (Capsule((0, 0, -0.115, 0, 0, 0.03), 0.055, "elbow"),),
    "right_l4": (Capsule((0, 0, -0.13, 0, 0, 0.27), 0.045, "elbow"),),
    "right_l5": (
        Capsule((0, 0, -0.02, 0, 0, 0.1), 0.045, "wrist"),
        Capsule((0, 0, 0.105, 0, -0.082, 0.105), 0.045, "wrist"),
    ),
    "right_l6": (Capsule((0, 0, -0.02, 0, 0, 0.0), 0.04, "wrist"),),
}
"""Source: the capsules of the MuJoCo Menagerie model (numbers only); base, head and hand simplified here."""

MATERIALS = """
<texture name="sky" type="skybox" builtin="gradient" rgb1=".93 .95 .97" rgb2=".62 .68 .75" width="256" height="256"/>
<texture name="tiles" type="2d" builtin="checker" rgb1=".55 .57 .6" rgb2=".5 .52 .55" width="256" height="256"/>
<material name="tiles" texture="tiles" texrepeat="8 8"/>
<material name="red" rgba=".62 .05 .08 1" specular=".5" shininess=".6"/>
<material name="dark" rgba=".13 .13 .14 1" specular=".4" shininess=".5"/>
<material name="grey" rgba=".34 .35 .37 1" specular=".4" shininess=".5"/>
<material name="steel" rgba=".75 .76 .78 1" specular=".8" shininess=".8"/>
<material name="screen" rgba=".35 .72 .9 1" emission=".5"/>
<material name="eye" rgba=".97 .97 .97 1" emission=".6"/>
<material name="wood" rgba=".78 .66 .5 1" specular=".1" shininess=".2"/>"""


def _paint(shape: str, material: str, size: str, where: str) -> str:
    """One geom that is seen and never touched; ``where`` holds ``pos``, ``fromto`` or ``euler`` attributes."""
    return (
        f'\n<geom type="{shape}" material="{material}" size="{size}" {where} contype="0" conaffinity="0" group="2"/>'
    )


def _tube(material: str, radius: float, fromto: str, shape: str = "capsule") -> str:
    return _paint(shape, material, f"{radius}", f'fromto="{fromto}"')


PAINT: dict[str, str] = {
    "right_l2": _tube("red", 0.055, "0 0 -.15 0 0 .26"),
}
ROOM_PAINT = '<light pos="1.5 -1 2.5" dir="-.5 .4 -1" diffuse=".6 .6 .6"/>'
