"""Pictures of the simulated arm. Needs a GL library, unlike the rest of the simulator."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.actuation import ACTUATIONS
from tdm_ros.robot.sawyer import NEUTRAL_RAD
from tdm_ros.sim.sawyer_sim import SawyerSim

GOAL_RADIUS_M = 0.025
GOAL_RGBA = (0.1, 0.75, 0.25, 0.9)

NO_GL = (
    "cannot render: no OpenGL library works here ({cause}). "
    "Install one (Debian, Ubuntu: apt-get install libegl1 libosmesa6) "
    "and choose it before Python starts: MUJOCO_GL=egl or MUJOCO_GL=osmesa"
)


class ArmCamera:
    """Take pictures of the arm and of its goal, from in front of the table, off screen.

    Parameters
    ----------
    sim : SawyerSim
    width, height : int
        Size [pixels], at most 1280 x 960.

    Raises
    ------
    RuntimeError
        If no OpenGL library can be used; the message names the remedy.
    """

    def __init__(self, sim: SawyerSim, width: int = 640, height: int = 480) -> None:
        self.sim = sim
        try:
            self._renderer = mujoco.Renderer(sim.model, height, width)
        except Exception as error:  # the binding of each library has its own errors
            raise RuntimeError(NO_GL.format(cause=f"{type(error).__name__}: {error}")) from error
        self._camera = mujoco.MjvCamera()
        self._camera.lookat[:] = (0.34, 0.02, 0.07)
        self._camera.distance, self._camera.azimuth, self._camera.elevation = 2.05, 128.0, -12.0

    def show(self, goal_m: ArrayLike | None = None) -> NDArray[np.uint8]:
        """Take a picture, (H, W, 3) uint8, with a marker at ``goal_m``, (3,) [m]."""
        self._renderer.update_scene(self.sim.data, self._camera)
        if goal_m is not None:
            _add_marker(self._renderer.scene, goal_m)
        image: NDArray[np.uint8] = self._renderer.render()
        return image

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()


class ArmWindow:
    """Show the arm in a window, at the speed of a real one; needs a display.

    Parameters
    ----------
    sim : SawyerSim
    rate_hz : float
        Pictures a second.

    Raises
    ------
    RuntimeError
        If no window can be opened; the message names the remedy.
    """

    def __init__(self, sim: SawyerSim, rate_hz: float = 20.0) -> None:
        from mujoco import viewer

        self._period_s = 1.0 / rate_hz
        try:
            self._viewer = viewer.launch_passive(sim.model, sim.data, show_left_ui=False, show_right_ui=False)
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise RuntimeError(f'{NO_GL.format(cause=cause)}; without a display use "rgb_array"') from error
        self._due = time.monotonic()

    def show(self, goal_m: ArrayLike | None = None) -> None:
        """Draw the present state, then wait until the next picture is due."""
        with self._viewer.lock():
            self._viewer.user_scn.ngeom = 0
            if goal_m is not None:
                _add_marker(self._viewer.user_scn, goal_m)
        self._viewer.sync()
        self._due = max(self._due + self._period_s, time.monotonic())
        time.sleep(max(self._due - time.monotonic(), 0.0))

    def close(self) -> None:
        """Close the window."""
        self._viewer.close()


def _add_marker(scene: mujoco.MjvScene, goal_m: ArrayLike) -> None:
    """Add a ball at the goal to a scene that is about to be drawn."""
    if scene.ngeom >= scene.maxgeom:
        return
    mujoco.mjv_initGeom(
        scene.geoms[scene.ngeom],
        mujoco.mjtGeom.mjGEOM_SPHERE,
        np.full(3, GOAL_RADIUS_M),
        np.asarray(goal_m, np.float64),
        np.eye(3).ravel(),
        np.array(GOAL_RGBA, np.float32),
    )
    scene.ngeom += 1


def render_arm(
    path: str | Path, q_rad: ArrayLike, goal_m: ArrayLike | None = None, width: int = 960, height: int = 720
) -> Path:
    """Write a PNG of the arm.

    Parameters
    ----------
    path : path
        Where to; parent directories are made.
    q_rad : (7,) [rad]
    goal_m : (3,) [m] or None
        Where to draw the goal marker.
    width, height : int
        Size [pixels].

    Returns
    -------
    Path

    Raises
    ------
    RuntimeError
        If no OpenGL library can be used; the message names the remedy.
    ValueError
        If ``q_rad`` is not seven finite values.
    """
    from matplotlib.image import imsave

    sim = SawyerSim(ACTUATIONS["velocity"])
    sim.reset(q_rad)
    camera = ArmCamera(sim, width, height)
    try:
        image = camera.show(goal_m)
    finally:
        camera.close()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    imsave(target, image)
    return target


def main(argv: list[str] | None = None) -> int:
    """Draw the arm in its neutral posture: ``python -m tdm_ros.sim.render docs/images/sawyer.png``."""
    parser = argparse.ArgumentParser(description="Draw the simulated Sawyer in its neutral posture.")
    parser.add_argument("path", nargs="?", default="sawyer.png", help="PNG to write (default: %(default)s)")
    path = parser.parse_args(argv).path
    try:
        render_arm(path, NEUTRAL_RAD, goal_m=(0.65, -0.22, 0.2))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
