"""The console on a real pseudo-terminal, and on a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tdm_ros.bringup.terminal import Console


def shown_on_terminal(folder: Path, *lines: str) -> str:
    """Return the bytes that a terminal gets for these lines of a node."""
    reader, writer = os.openpty()
    with open(writer, "w") as terminal:
        console = Console(terminal, folder, width=5)
        for line in lines:
            console.show("arm", line)
        console.close()
    return b"".join(read_to_the_end(reader)).decode().replace("\r\n", "\n")


def read_to_the_end(reader: int) -> Iterator[bytes]:
    """What is left in a terminal that nobody writes to any more; it may come in several parts."""
    with suppress(OSError), open(reader, "rb", buffering=0) as end:  # Linux: EIO instead of an end of file
        while part := end.read(65536):
            yield part


def test_live_line_on_terminal_is_drawn_in_place(tmp_path: Path) -> None:
    assert shown_on_terminal(tmp_path, "\r1 s", "\r2 s") == "\r\x1b[2K1 s\r\x1b[2K2 s\n"


def test_plain_line_on_terminal_keeps_the_live_line_below(tmp_path: Path) -> None:
    assert shown_on_terminal(tmp_path, "\r1 s", "hello") == "\r\x1b[2K1 s\r\x1b[2Karm   | hello\n1 s\n"


def test_live_lines_of_several_arms_stand_one_below_the_other(tmp_path: Path) -> None:
    reader, writer = os.openpty()
    with open(writer, "w") as terminal:
        console = Console(terminal, tmp_path, width=5)
        for name, line in (("arm1/a", "\r1 s"), ("arm2/a", "\r2 s"), ("arm1/a", "\r3 s"), ("b", "hello")):
            console.show(name, line)
        console.close()
    both = "\r\x1b[2K\x1b[1A\x1b[2Karm1 | {}\narm2 | 2 s"
    shown = b"".join(read_to_the_end(reader)).decode().replace("\r\n", "\n")
    assert both.format("3 s") in shown
    assert shown.endswith("\x1b[2Kb     | hello\narm1 | 3 s\narm2 | 2 s\n")
    assert (tmp_path / "arm1" / "a.log").read_text() == "1 s\n3 s\n"


def test_live_line_longer_than_the_terminal_is_cut(tmp_path: Path) -> None:
    assert len(shown_on_terminal(tmp_path, "\r" + "x" * 1000)) < 300


def test_log_holds_every_line_without_control_characters(tmp_path: Path) -> None:
    shown_on_terminal(tmp_path, "\r1 s\x1b[K", "hello", "\r2 s")
    assert (tmp_path / "arm.log").read_text() == "1 s\nhello\n2 s\n"


def test_reader_lost_the_log_goes_on(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as out:
        console = Console(out, tmp_path, width=5)
        console.show("arm", "first")
        console.show("arm", "second")
        console.close()
    assert (tmp_path / "arm.log").read_text() == "first\nsecond\n"


def test_disk_that_is_full_is_reported_once_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "arm.log").symlink_to("/dev/full")
    with (tmp_path / "out").open("w") as out:
        console = Console(out, tmp_path, width=5)
        console.show("arm", "first")
        console.show("arm", "second")
        console.close()
    shown = (tmp_path / "out").read_text()
    assert shown.count("is no longer written") == 1 and "arm   | first" in shown and "arm   | second" in shown
