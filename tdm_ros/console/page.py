"""Page: 3-D view, source of commands and reason for a hold, buttons, driving, goal, learning progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from pathlib import Path

from nicegui import Client, ui

from tdm_ros.console.console_state import (
    ConsoleState,
    Snapshot,
    curve_options,
    cycle_rows,
    fault_of,
    recorded_rows,
    remedy_of,
    why_of,
)
from tdm_ros.console.driving import SPEED_MAX_M_S
from tdm_ros.console.view import DRAGS, ArmView

STYLE = Path(__file__).with_name("page.css")
DRIVE = Path(__file__).with_name("drive.html").read_text().replace("SPEED_MAX", str(SPEED_MAX_M_S))
UPDATE_S = 0.1
SLOW_S = 1.0
WAITING_PAGES = 100
"""Largest number of pages without a socket; each takes 0.4 MB until NiceGUI drops it after 60 s."""
TEXT_SHOWN = 500
SILENT_S = 1.0  # time without a state of the arm after which the page shows it as silent [s]

SOURCES = {
    "POLICY": ("policy drives", "#2e7d32"),
    "RANDOM": ("random exploration drives", "#00796b"),
    "HUMAN": ("operator drives", "#5e35b1"),
    "RESET": ("driving home", "#1565c0"),
    "SAFETY": ("arm holds", "#c62828"),
    "NONE": ("arm stands", "#616161"),
    "silent": ("arm is silent", "#000000"),
    "fault": ("FAULT: arm is stopped", "#b71c1c"),
}
"""Text and background per source of the last cycle's command, for a silent arm, and for a fault."""

BUTTONS = (
    ("start", "Start", "play_arrow", "positive", "start, or continue"),
    ("pause", "Pause", "pause", "primary", "stop the policy; an operator may drive; start continues"),
    ("stop", "Hold", "front_hand", "negative", "hold until start, also under teleoperation"),
    ("reset", "Reset", "home", "primary", "drive home, then continue"),
    ("clear_fault", "Clear fault", "healing", "warning", "clear the fault; no motion before start"),
)
EVENTS = (("success", "thumb_up"), ("failure", "thumb_down"), ("discard", "delete"))


def make_page(console: ConsoleState) -> Callable[[], None]:
    """Return the function that builds the page for each browser."""

    def page() -> None:
        waiting = [client for client in Client.instances.values() if not client.has_socket_connection]
        for client in waiting[:-WAITING_PAGES]:
            client.delete()
        Page(console)

    return page


class Page:
    def __init__(self, console: ConsoleState) -> None:
        self._console = console
        self._curve: object = None
        ui.add_css(STYLE)
        with ui.element("div").classes("page"):
            with ui.element("div").classes("left"):
                self._view = ArmView(console)
                with ui.element("div").classes("overlay"):
                    self._who = ui.label("").classes("who")
                    self._why = ui.label("").classes("why")
                    self._remedy = ui.label("").classes("remedy")
            with ui.element("div").classes("right"):
                self._buttons()
                self._driving()
                self._goal()
                self._learning()
        ui.add_body_html('<script src="/driving.js" defer></script>')
        ui.timer(UPDATE_S, self._update)
        ui.timer(SLOW_S, self._update_slowly)
        self._update_slowly()
        client = ui.context.client
        client.on_connect(lambda: self._count(1))
        client.on_disconnect(lambda: self._count(-1))

    def _count(self, more: int) -> None:
        self._console.pages += more

    def _buttons(self) -> None:
        with ui.card():
            with ui.row().style("gap:4px"):
                for name, text, icon, colour, tip in BUTTONS:
                    button = ui.button(text, icon=icon, color=colour, on_click=self._asks(name))
                    button.props("dense no-caps size=sm").classes(f"button-{name}").style("padding: 0 6px").tooltip(tip)
            with ui.row().style("gap:4px; align-items:center"):
                for text, on in (("Train", False), ("Evaluate", True)):
                    button = ui.button(text, on_click=self._asks("evaluate", on))
                    button.props("dense no-caps outline size=sm").classes(f"button-{text.lower()}").style(
                        "padding: 0 6px"
                    )
                self._state = ui.label("").style("font-size:12px").classes("state")

    def _driving(self) -> None:
        with ui.card():
            ui.html("<h3>Take over</h3>", sanitize=False)
            ui.html(DRIVE, sanitize=False).style("width:100%")
            with ui.row().style("gap:4px"):
                for name, icon in EVENTS:
                    button = ui.button(name, icon=icon, on_click=self._asks(name))
                    button.props("dense no-caps flat size=sm").classes(f"button-{name}").tooltip(
                        "result of this episode"
                    )

    def _goal(self) -> None:
        with ui.card():
            ui.html("<h3>Goal: drag the green ball</h3>", sanitize=False)
            with ui.row().style("gap:10px; align-items:center"):
                self._keep = (
                    ui.switch("stays", value=self._console.keep_goal, on_change=self._on_keep)
                    .props("dense")
                    .classes("keep")
                )
                self._keep.tooltip("on: every episode has your goal; off: goals are drawn at random")
                drags = ui.toggle(list(DRAGS), value="free", on_change=lambda e: self._view.drag_by(e.value))
                drags.props("dense no-caps size=sm")
            self._where = ui.label("").style("font-size:12px").classes("where")

    def _learning(self) -> None:
        with ui.card():
            ui.html("<h3>Learning</h3>", sanitize=False)
            self._chart = ui.echart(curve_options(())).style("height:170px; width:100%").classes("curve")
            self._cycles = ui.html("", sanitize=False).style("width:100%").classes("cycles")
        with ui.card():
            ui.html("<h3>Recorded</h3>", sanitize=False)
            self._recorded = ui.html("", sanitize=False).style("width:100%").classes("recorded")
        with ui.card():
            ui.html("<h3>Requests</h3>", sanitize=False)
            self._notes = ui.label("").style("white-space:pre-line; font-size:12px").classes("notes")

    def _asks(self, name: str, on: bool = True) -> Callable[[], None]:
        return lambda: self._console.request(name, on)

    def _on_keep(self) -> None:
        wanted, goal = bool(self._keep.value), self._console.snapshot.goal_m
        if wanted == self._console.keep_goal:
            return
        if wanted and goal is not None:
            self._console.request_goal(*goal)
        else:
            self._console.request("keep_goal", wanted)

    def _update(self) -> None:
        snapshot = self._console.snapshot
        silent = time.monotonic() - snapshot.received_s > SILENT_S
        fault = fault_of(snapshot)
        text, ground = SOURCES["fault" if fault else "silent" if silent else snapshot.source]
        self._set(self._who, text, f"background:{ground}")
        self._set(self._why, why_of(snapshot, silent), "")
        self._set(self._remedy, remedy_of(fault) if fault else "", "")
        self._set(self._state, _state(snapshot), "")
        goal, hand = snapshot.goal_m, snapshot.hand_m
        at = f"hand {_metres(hand)}" + (f"   goal {_metres(goal)}" if goal else "") + " m"
        self._set(self._where, at, "")
        self._view.update(snapshot)

    def _update_slowly(self) -> None:
        snapshot = self._console.snapshot
        if self._keep.value != self._console.keep_goal:
            self._keep.value = self._console.keep_goal
        if snapshot.curve != self._curve:
            self._curve = snapshot.curve
            self._chart.options.clear()
            self._chart.options.update(curve_options(snapshot.curve))
        self._cycles.content = _table(cycle_rows(snapshot))
        self._recorded.content = _table(recorded_rows(snapshot))
        self._set(self._notes, "\n".join(reversed(list(self._console.notes))), "")

    @staticmethod
    def _set(label: ui.label, text: str, style: str) -> None:
        text = text[:TEXT_SHOWN]  # reasons of nodes may have any length
        if label.text != text:
            label.text = text
            if style:
                label.style(style)


def _state(snapshot: Snapshot) -> str:
    mode = snapshot.mode.lower()
    part = f" · {100 * snapshot.progress:.0f} % of learning" if snapshot.progress else ""
    return f"{snapshot.state} · {mode} · episode {snapshot.episode}{part}"


def _metres(point: tuple[float, float, float]) -> str:
    return " ".join(f"{v:.3f}" for v in point)


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows) + "</table>"
