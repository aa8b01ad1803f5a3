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

ROOT = Path(__file__).parents[1]


def run(code: str, gl: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "DISPLAY"} | {"MUJOCO_GL": gl}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def drawn(code: str) -> None:
    """Run a program that draws, with the first OpenGL library that works."""
    for gl in ("egl", "osmesa"):
        done = run(code, gl)
        if "OpenGL library" not in done.stderr:
            assert done.returncode == 0, done.stderr
            return
    pytest.skip(f"no OpenGL library: {done.stderr.strip().splitlines()[-1]}")


def test_render_writes_a_picture_with_red_and_goal_green(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arm.png"
    drawn(f"from tdm_ros.envs.render import main; raise SystemExit(main([{str(path)!r}]))")
    red, green, blue = np.moveaxis(imread(path)[..., :3], -1, 0)
    assert ((red > 0.3) & (green < 0.15) & (blue < 0.15)).mean() > 0.005
    assert ((green > 0.3) & (red < 0.25) & (blue < 0.4)).mean() > 1e-4


def test_render_without_gl_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    done = run(f"from tdm_ros.envs.render import main; raise SystemExit(main([{str(path)!r}]))", "disable")
    assert done.returncode == 1 and "MUJOCO_GL=egl" in done.stderr and "Traceback" not in done.stderr


def test_contact_sheet_shows_every_task_and_its_goal(tmp_path: Path) -> None:
    drawn(
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from benchmarks.contact_sheet import SHOWN, draw, picture\n"
        "for shown in SHOWN:\n"
        "    red, green, blue = np.moveaxis(picture(*shown).astype(int), -1, 0)\n"
        "    ball = (green > 1.8 * red) & (green > 1.5 * blue) & (green > 50)\n"
        "    assert ball.sum() > 20, (shown, ball.sum())\n"
        f"draw(Path({str(tmp_path / 'sheet.png')!r}))\n"
    )
    assert 10_000 < (tmp_path / "sheet.png").stat().st_size < 200_000
