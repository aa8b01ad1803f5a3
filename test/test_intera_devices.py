"""Cuff and buttons: a call of the SDK that fails is told, since nobody knows then whether somebody holds the arm."""

from __future__ import annotations

import time
from types import SimpleNamespace

from tdm_ros.intera.devices import Devices


class Cuff:
    """What `intera_interface.Cuff` says; it fails while it is told to."""

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


def until(is_so) -> None:  # type: ignore[no-untyped-def]
    end_s = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_cuff_that_fails_is_told_and_asked_again() -> None:
    def no_navigator() -> None:
        raise OSError("there is none")

    Cuff.fails = Cuff.held = False
    devices = Devices(SimpleNamespace(Cuff=Cuff, Navigator=no_navigator))
    until(lambda: devices.buttons)
    assert devices.trouble == "" and devices.missing == ["navigator: there is none"]
    Cuff.fails = True
    until(lambda: devices.trouble)
    assert "cuff and buttons can not be asked: AttributeError" in devices.trouble
    Cuff.fails, Cuff.held = False, True
    until(lambda: devices.cuff)
    assert devices.trouble == ""
