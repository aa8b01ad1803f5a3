"""Kills, damage, faults and a short soak in less than 20 minutes: what is promised, put to the test.

    make chaos        # python -m benchmarks.chaos --seed 0

* 200 kills (SIGKILL): 125 of collector, trainer and page of one live system, and, beside it, 75 of the supervisor or of
  the watchdog of an arm behind ros2_control, each of which ends its system (`benchmarks.chaos_kills`).
* Each record of a file of a log, torn, flipped, zeroed and duplicated.
* The fault table: contract of an arm behind ros2_control, and whole systems whose nodes end (pytest).
* Three minutes of `benchmarks.soak`.

Exit status 1: something was lost, or something was against a promise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KILLS = {"nodes": 125, "systems": 75}
FAULTS = ("test/ros2_control/test_contract_ros2_control.py", "test/test_system_run.py", "test/test_node_guard.py")
DAMAGE = {"torn": "torn", "flipped": "content flipped", "zeroed": "zeroed", "duplicated": "duplicated"}


def kill(folder: Path, seed: int, share: float) -> list[dict[str, Any]]:
    """Run both crash loops at the same time; return their results."""
    running = {}
    for loop, kills in KILLS.items():
        out = folder / f"{loop}.json"
        words = [loop, "--kills", str(max(1, round(share * kills))), "--seed", str(seed), "--out", str(out)]
        running[out] = subprocess.Popen([sys.executable, "-m", "benchmarks.chaos_kills", *words], cwd=ROOT)
    for process in running.values():
        process.wait()
    missing = {"killed": {}, "standstill_s": {}, "violations": ["a crash loop ended without a result"]}
    return [
        json.loads(out.read_text(encoding="utf-8")) if out.exists() else missing | {"acknowledged": 0, "lost": 0}
        for out in running
    ]


def damage() -> tuple[list[str], list[str], int]:
    """Table of what damage costs, violations, and number of damaged files.

    Each record of the log is damaged once, alone. A row is a kind of record that contains messages, or all other kinds;
    a cell has the number of messages that are lost, and of those that were in the damaged records or behind a cut.
    """
    sys.path.insert(0, str(ROOT / "test"))
    from mcap.opcode import Opcode
    from test_log_damage import WHOLE, damaged, file_of, read, units, untouched

    data, whole = file_of("log"), Counter(WHOLE)
    cells: dict[tuple[str, str], list[int]] = {}
    counts, violations = Counter[str](), []
    for unit in units("log"):
        row = f"{Opcode(unit.opcode).name.lower()}: one cycle" if unit.data else "all others: no messages in them"
        counts[row] += 1
        for name, how in DAMAGE.items():
            changed, low, high = damaged(data, unit, how)
            found, reader = read(changed)
            read_now, kept = Counter(found), untouched("log", low, high)
            lost = (whole - read_now).total()
            cell = cells.setdefault((row, name), [0, 0])
            cell[0] += lost
            cell[1] += (whole - kept).total()
            broken = {
                "more than what was damaged is lost": bool(kept - read_now),
                "a loss is not reported": bool(lost and not reader.problems),
                "a message is read twice, or is not one that was written": bool(read_now - whole),
            }
            where = f"{Opcode(unit.opcode).name} at byte {unit.start}, {name}"
            violations += [f"{where}: {text}" for text, happened in broken.items() if happened]
    lines = [f"| record | of the file | {' | '.join(DAMAGE)} |", "|" + "---|" * (2 + len(DAMAGE))]
    for row, count in sorted(counts.items(), key=lambda one: one[0].startswith("all")):
        numbers = [cells[row, name] for name in DAMAGE]
        texts = [f"{lost} of {allowed}" if allowed or lost else "none" for lost, allowed in numbers]
        lines.append(f"| {row} | {count} | {' | '.join(texts)} |")
    return lines, violations, counts.total() * len(DAMAGE)


def check_faults() -> tuple[str, bool]:
    """Last line of pytest on the fault table, and whether all tests passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FAULTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout.strip().splitlines() or ["pytest printed nothing"])[-1], done.returncode == 0


def soak(folder: Path, seed: int, minutes: float) -> dict[str, Any]:
    """Run a short soak; return its result, without a report if it failed."""
    out = folder / "soak"
    words = ["--minutes", str(minutes), "--seed", str(seed), "--runs", str(folder / "soak_runs"), "--out", str(out)]
    subprocess.run([sys.executable, "-m", "benchmarks.soak", *words], cwd=ROOT, capture_output=True)
    path = out / "soak.json"
    if not path.exists():
        return {"faults": [{"violation": True}], "acknowledged": 0, "lost": 0}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def untested(kills: int, wanted: int, acknowledged: Sequence[int]) -> list[str]:
    """What was not put to the test, as violations: kills that were not made, parts in which nothing was published."""
    missing = [f"only {kills} of {wanted} kills were made"] if kills < wanted else []
    return missing + ["a part acknowledged no transition"] * sum(count == 0 for count in acknowledged)


def main(words: Sequence[str] | None = None) -> int:
    """Run all, print the tables, then the summary."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the kills (default 1: all 200)")
    parser.add_argument("--runs", type=Path, default=Path("runs/chaos"))
    asked = parser.parse_args(words)
    folder, begin_s = asked.runs.absolute() / time.strftime("%Y%m%d-%H%M%S"), time.monotonic()
    folder.mkdir(parents=True)
    table, violations, files = damage()
    print(
        "messages lost, of those in the damaged record or behind a cut; sums over files with one damaged record each:"
    )
    print(*table, "", sep="\n", flush=True)
    loops = kill(folder, asked.seed, asked.share)
    faults, passed = check_faults()
    short = soak(folder, asked.seed, 3.0)
    for loop in loops:
        violations += loop["violations"]
        for name, (median, longest, count) in loop["standstill_s"].items():
            print(f"standstill after SIGKILL of {name}: median {median:.2f} s, longest {longest:.2f} s, n = {count}")
    violations += [] if passed else ["the fault table: see pytest's line"]
    violations += ["soak: the arm moved by a dead policy"] * sum(one.get("violation", False) for one in short["faults"])
    killed = sum((Counter(loop["killed"]) for loop in loops), Counter())
    wanted = sum(max(1, round(asked.share * kills)) for kills in KILLS.values())
    violations += untested(killed.total(), wanted, [one["acknowledged"] for one in (*loops, short)])
    acknowledged = short["acknowledged"] + sum(loop["acknowledged"] for loop in loops)
    lost = short["lost"] + sum(loop["lost"] for loop in loops)
    print(*(f"violation: {one}" for one in violations), sep="\n")
    print(f"fault table: {faults}")
    print(f"kills: {killed.total()} ({', '.join(f'{count} {name}' for name, count in sorted(killed.items()))})")
    print(f"faults injected: {killed.total() + len(short['faults'])} in live systems, {files} damaged files")
    print(f"transitions acknowledged: {acknowledged}, found again: {acknowledged - lost}, lost: {lost}")
    print(f"violations: {len(violations)}; {(time.monotonic() - begin_s) / 60:.1f} min")
    return 1 if violations or lost else 0


if __name__ == "__main__":
    sys.exit(main())
