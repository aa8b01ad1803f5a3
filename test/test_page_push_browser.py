"""The page of a task that pushes, in a real Chromium: the tool is drawn at the hand, and ends at the object's height.

`make browser` sets Chromium up. TDM_PICTURES=docs/images keeps the picture.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from chromium_for_tests import CHROMIUM, GL, IN_CHROMIUM

pytest.importorskip("rclpy")
pytestmark = [*IN_CHROMIUM, pytest.mark.any_speed]

from page_for_tests import ConsolePage  # noqa: E402
from ros_bench import bench  # noqa: E402
from tdm_ros.msg import ArmState  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.robots.description import load_robot  # noqa: E402
from tdm_ros.tasks.pushing import push_setup  # noqa: E402

LOWEST = """() => {
  const tool = window['scene_' + document.querySelector('.view').id].getObjectByName('tool');
  if (!tool) return null;
  tool.updateWorldMatrix(true, true);
  let [x, y, z] = [0, 0, 1e9];
  tool.traverse(part => {
    const at = part.getWorldPosition(part.position.clone());
    if (part.geometry && at.z < z) [x, y, z] = [at.x, at.y, at.z];
  });
  return [x, y, z];
}"""
"""Middle of the lowest part of the tool: the ball at its tip, in the base frame [m]."""


def test_tool_is_drawn_from_the_hand_to_the_tip(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    robot = load_robot("panda")
    length_m = push_setup(robot).tool_length_m
    with bench(tmp_path) as made, sync_playwright() as play:
        given = {"task": "push", "robot": "panda"}
        states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
        made.start("arm", **given)
        console = ConsolePage(made, **given)
        made.until(lambda: bool(states) and len(states[-1].object) == 2, 60)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *GL])
        page = browser.new_page(viewport={"width": 1280, "height": 960})
        page.goto(f"http://{console.host}/?token={console.token}")
        page.wait_for_function("() => document.querySelector('.who')?.innerText !== ''", timeout=120_000)
        tip: list[list[float]] = []

        def drawn_at_the_tip() -> bool:
            page.wait_for_timeout(200)
            found = page.evaluate(LOWEST)
            hand = states[-1].hand.position
            tip[:] = [found or [np.inf] * 3, [hand.x, hand.y, hand.z - length_m]]
            return bool(np.linalg.norm(np.subtract(*tip)) < 0.01)  # at home the tool points straight down

        made.until(drawn_at_the_tip, 120)
        page.wait_for_timeout(3000)
        page.screenshot(path=Path(os.environ.get("TDM_PICTURES", "") or tmp_path) / "console_push.png")
        browser.close()
