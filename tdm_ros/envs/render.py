"""Rendering of the simulated arm and of the other tasks. Needs an OpenGL library."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.envs.view import ARM_VIEW, GOAL_RADIUS_M, Block, Marker, View
from tdm_ros.robots.arm import ACTUATIONS

NO_GL = (
    "cannot render: no OpenGL library works here ({cause}). "
    "Install one (Debian, Ubuntu: apt-get install libegl1 libosmesa6) "
    "and choose it before Python starts: MUJOCO_GL=egl or MUJOCO_GL=osmesa"
)


class Camera:
    """Off-screen camera for any model; at most as large as the model's off-screen buffer [pixels].

    Raises RuntimeError if no OpenGL library can be used; the message names the remedy.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, width: int = 640, height: int = 480) -> None:
        self._data = data
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # the binding of each library has its own errors
            raise RuntimeError(NO_GL.format(cause=f"{type(error).__name__}: {error}")) from error

    def show(self, view: View, markers: Iterable[Marker | Block] = ()) -> NDArray[np.uint8]:
        """Image, (H, W, 3) uint8."""
        camera = mujoco.MjvCamera()
        camera.lookat[:] = view.lookat_m
        camera.distance, camera.azimuth, camera.elevation = view.distance_m, view.azimuth_deg, view.elevation_deg
        self._renderer.update_scene(self._data, camera)
        for marker in markers:
            _add_marker(self._renderer.scene, marker)
        image: NDArray[np.uint8] = self._renderer.render()
        return image

    def close(self) -> None:
        self._renderer.close()


class Window:
    """Window that shows a model in real time; needs a display.

    Raises RuntimeError if no window can be opened; the message names the remedy.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, rate_hz: float = 20.0) -> None:
        from mujoco import viewer

        self._period_s = 1.0 / rate_hz
        try:
            self._viewer = viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False)
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise RuntimeError(f'{NO_GL.format(cause=cause)}; without a display use "rgb_array"') from error
        self._due = time.monotonic()

    def show(self, view: View, markers: Iterable[Marker | Block] = ()) -> None:
        """Draw the present state, then wait until the next image is due; the operator moves the view."""
        with self._viewer.lock():
            self._viewer.user_scn.ngeom = 0
            for marker in markers:
                _add_marker(self._viewer.user_scn, marker)
        self._viewer.sync()
        self._due = max(self._due + self._period_s, time.monotonic())
        time.sleep(max(self._due - time.monotonic(), 0.0))

    def close(self) -> None:
        self._viewer.close()


def _add_marker(scene: mujoco.MjvScene, marker: Marker | Block) -> None:
    """Add a ball or a box to a scene before it is drawn."""
    if scene.ngeom >= scene.maxgeom:
        return
    if isinstance(marker, Block):
        low, high = np.asarray(marker.low_m, np.float64), np.asarray(marker.high_m, np.float64)
        shape, size, middle = mujoco.mjtGeom.mjGEOM_BOX, (high - low) / 2, (low + high) / 2
    else:
        shape, size = mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, marker.radius_m)
        middle = np.asarray(marker.position_m, np.float64)
    rgba = np.array(marker.rgba, np.float32)
    mujoco.mjv_initGeom(scene.geoms[scene.ngeom], shape, size, middle, np.eye(3).ravel(), rgba)
    scene.ngeom += 1


def main(argv: list[str] | None = None) -> int:
    """Draw the arm in its neutral posture and a goal: ``python -m tdm_ros.envs.render docs/images/sawyer.png``."""
    from matplotlib.image import imsave

    parser = argparse.ArgumentParser(description="Draw the simulated Sawyer in its neutral posture.")
    parser.add_argument("path", nargs="?", type=Path, default="sawyer.png", help="PNG to write (default: %(default)s)")
    path = parser.parse_args(argv).path
    sim = ArmSim(ACTUATIONS["velocity"])
    try:
        camera = Camera(sim.model, sim.data, 960, 720)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    image = camera.show(ARM_VIEW, [Marker((0.65, -0.22, 0.2), GOAL_RADIUS_M)])
    camera.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
