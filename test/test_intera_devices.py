"""Cuff and buttons: whatever leaves it unknown whether the arm is held by hand is a problem, never "not held"."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tdm_ros.drivers.intera.devices import ASKED_S, REPEATS, SILENT_S, Devices


class Cuff:
    """What `intera_interface.Cuff` says; it fails while it is told to, and is not held when its topic is silent."""

    fails, held = False, False

    def __init__(self, limb: str) -> None:
        pass

    def cuff_button(self) -> bool:
        if Cuff.fails:
            raise AttributeError("'NoneType' object has no attribute 'data'")
        return Cuff.held

    def lower_button(self) -> int:
        return 0

    upper_button = lower_button


class Navigator:
    """What `intera_interface.Navigator` says."""

    def list_all_items(self) -> list[str]:
        return ["right_button_ok", "right_wheel"]

    def get_button_state(self, name: str) -> int | None:
        return None if name == "right_wheel" else 2


def absent(*_: object) -> None:
    raise OSError("there is none")


SIGNALS = {"cuff": ("right_cuff", "right_button_lower"), "navigator": ("right_button_ok",)}


class Case:
    """Devices on a clock that the test sets, and topics that it feeds."""

    def __init__(self, cuff: Any = Cuff, navigator: Any = Navigator, without: tuple[str, ...] = ()) -> None:
        Cuff.fails = Cuff.held = False
        self.now_s = 50.0
        self.publishers = dict.fromkeys(("io", *SIGNALS), 1)
        self._calls: dict[str, Callable[[Any], None]] = {}
        sdk = SimpleNamespace(Cuff=cuff, Navigator=navigator)
        self.devices = Devices(sdk, self._subscribe, without=without, clock=lambda: self.now_s)
        self.devices.wait()

    def _subscribe(self, name: str, call: Callable[[Any], None]) -> Any:
        self._calls[name] = call
        return SimpleNamespace(get_num_connections=lambda: self.publishers[name])

    def publish(
        self, *names: str, status: str = "ready", signals: tuple[str, ...] | None = None, value: int = 0
    ) -> None:
        for name in names:
            listed = SIGNALS.get(name, ()) if signals is None else signals
            message = SimpleNamespace(
                device=SimpleNamespace(status=SimpleNamespace(tag=status)),
                signals=[SimpleNamespace(name=signal, data=f"[{value}]") for signal in listed],
            )
            self._calls[name](message)

    def tell_at_5_hz(self, *names: str, times: int) -> None:
        for _ in range(times):
            self.publish(*names)
            self.now_s += 0.2

    def problem(self) -> str:
        return self.devices.problem(self.now_s)

    def asked(self) -> None:
        """Wait until the thread has asked the SDK at the present time."""
        end_s = time.monotonic() + 5
        while self.devices._asked_s < self.now_s:
            assert time.monotonic() < end_s
            time.sleep(0.005)


def until(is_so: Callable[[], object]) -> None:
    end_s = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_cuff_and_buttons_are_read() -> None:
    case = Case()
    case.publish("cuff", "navigator")
    assert case.problem() == "" and case.devices.missing == [] and not case.devices.cuff
    Cuff.held = True
    until(lambda: case.devices.cuff)
    assert case.devices.buttons["right_button_ok"] == 2 and case.devices.buttons["right_wheel"] == 0


def test_device_that_was_never_heard_is_a_problem() -> None:
    case = Case()
    assert "the cuff is there and has never sent its state" in case.problem()
    case.publish("cuff")
    assert "the navigator is there and has never sent its state" in case.problem()


NAMES = {"cuff", "navigator", "io"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cuff", "the cuff has been silent for 1.1 s, so it is unknown whether the arm is held by hand"),
        ("navigator", "the navigator has been silent for 1.1 s, so it is unknown whether its pause button is pressed"),
        ("io", "the cuff's node /io/robot has been silent for 1.1 s, so it is unknown whether the arm is held by hand"),
    ],
)
def test_topic_that_repeated_itself_and_falls_silent_is_a_problem_after_a_second(name: str, says: str) -> None:
    case = Case()
    case.publish("cuff", "navigator")
    case.tell_at_5_hz(*NAMES, times=REPEATS + 1)
    case.now_s += SILENT_S - 0.2  # since the last message
    case.asked()
    assert case.problem() == ""
    case.now_s += 0.1
    case.asked()
    case.publish(*NAMES - {name})
    assert case.problem() == says
    case.publish(name)
    assert case.problem() == ""


def test_state_that_is_sent_on_changes_alone_is_relied_on_however_old() -> None:
    case = Case()
    case.publish("cuff", "navigator")
    for press in range(20):  # a person plays with the button: this is no repetition
        case.now_s += 0.2
        case.publish("cuff", value=press % 2)
    case.now_s += 797
    case.asked()
    assert case.problem() == ""


def test_repetitions_that_are_few_or_far_between_make_no_topic_regular() -> None:
    case = Case()
    case.publish("navigator")
    case.tell_at_5_hz("cuff", times=REPEATS)
    for _ in range(2 * REPEATS):  # it was connected to anew
        case.now_s += SILENT_S + 0.1
        case.publish("cuff")
    case.now_s += 60
    case.asked()
    assert case.problem() == ""


@pytest.mark.parametrize("name", ["cuff", "navigator"])
def test_device_whose_state_is_not_published_any_more_is_a_problem(name: str) -> None:
    case = Case()
    case.publish("cuff", "navigator")
    case.publishers[name] = 0
    assert f"the state of the {name} has no publisher any more" in case.problem()
    case.publishers[name] = 1
    assert case.problem() == ""


@pytest.mark.parametrize("status", ["down", "error"])
def test_device_that_reports_itself_broken_is_a_problem(status: str) -> None:
    case = Case()
    case.publish("cuff", "navigator", status=status)
    assert f'the cuff reports "{status}"' in case.problem()


def test_cuff_without_its_signal_is_a_problem() -> None:
    case = Case()
    case.publish("cuff", "navigator", signals=("left_cuff",))
    assert case.problem() == "the cuff has no signal right_cuff, only left_cuff"


def test_absent_cuff_is_a_problem_unless_the_robot_has_none() -> None:
    case = Case(cuff=absent)
    case.publish("navigator")
    assert "no cuff was found (there is none)" in case.problem() and "--without cuff" in case.problem()
    assert case.devices.missing == ["cuff: there is none"]
    case = Case(cuff=absent, without=("cuff",))
    case.publish("navigator")
    assert case.problem() == "" and case.devices.missing == ["cuff: not looked for, as asked"]


def test_absent_navigator_is_named_and_no_problem() -> None:
    case = Case(navigator=absent)
    case.publish("cuff")
    assert case.problem() == "" and case.devices.missing == ["navigator: there is none"]


def test_cuff_whose_call_fails_is_a_problem_and_asked_again() -> None:
    case = Case()
    case.publish("cuff", "navigator")
    Cuff.fails = True
    until(case.problem)
    assert "cuff and buttons cannot be asked: AttributeError" in case.problem()
    Cuff.fails, Cuff.held = False, True
    until(lambda: case.devices.cuff)
    assert case.problem() == ""


def test_cuff_whose_call_hangs_is_a_problem() -> None:
    class Hanging(Cuff):
        hangs = False

        def cuff_button(self) -> bool:
            while Hanging.hangs:
                time.sleep(0.01)
            return False

    case = Case(cuff=Hanging)
    Hanging.hangs = True
    time.sleep(0.1)  # the thread is within the call, or will be
    case.now_s += ASKED_S + 0.1
    case.publish("cuff", "navigator")
    assert "cuff and buttons have not been asked for 0.6 s" in case.problem()
    Hanging.hangs = False
    case.asked()
    assert case.problem() == ""
