"""Picture of an arm at home: capsules, joints, hand, and its two boxes."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdm_ros.robots.capsules import body, capsule_ends
from tdm_ros.robots.description import Array, Box, Robot
from tdm_ros.robots.kinematics import link_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIGHT = np.array([0.4, -0.5, 0.77])
AXES = ("#d62728", "#2ca02c", "#1f77b4")
VIEW = (16, -58)
"""Elevation and azimuth [degrees] of the large picture."""
SIDES = {"from the right": (0, 2), "from above": (0, 1)}
"""Coordinates across and up of the small pictures."""
BOXES = {"goal box": "tab:green", "hand box": "tab:orange"}


def draw(robot: Robot, path: Path) -> None:
    """Draw a PNG. Raises ValueError if the suffix of the name is no image format."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    frames, shape = link_frames(robot.home_rad, robot), body(robot)
    shades = colormaps["viridis"](np.linspace(0.15, 0.9, len(frames)))
    order = np.argsort(shape.joints, kind="stable")
    shapes = [(capsule_ends(frames, shape)[i], float(shape.radius_m[i]), shades[shape.joints[i]]) for i in order]
    boxes = dict(zip(BOXES, (robot.goal_box_m, robot.hand_box_m), strict=True))
    figure = Figure(figsize=(14, 8), dpi=110, facecolor="white")
    _draw_space(figure.add_axes((0.0, 0.0, 0.6, 0.9), projection="3d", computed_zorder=False), frames, shapes, robot)
    for (title, sides), bottom in zip(SIDES.items(), (0.52, 0.05), strict=True):
        axes = figure.add_axes((0.64, bottom, 0.34, 0.4))
        _draw_side(axes, frames, shapes, boxes, sides)
        axes.set_title(title, fontsize=10, color="0.3", loc="left")
    figure.text(0.02, 0.945, f"{robot.name} at home", fontsize=18, weight="bold")
    words = f"{len(frames) - 1} joints from {robot.base_frame} to {robot.hand_frame}, {len(shapes)} capsules\n"
    words += "Black: joints and their axes. Green: goal box. Orange: hand box. Grey: z = 0."
    figure.text(0.02, 0.885, words, fontsize=10, color="0.3")
    try:
        figure.savefig(path)
    except ValueError as error:
        raise ValueError(f"--picture must be the name of an image, .png, got {path}: rename it ({error})") from error


Capsules = list[tuple[Array, float, Array]]
"""Ends, (2, 3) [m], radius [m] and colour of each capsule, those near the base first."""


def _draw_space(axes: Any, frames: Array, shapes: Capsules, robot: Robot) -> None:
    for capsule in shapes:
        _capsule(axes, *capsule)
    _joints(axes, frames, robot)
    for box, colour in zip((robot.goal_box_m, robot.hand_box_m), BOXES.values(), strict=True):
        _box(axes, box, colour)
    corners = [ends + sign * radius for ends, radius, _ in shapes for sign in (-1, 1)]
    everything = np.concatenate([*corners, np.array(robot.hand_box_m), np.array(robot.goal_box_m)])
    low, high = everything.min(axis=0), everything.max(axis=0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=1.05)
    axes.view_init(*VIEW)
    if low[2] <= 1e-6 <= high[2]:
        x, y = np.meshgrid([low[0], high[0]], [low[1], high[1]])
        axes.plot_surface(x, y, np.zeros_like(x), color="0.6", alpha=0.18, zorder=0)
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), "xyz", strict=True):
        axis.set_pane_color((1, 1, 1, 0))
        axis.set_tick_params(labelsize=8)
        axis.set_label_text(f"{name} [m]", fontsize=9)
    axes.locator_params(nbins=5)


def _draw_side(axes: Axes, frames: Array, shapes: Capsules, boxes: dict[str, Box], sides: tuple[int, int]) -> None:
    """Outlines of the capsules, the joints and the boxes, seen along the third coordinate."""
    for ends, radius, colour in shapes:
        axes.fill(*_outline(ends[:, sides], radius).T, color=colour, alpha=0.55, linewidth=0)
    points = np.concatenate([np.zeros((1, 3)), frames[:, :3, 3]])[:, sides]
    axes.plot(*points.T, color="black", linewidth=1.2, marker="o", markersize=3)
    for name, box in boxes.items():
        (x0, y0), (x1, y1) = np.array(box)[:, sides]
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=BOXES[name], linewidth=1.3)
    if sides[1] == 2:
        axes.axhline(0.0, color="0.6", linewidth=4, alpha=0.4, zorder=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel=f"{'xyz'[sides[0]]} [m]", ylabel=f"{'xyz'[sides[1]]} [m]")
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _outline(ends: Array, radius: float) -> Array:
    """Outline, (N, 2), of a capsule in a plane: half a circle around each end, (2, 2)."""
    along = ends[1] - ends[0]
    turn = np.arctan2(along[1], along[0]) + np.linspace(-np.pi / 2, np.pi / 2, 24)
    half = radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.concatenate([ends[1] + half, ends[0] - half])


def _capsule(axes: Any, ends: Array, radius: float, colour: Array) -> None:
    """Surface of a capsule, shaded by its direction to the light."""
    along = ends[1] - ends[0]
    length = float(np.linalg.norm(along))
    z = along / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])
    x = np.cross(z, np.eye(3)[np.abs(z).argmin()])
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    rise = np.concatenate([np.linspace(-np.pi / 2, 0, 7), np.linspace(0, np.pi / 2, 7)])
    turn = np.linspace(0, 2 * np.pi, 25)
    rise, turn = np.meshgrid(rise, turn)
    shift = (np.arange(14) >= 7)[None] * length
    normal = (np.cos(rise) * np.cos(turn))[..., None] * x + (np.cos(rise) * np.sin(turn))[..., None] * y
    normal = normal + np.sin(rise)[..., None] * z
    points = ends[0] + radius * normal + shift[..., None] * z
    bright = 0.62 + 0.38 * np.clip(normal[:-1, :-1] @ LIGHT, -0.4, 1)
    shaded = np.empty((*bright.shape, 4))
    shaded[..., :3], shaded[..., 3] = np.clip(bright[..., None] * colour[:3], 0, 1), 0.55
    axes.plot_surface(*points.transpose(2, 0, 1), facecolors=shaded, rstride=1, cstride=1, linewidth=0, shade=False)


def _joints(axes: Any, frames: Array, robot: Robot) -> None:
    """Joints as points with their axes, lines between them, and the axes of the hand."""
    points = np.concatenate([[np.zeros(3)], frames[:, :3, 3]])
    axes.plot(*points.T, color="black", linewidth=1.4, zorder=6)
    axes.scatter(*points[1:-1].T, color="black", s=22, zorder=7, depthshade=False)
    size = 0.12 * float(np.abs(np.array(robot.hand_box_m)).max())
    for frame, axis in zip(frames, robot.axes, strict=False):
        tip = 0.6 * size * frame[:3, :3] @ axis
        axes.plot(*np.array([frame[:3, 3] - tip, frame[:3, 3] + tip]).T, color="black", linewidth=0.9, zorder=6)
    for direction, colour in zip(frames[-1, :3, :3].T, AXES, strict=True):
        axes.plot(*np.array([points[-1], points[-1] + size * direction]).T, color=colour, linewidth=2.5, zorder=8)


def _box(axes: Any, box: Box, colour: str) -> None:
    corners = np.array([*product(*zip(*box, strict=True))])
    for i, j in product(range(8), repeat=2):
        if i < j and bin(i ^ j).count("1") == 1:
            axes.plot(*corners[[i, j]].T, color=colour, linewidth=1.3, zorder=5)
