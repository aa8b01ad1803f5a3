"""The page in a real Chromium, before the whole system: drag the goal, hold, take over, get lost.

`make browser` sets Chromium up. TDM_PICTURES=docs/images keeps the pictures that are taken on the way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium_for_tests import CHROMIUM, GL, IN_CHROMIUM

pytest.importorskip("rclpy")
pytestmark = IN_CHROMIUM

import imageio.v3  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from page_for_tests import Cable, ConsolePage  # noqa: E402
from ros_bench import bench  # noqa: E402
from tdm_ros.msg import ArmState, Episode, PolicyWeights, Transition  # noqa: E402

from tdm_ros.envs.goal_env import make_goal_env  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402
from tdm_ros.tdm.config import TdmConfig  # noqa: E402
from tdm_ros.training.learner import Learner  # noqa: E402
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule  # noqa: E402

TASK = SAWYER_REACH["velocity"]
STEPS = 400
NEAR_M = 0.05
STILL_RAD_S = 0.01
NOBODY = (ArmState.SOURCE_NONE, ArmState.SOURCE_SAFETY)
SIZE = {"width": 1280, "height": 960}
PICTURES = os.environ.get("TDM_PICTURES", "")

ON_SCREEN = """name => {
  const element = document.querySelector('.view');
  const at = window['scene_' + element.id].getObjectByName(name).position.clone();
  at.project(getElement(Number(element.id.slice(1))).camera);
  const box = element.querySelector('canvas').getBoundingClientRect();
  return [box.x + (at.x + 1) / 2 * box.width, box.y + (1 - at.y) / 2 * box.height];
}"""


class Stage:
    """The system, and a browser before it."""

    def __init__(self, made: Any, browser: Any, weights: bytes) -> None:
        self.bench = made
        self.states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
        self.announced = made.collect(Episode, "episode", qos.EPISODE)
        self.transitions = made.collect(Transition, "transition", qos.TRANSITION)
        self._asked = made.collect(PoseStamped, "goal")
        self._weights = made.node.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)
        for name in ("arm", "policy", "planner", "collector"):
            made.start(name)
        made.start("supervisor", duration_min=".inf", evaluate_goals=3)
        self.console = ConsolePage(made)
        self.cable = Cable(self.console.host)
        self.mark = f"--mark={made.folder}"
        self._browser = browser
        self._weights.publish(PolicyWeights(version=1, task=TASK.fingerprint, data=weights))
        self.page = self.open()

    def open(self) -> Any:
        """Open the page, and wait until it shows a living arm."""
        page = self._browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "request", lambda request: self.errors.extend([request.url] if self.cable.host not in request.url else [])
        )
        page.goto(f"http://{self.cable.host}/")
        self.see(lambda: page.inner_text(".who") not in ("", "arm is silent"), page=page)
        self.see(lambda: page.inner_text("#drive-who") == "nobody drives", page=page)
        return page

    def see(self, condition: Callable[[], bool], seconds: float = 30.0, page: Any = None) -> None:
        """Let the browser and the system live until something is true."""
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s, "it did not come true; the page says: " + " | ".join(
                (page or self.page).locator(name).inner_text() for name in (".who", ".why", ".state", ".notes")
            )
            (page or self.page).wait_for_timeout(20)
            self.bench.spin(0.03)

    def running(self) -> None:
        self.see(lambda: bool(self.announced and self.states))
        if self.announced[-1].state in (Episode.PAUSED, Episode.DISABLED):
            self.page.click(".button-start")
        self.see(lambda: self.states[-1].source == ArmState.SOURCE_POLICY)

    def let_go(self) -> None:
        self.page.mouse.up()
        for key in "wasdrf":
            self.page.keyboard.up(key)

    def attempt(self, drive: Callable[[], None]) -> None:
        """Drive as a person does: where a busy machine had the page taken for gone, start and try again."""
        for left in (3, 2, 1, 0):
            self.running()
            try:
                drive()
                return
            except AssertionError:
                self.let_go()
                if not left or self.announced[-1].state != Episode.PAUSED:
                    raise
                print("the page was too slow, and taken for gone; once more")

    def picture(self, name: str) -> None:
        """Take a picture of the page, on which the arm must be seen."""
        self.page.mouse.move(SIZE["width"] - 5, SIZE["height"] - 5)
        self.page.wait_for_timeout(1500)
        path = Path(PICTURES or self.bench.folder) / f"{name}.png"
        self.page.screenshot(path=path)
        image = imageio.v3.imread(path)[..., :3].astype(int)
        red = (image[..., 0] > 90) & (image[..., 1] < 60) & (image[..., 2] < 60)
        assert red.mean() > 0.005, f"there is no red arm on {path}"

    @property
    def goal(self) -> np.ndarray:
        """The goal of the newest episode [m]."""
        return next(
            (np.array(announced.goal) for announced in reversed(self.announced) if len(announced.goal)), np.zeros(3)
        )

    @property
    def goals(self) -> list[list[float]]:
        points = [message.pose.position for message in self._asked]
        return [[point.x, point.y, point.z] for point in points]

    @property
    def hand(self) -> np.ndarray:
        at = self.states[-1].hand.position
        return np.array([at.x, at.y, at.z])

    def moved_for_s(self, since_s: float) -> float:
        """Time from ``since_s`` [ROS time] to the last state in which the arm moved [s]."""
        stamps_s = [
            state.header.stamp.sec + state.header.stamp.nanosec * 1e-9
            for state in self.states
            if np.abs(state.velocity).max() > STILL_RAD_S
        ]
        return max([stamp_s - since_s for stamp_s in stamps_s], default=0.0)


@pytest.fixture(scope="module")
def weights() -> bytes:
    """A policy that reaches, to a centimetre or two: half a minute of learning in the bare simulation."""
    learner = Learner(TASK, TdmConfig(total_timesteps=STEPS), seed=0)
    env, other = make_goal_env("sawyer_reach")[0], make_goal_env("sawyer_reach")[0]
    OnlineTrainer(env, other, learner, TrainingSchedule(STEPS, 0)).run()
    return learner.actor_bytes()


@pytest.fixture(scope="module")
def stage(weights: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("page")
    slow = folder / "chromium"  # drawing without a GPU must not take the processor from the arm
    slow.write_text(f'#!/bin/sh\nexec nice -n 10 {CHROMIUM} "$@"\n')
    slow.chmod(0o755)
    with bench(folder) as made, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=slow, args=["--no-sandbox", f"--mark={folder}", *GL])
        try:
            yield Stage(made, browser, weights)
        finally:
            browser.close()


@pytest.fixture(autouse=True)
def let_go(stage: Stage) -> Iterator[None]:
    yield
    stage.let_go()


def test_goal_dragged_the_arm_goes_there_and_stays_with_it(stage: Stage) -> None:
    stage.running()
    page = stage.page
    page.click(".keep")
    stage.see(lambda: stage.goals and np.allclose(stage.goal, stage.goals[-1]))
    for shift in ((-130, 60), (110, -70)):
        page.wait_for_timeout(300)
        x, y = page.evaluate(ON_SCREEN, "goal")
        before = stage.goal
        page.mouse.move(x, y)
        page.mouse.down()
        for part in (0.25, 0.5, 0.75, 1.0):
            page.mouse.move(x + part * shift[0], y + part * shift[1])
            page.wait_for_timeout(60)
        page.mouse.up()
        stage.see(lambda before=before: np.linalg.norm(stage.goal - before) > 0.1)
        stage.see(lambda: np.allclose(stage.goal, stage.goals[-1]))
        goal = np.array(stage.goals[-1])
        stage.see(lambda goal=goal: np.linalg.norm(stage.hand - goal) < NEAR_M)
        episode = stage.announced[-1].episode
        stage.see(lambda episode=episode: stage.announced[-1].episode >= episode + 2)
        assert np.allclose(stage.goal, goal), "it stays, episode after episode"
        assert stage.announced[-1].exploration == 0.0
    assert page.locator(".keep").get_attribute("aria-checked") == "true"
    stage.see(lambda: np.linalg.norm(stage.hand - goal) < NEAR_M)
    stage.picture("console")
    page.click(".keep")
    stage.see(lambda: not np.allclose(stage.goal, goal))
    assert stage.errors == []


def test_hold_pressed_the_arm_holds_until_start(stage: Stage) -> None:
    stage.running()
    stage.page.click(".button-stop")
    stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_NONE, 3)
    stage.see(lambda: "stopped by the operator" in stage.page.inner_text(".why"), 3)
    at = np.array(stage.states[-1].position)
    stage.bench.spin(1.0)
    assert np.abs(np.array(stage.states[-1].position) - at).max() < 1e-3
    assert all(state.source == ArmState.SOURCE_NONE for state in stage.states[-15:])
    stage.page.click(".button-start")
    stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_POLICY)


def test_key_held_the_operator_drives_released_the_policy_does_and_the_motion_is_recorded(stage: Stage) -> None:
    assert not [t for t in stage.transitions if t.source == ArmState.SOURCE_HUMAN]

    def up() -> None:
        since_s = time.time()
        stage.page.keyboard.down("r")
        stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_HUMAN, 5)
        first = next(s.header.stamp for s in stage.states[-20:] if s.source == ArmState.SOURCE_HUMAN)
        took_s = first.sec + first.nanosec * 1e-9 - since_s
        print(f"key to the end of the first cycle that it moved the arm in: {took_s:.3f} s")
        low = stage.hand
        stage.see(lambda: stage.page.inner_text("#drive-who") == "you drive", 5)
        stage.see(lambda: stage.hand[2] > low[2] + 0.05, 5)
        stage.picture("console_drive")
        stage.page.keyboard.up("r")
        stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_POLICY, 5)

    stage.attempt(up)
    driven = sum(state.source == ArmState.SOURCE_HUMAN for state in stage.states)
    recorded = lambda: sum(t.source == ArmState.SOURCE_HUMAN for t in stage.transitions)  # noqa: E731
    stage.see(lambda: recorded() >= driven - 8, 5)  # a cycle before or after a hold has no neighbour
    stage.see(lambda: f"by human\t{recorded()}" in stage.page.inner_text(".recorded"), 5)
    assert recorded() > 5


def test_slider_drives_while_it_is_held_and_springs_back(stage: Stage) -> None:
    pad = stage.page.locator('.drive-pad[data-axis="1"]')

    def left() -> None:
        box = pad.bounding_box()
        stage.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        stage.page.mouse.down()
        stage.page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2, steps=3)
        stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_HUMAN, 5)
        right = stage.hand[1]
        stage.see(lambda: stage.hand[1] > right + 0.03, 5)
        stage.page.mouse.up()
        stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_POLICY, 5)

    stage.attempt(left)
    assert pad.input_value() == "0"


def test_button_held_takes_over_and_the_hand_stands(stage: Stage) -> None:
    def hold() -> None:
        stage.page.locator("#drive-take").hover()
        stage.page.mouse.down()
        stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_HUMAN, 5)
        stage.bench.spin(0.1)  # the browser is not asked meanwhile, but lives on
        at = stage.hand
        stage.bench.spin(0.5)
        assert stage.states[-1].source == ArmState.SOURCE_HUMAN and np.linalg.norm(stage.hand - at) < 2e-3
        stage.page.mouse.up()
        stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_POLICY, 5)

    stage.attempt(hold)


def browser_processes(stage: Stage) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if stage.mark in (path / "cmdline").read_text():
                parents[int(path.name)] = -1

    def ours(pid: int) -> bool:
        return pid == -1 or (pid in parents and ours(parents[pid]))

    return [pid for pid in parents if ours(pid)]


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.parametrize("how", ["closed", "frozen", "cut off"])
def test_browser_lost_while_it_drives_the_arm_holds_and_is_paused(stage: Stage, how: str) -> None:
    stage.running()
    pids = browser_processes(stage)
    assert len(pids) > 2
    stage.page.keyboard.down("r")
    stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_HUMAN, 5)
    stage.bench.spin(0.3)
    stage.states.clear()
    since_s = time.time()
    if how == "closed":
        stage.page.close()
        mend = lambda: setattr(stage, "page", stage.open())  # noqa: E731
    elif how == "frozen":
        send(pids, signal.SIGSTOP)
        mend = lambda: send(pids, signal.SIGCONT)  # noqa: E731
    else:
        stage.cable.cut()
        mend = stage.cable.mend
    try:
        stage.bench.until(lambda: stage.states and stage.states[-1].source in NOBODY, 5)
        stage.bench.until(lambda: stage.announced[-1].state == Episode.PAUSED, 5)
        at = np.array(stage.states[-1].position)
        stage.bench.spin(1.0)
        held_s = stage.moved_for_s(since_s)
        print(f"{how}: the arm stood after {held_s:.3f} s")
    finally:
        mend()
    stage.bench.spin(1.0)
    assert np.abs(np.array(stage.states[-1].position) - at).max() < 1e-3, "it stays so, and the old keys are forgotten"
    assert all(state.source in NOBODY for state in stage.states[-10:])
    assert held_s < 1.0, "what counts, 0.3 s, is printed: another machine may be slower"
    stage.see(lambda: stage.page.inner_text("#drive-who") == "nobody drives")


def test_buttons_pause_reset_evaluate_and_train(stage: Stage) -> None:
    stage.running()
    page = stage.page
    page.click(".button-pause")
    stage.see(lambda: stage.announced[-1].state == Episode.PAUSED, 5)
    page.click(".button-reset")
    stage.see(lambda: "reset: no" in page.inner_text(".notes"), 5)
    page.click(".button-start")
    stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_POLICY)
    page.click(".button-reset")
    stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_RESET, 5)
    stage.see(lambda: stage.states[-1].source == ArmState.SOURCE_POLICY)
    page.click(".button-evaluate")
    stage.see(lambda: stage.announced[-1].mode == Episode.EVALUATE and stage.announced[-1].state == Episode.RUNNING)
    page.click(".button-train")
    stage.see(lambda: stage.announced[-1].mode == Episode.TRAIN and stage.announced[-1].state == Episode.RUNNING)
    page.click(".button-discard")
    stage.see(lambda: "event of the operator: discard" in stage.bench.output("supervisor"), 5)
    page.click(".button-clear_fault")
    stage.see(lambda: "clear_fault: no" in page.inner_text(".notes"), 5)


def test_malformed_event_of_a_page_is_counted_and_harmless(stage: Stage) -> None:
    stage.page.evaluate(
        """() => {
          const id = Number(document.querySelector('.view').id.slice(1));
          for (const args of [{type: 'drag', object_name: 'goal', x: 'a', y: null, z: 1}, {}, [], 3]) {
            for (const type of ['dragstart', 'drag', 'dragend']) getElement(id).$emit(type, args);
          }
        }"""
    )
    stage.see(lambda: stage.bench.rejected("console").get("page: malformed event", 0) > 0, 5)
    assert stage.page.inner_text(".who") != ""


def test_page_that_is_cut_off_reports_it_instead_of_what_it_knew_last(stage: Stage) -> None:
    banner = "getComputedStyle(document.querySelector('.overlay'), '::before').content"
    stage.running()
    assert stage.page.is_visible(".who") and stage.page.evaluate(banner) == "none"
    stage.cable.cut()
    try:
        stage.see(lambda: "Not connected" in stage.page.evaluate(banner), 10)
        assert not stage.page.is_visible(".who")
        stage.picture("console_lost")
    finally:
        stage.cable.mend()
    stage.see(lambda: stage.page.is_visible(".who") and stage.page.evaluate(banner) == "none")


def test_arm_dead_is_shown_and_its_fault_with_what_to_do_until_it_is_cleared(stage: Stage) -> None:
    stage.running()
    page = stage.page
    assert page.inner_text(".remedy") == ""
    stage.bench.stop("arm", signal.SIGKILL)
    stage.see(lambda: page.inner_text(".who") == "arm is silent", 5)
    assert "no state of the arm was received" in page.inner_text(".why")
    stage.bench.start("arm")
    stage.see(lambda: stage.announced[-1].state == Episode.FAULT)
    stage.see(lambda: page.inner_text(".who").startswith("FAULT"), 5)
    stage.see(lambda: "it was restarted" in page.inner_text(".why"), 5)
    assert page.inner_text(".remedy") == "What to do: remove the cause; then Clear fault, then Start."
    stage.picture("console_fault")
    page.click(".button-clear_fault")
    stage.see(lambda: not page.inner_text(".who").startswith("FAULT"))
    assert page.inner_text(".remedy") == ""
    stage.see(lambda: stage.announced[-1].state == Episode.DISABLED)  # the page may know it before this test does
    stage.running()
