"""Pictures, where there is an OpenGL library, and the remedy where there is none.

Each in a process of its own, since MuJoCo chooses its library when it is imported.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread


def run(code: str, gl: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "DISPLAY"} | {"MUJOCO_GL": gl}
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True)


def test_render_arm_writes_a_picture_with_red_and_goal_green(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arm.png"
    code = f"from tdm_ros.envs.render import main; raise SystemExit(main([{str(path)!r}]))"
    for gl in ("egl", "osmesa"):
        done = run(code, gl)
        if done.returncode == 0:
            break
    else:
        pytest.skip(f"no OpenGL library: {done.stderr.strip().splitlines()[-1]}")
    red, green, blue = np.moveaxis(imread(path)[..., :3], -1, 0)
    assert ((red > 0.3) & (green < 0.15) & (blue < 0.15)).mean() > 0.005
    assert ((green > 0.3) & (red < 0.25) & (blue < 0.4)).mean() > 1e-4


def test_render_arm_without_gl_names_the_remedy(tmp_path: Path) -> None:
    done = run(
        f"from tdm_ros.envs.render import main; raise SystemExit(main([{str(tmp_path / 'x.png')!r}]))",
        "disable",
    )
    assert done.returncode == 1
    assert "MUJOCO_GL=egl" in done.stderr
    assert "Traceback" not in done.stderr
