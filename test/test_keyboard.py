"""Keys of a terminal, and the way to the running system."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tdm_ros.bringup.environment import PROFILES
from tdm_ros.cli import main
from tdm_ros.cli.teleop import environment_of
from tdm_ros.control.teleop import Keyboard

ROOT = Path(__file__).parent.parent


def test_key_tapped_moves_for_half_a_second_and_held_until_it_is_released() -> None:
    keyboard = Keyboard(0.1)
    keyboard.press("w", 0.0)
    assert keyboard.velocity(0.49).tolist() == [0.1, 0, 0] and not keyboard.velocity(0.5).any()
    keyboard.press("d", 1.0)
    for repeat in range(10):
        keyboard.press("d", 1.4 + repeat * 0.04)
    assert keyboard.velocity(1.76 + 0.14).tolist() == [0, -0.1, 0]
    assert not keyboard.velocity(1.76 + 0.16).any(), "the repetition has stopped: it was released"
    keyboard.press("d", 1.95)
    assert keyboard.velocity(2.3).any(), "pressed anew, it may take its time to repeat itself"


def test_space_stops_and_another_key_turns_at_once() -> None:
    keyboard = Keyboard(0.1)
    keyboard.press("r", 0.0)
    keyboard.press("f", 0.01)
    assert keyboard.velocity(0.02).tolist() == [0, 0, -0.1]
    keyboard.press(" ", 0.03)
    assert not keyboard.velocity(0.03).any() and not keyboard.engaged


def test_key_i_takes_over_until_it_is_pressed_again_or_space() -> None:
    keyboard = Keyboard(0.1)
    states = [(keyboard.press(key, 0.0), keyboard.engaged)[1] for key in "iii "]
    assert states == [True, False, True, False]


def test_speed_stays_between_slowest_and_fastest() -> None:
    keyboard = Keyboard(0.1)
    for _ in range(20):
        keyboard.press("+", 0.0)
    assert keyboard.speed_m_s == 0.3
    for _ in range(20):
        keyboard.press("-", 0.0)
    assert keyboard.speed_m_s == 0.01


def test_verdicts_are_events_and_unknown_keys_nothing() -> None:
    keyboard = Keyboard(0.1)
    events = [keyboard.press(key, 0.0) for key in "ynxpcz\x1b"]
    assert events == ["success", "failure", "discard", "pause", "resume", "", ""]
    assert not keyboard.over and (keyboard.press("q", 0.0), keyboard.over)[1]


def test_verb_finds_the_domain_of_the_run_and_becomes_the_node(tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    assert main(["teleop", str(tmp_path)]) == 1
    assert "does not have the ROS domain" in capsys.readouterr().err
    (tmp_path / "config.json").write_text(
        json.dumps({"ros": {"ROS_DOMAIN_ID": "77"}, "arguments": {"namespace": "lab"}})
    )
    became = []
    monkeypatch.setattr("os.execve", lambda *words: became.append(words))
    with pytest.raises(TypeError):  # only because this `execve` returns
        main(["teleop", str(tmp_path), "--speed", "0.05"])
    (program, words, environ) = became[0]
    assert str(program).endswith("lib/tdm_ros/teleop_keyboard") and "speed_m_s:=0.05" in words
    assert environ["ROS_DOMAIN_ID"] == "77" and words[-1] == "__ns:=/lab"


def test_tools_use_the_network_that_the_run_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", *PROFILES):
        monkeypatch.delenv(name, raising=False)
    recorded = {"ROS_DOMAIN_ID": "77", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    (tmp_path / "config.json").write_text(json.dumps({"ros": recorded}))
    environ = environment_of(tmp_path, "localhost")
    assert {key: environ[key] for key in recorded} == recorded


def test_deadman_of_the_operator_is_held_while_its_key_repeats_itself() -> None:
    spec = importlib.util.spec_from_file_location("operate", ROOT / "tools" / "operate.py")
    assert spec is not None and spec.loader is not None
    operate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(operate)
    deadman = operate.Deadman()
    assert not deadman.held(0.0)
    assert deadman.press("s", 1.0), "pressed anew: it starts the arm"
    assert deadman.held(1.49) and not deadman.held(1.5), "a tap"
    assert deadman.press("s", 3.0) and not deadman.press("s", 3.4), "a repetition starts nothing"
    assert deadman.held(3.54) and not deadman.held(3.56)
    assert deadman.press(" ", 3.6) and deadman.held(4.0), "the other key may take its time to repeat itself"
