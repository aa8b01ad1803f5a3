"""Summary of a recording as text."""

from __future__ import annotations

from typing import Any

from tdm_ros.data.summary import Summary


def as_text(summary: Summary) -> str:
    """The summary for a person."""
    lines = [summary.name, f"  {'task':<18}{', '.join(summary.tasks) or 'no transition of tdm_ros'}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<18}{text}")

    add("topics", ", ".join(f"{topic} {count}" for topic, count in summary.topics.items()) or "none")
    if summary.transitions:
        add(
            "recorded",
            f"{summary.start}, {_clock(summary.duration_s)} in all, {_clock(summary.robot_s)} of transitions",
        )
        total = summary.transitions
        shares = (f"{name} {count} ({count / total:.1%})" for name, count in summary.sources.items())
        add("transitions", f"{total} in {summary.pieces} unbroken pieces")
        add("commanded by", ", ".join(shares))
        add("episodes", _episode_text(summary.episodes))
        for mode, ends in summary.episodes.get("modes", {}).items():
            add(f"  {mode}", _ends_text(ends, summary.unit))
        add("a person drove", f"{summary.takeovers} times" if summary.takeovers else "never")
        add("limiter", f"changed {summary.limited} commands ({summary.limited_share:.1%})")
        add("cycle gaps", f"{summary.gaps} inside episodes, {summary.lost_cycles} cycles lost")
    if summary.damaged:
        add(
            "unreadable",
            f"{summary.damaged} transitions cannot be decoded, or are of another shape or task than the others",
        )
    return "\n".join(lines)


def _episode_text(found: dict[str, Any]) -> str:
    if not found["count"]:
        return "none"
    steps = found["steps"]
    return f"{found['count']} of {steps['median']:g} steps (median; {steps['shortest']} to {steps['longest']})"


def _ends_text(ends: dict[str, Any], unit: str) -> str:
    if "reached" not in ends:
        return f"{ends['count']}, none with a goal"
    near = ", ".join(f"{count} within {radius}" for radius, count in ends["reached"].items())
    final = ", ".join(f"{key} {value:.4g}" for key, value in ends["final_distance"].items())
    return f"{ends['count']}, of {ends['judged']} with a goal {near} {unit}; final distance {final} {unit}".rstrip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
