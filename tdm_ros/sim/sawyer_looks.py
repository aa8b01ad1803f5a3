"""Visual geometry of the simulated Sawyer for MuJoCo; the data is in `description.looks`."""

from __future__ import annotations

from collections.abc import Iterable

from tdm_ros.description import looks
from tdm_ros.description.looks import Paint

MATERIALS = """
<texture type="skybox" builtin="gradient" rgb1=".95 .96 .98" rgb2=".66 .72 .79" width="64" height="64"/>
<texture name="tiles" type="2d" builtin="checker" rgb1=".6 .6 .65" rgb2=".56 .56 .6" width="64" height="64"/>
<material name="tiles" texture="tiles" texrepeat="10 10" specular=".1"/>""" + "".join(
    f'\n<material name="{name}" ' + " ".join(f'{key}="{value}"' for key, value in values.items()) + "/>"
    for name, values in looks.MATERIALS.items()
)


def _geoms(paints: Iterable[Paint]) -> str:
    """Geoms that are seen and never touched."""
    return "".join(map(_geom, paints))


def _geom(paint: Paint) -> str:
    where = f'fromto="{paint.ends}"' if paint.ends else f'pos="{paint.pos}"'
    turned = f' euler="{paint.euler}"' if paint.euler else ""
    drawn = f'type="{paint.shape}" material="{paint.material}" size="{paint.size}" {where}{turned}'
    return f'\n<geom {drawn} contype="0" conaffinity="0" group="2"/>'


PAINT: dict[str, str] = {link: _geoms(paints) for link, paints in looks.PAINT.items()}
"""What is seen of each link, in its frame."""

ROOM_PAINT = (
    '<light type="directional" pos="1 -1 3" dir="-.35 .35 -1" diffuse=".5 .5 .5" specular=".3 .3 .3"/>'
    + '<light type="directional" dir="-.6 -.7 -.6" diffuse=".25 .25 .27" castshadow="false"/>'
    + _geom(Paint("plane", "tiles", "5 5 .1", "0 0 -.912"))
    + _geoms(looks.TABLE_PAINT + looks.PEDESTAL_PAINT)
)
