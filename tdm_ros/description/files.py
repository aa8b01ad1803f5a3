"""Committed files that are written from the table of facts."""

from __future__ import annotations

from pathlib import Path

from tdm_ros.description.bridge import bridge_yaml
from tdm_ros.description.urdf import sawyer_urdf
from tdm_ros.description.worlds import world_sdf

_WORLDS = (("open", "velocity"), ("open", "torque"), ("wall", "velocity"), ("wall", "torque"), ("push", "velocity"))


def files() -> dict[str, str]:
    """Path from the root of the repository -> text, of every file."""
    return {
        "urdf/sawyer.urdf": sawyer_urdf(),
        "config/gz_bridge.yaml": bridge_yaml("velocity"),
        "config/gz_bridge_torque.yaml": bridge_yaml("torque"),
        **{world_file(scene, actuation): world_sdf(scene, actuation) for scene, actuation in _WORLDS},
    }


def world_file(scene: str, actuation: str) -> str:
    """Where a world lies: worlds/sawyer_wall.sdf, worlds/sawyer_wall_torque.sdf."""
    return f"worlds/sawyer_{scene}{'' if actuation == 'velocity' else f'_{actuation}'}.sdf"


def write(root: Path) -> list[Path]:
    """Write all of them below a folder, and say where."""
    paths = []
    for name, text in files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths
