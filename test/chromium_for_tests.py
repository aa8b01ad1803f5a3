"""Where Chromium is, and the markers of tests that drive it."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

CHROMIUM = shutil.which("chromium")
_LACKS = [name for name in ("nicegui", "playwright") if importlib.util.find_spec(name) is None]
_LACKS += [] if CHROMIUM else ["Chromium (make browser)"]
GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--webgl-antialiasing-mode=none")
"""Arguments with which it draws WebGL without a graphics card."""
IN_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(_LACKS), reason=f"there is no {' and no '.join(_LACKS)}"),
    pytest.mark.timeout(300),
]
