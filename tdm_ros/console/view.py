"""3-D view of the page: arm, goal to drag, plan, keep-outs, trajectory of the hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import mujoco
import numpy as np
from nicegui import ui
from nicegui.elements.scene.scene_object3d import Object3D
from nicegui.events import GenericEventArguments, SceneDragEventArguments
from numpy.typing import NDArray

from tdm_ros.console.console_state import ConsoleState, Point, Snapshot, hex_of
from tdm_ros.robots.description import Robot, rotation_from_rpy
from tdm_ros.robots.geometry import MATERIALS, between, size
from tdm_ros.robots.kinematics import rotation_of
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.sawyer import SAWYER
from tdm_ros.tasks.pushing import push_setup, tool_ends_m

SEEN_GROUP = 2  # group of the visible geoms
_KINDS = {
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid",
    mujoco.mjtGeom.mjGEOM_BOX: "box",
}
Array = NDArray[np.float64]


class VisualShape(NamedTuple):
    """Visible shape of a link, in the frame of that link."""

    kind: str  # sphere, capsule, cylinder, ellipsoid or box; the long axis is z
    size_m: Array  # (3,) MuJoCo's convention: radius, half length; half axes; half sides
    position_m: Array
    rotation: Array
    colour: str  # #rrggbb


class Link(NamedTuple):
    """Rigid part of the arm, in the order of the chain, the world first."""

    name: str
    parent: int  # index of the parent link; -1 for the world
    position_m: Array  # (3,) in the frame of its parent
    rotation: Array  # (3, 3) at joint angle 0
    joint: int  # index of the joint that turns it; -1: none
    axis: Array  # (3,) of that joint
    shapes: list[VisualShape]


def turned(link: Link, q_rad: float) -> Array:
    """Rotation of a link in the frame of its parent, (3, 3), at a joint angle [rad]."""
    across = np.cross(np.eye(3), link.axis)
    return link.rotation @ (np.eye(3) + np.sin(q_rad) * across + (1.0 - np.cos(q_rad)) * across @ across)


@cache
def arm_links(robot: Robot = SAWYER) -> list[Link]:
    """Links of the arm and of its surroundings."""
    model = mujoco.MjModel.from_xml_string(robot_xml(robot))
    joints = {int(model.joint(name).bodyid[0]): index for index, name in enumerate(robot.joint_names)}
    links = [
        Link(
            model.body(i).name,
            int(model.body_parentid[i]) if i else -1,
            model.body_pos[i].copy(),
            rotation_of(model.body_quat[i]),
            joints.get(i, -1),
            robot.axes[joints.get(i, 0)],
            [],
        )
        for i in range(model.nbody)
    ]
    for i in range(model.ngeom):
        kind = _KINDS.get(mujoco.mjtGeom(model.geom_type[i]))
        if kind is None or model.geom_group[i] != SEEN_GROUP:
            continue
        material = model.geom_matid[i]
        rgba = model.mat_rgba[material] if material >= 0 else model.geom_rgba[i]
        shape = VisualShape(
            kind, model.geom_size[i].copy(), model.geom_pos[i].copy(), rotation_of(model.geom_quat[i]), hex_of(rgba[:3])
        )
        links[int(model.geom_bodyid[i])].shapes.append(shape)
    return links


def tool_shape(robot: Robot) -> VisualShape:
    """Stick with which a robot pushes, in the frame of its last link."""
    shape = between("capsule", push_setup(robot).tool_radius_m, tool_ends_m(robot), "steel")
    radius_m, length_m = shape.size_m
    size_m, colour = np.array([radius_m, length_m / 2, 0.0]), MATERIALS[shape.material]["rgba"].split()
    position_m, rotation = np.array(shape.position_m), rotation_from_rpy(shape.rpy_rad)
    return VisualShape(shape.kind, size_m, position_m, rotation, hex_of(map(float, colour[:3])))


GOAL_RADIUS_M, KNOT_RADIUS_M, TRAIL_M = 0.03, 0.015, 0.016
UNCHANGED_RAD = 1e-3
FRAMES_S = 10
DRAG_S = 0.1
ROUND = 20
FLOOR_M = -0.912
DRAGS = {"free": "", "level": "z = {z:.4f}", "upright": "x = {x:.4f}, y = {y:.4f}"}
"""Drag constraints of the goal: parallel to the screen, at its height, or vertical."""

_ALONG_Z = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Cylinders are along y in three.js, along z in MuJoCo."""


class ArmView:
    """3-D view of one page."""

    def __init__(self, console: ConsoleState) -> None:
        self._console = console
        self._dragging = False
        self._drag = "free"
        links = self._links = arm_links(console.robot)
        self._q = np.full(len(links), np.nan)
        self._shown: dict[str, object] = {}
        self._made: dict[str, list[Object3D]] = {}
        self._object: Object3D | None = None
        self.scene = ui.scene(
            width=800,
            height=600,
            grid=False,
            background_color="#dfe6ee",
            fps=FRAMES_S,
            on_drag_start=self._on_start,
            on_drag_end=self._on_end,
            camera=ui.scene.perspective_camera(fov=42),
        )
        self.scene.style("width: 100%; height: 100%").classes("view")
        self.scene.on("drag", self._on_drag, throttle=DRAG_S)
        with self.scene as scene:
            scene.box(4, 4, 0.01).move(0, 0, FLOOR_M).material("#aeb4bd")
            self._groups = [self._draw_link(link) for link in links]
            for link, group in zip(links, self._groups, strict=True):
                if link.parent >= 0:
                    group.attach(self._groups[link.parent])
                    group.move(*map(float, link.position_m)).rotate_R(link.rotation.tolist())
            if console.pushes:
                last = [link.name for link in links].index(console.robot.link_names[-1])
                with self._groups[last], scene.group().with_name("tool"):
                    self._draw(tool_shape(console.robot))
            self._trail = scene.point_cloud([[0, 0, 0]], point_size=TRAIL_M).material("#1565c0")
            self.goal = scene.sphere(GOAL_RADIUS_M).material("#2e7d32", 0.9).with_name("goal").draggable()
        ratio = size(console.robot) / size(SAWYER)
        x, y, z, at_x, at_z = (ratio * part for part in (1.95, -1.3, 1.0, 0.36, 0.22))
        scene.move_camera(x, y, z, at_x, 0.0, at_z, 0, 0, 1, duration=0)

    def _draw_link(self, link: Link) -> Object3D:
        with self.scene.group().with_name(link.name) as group:
            for shape in link.shapes:
                self._draw(shape)
        return group

    def _draw(self, shape: VisualShape) -> None:
        scene, (a, b, c) = self.scene, map(float, shape.size_m)
        if shape.kind == "box":
            self._put(scene.box(2 * a, 2 * b, 2 * c), shape, shape.rotation)
        elif shape.kind == "ellipsoid":
            self._put(scene.sphere(1.0).scale(a, b, c), shape, shape.rotation)
        elif shape.kind == "sphere":
            self._put(scene.sphere(a, ROUND, ROUND // 2), shape, shape.rotation)
        else:
            self._put(scene.cylinder(a, a, 2 * b, ROUND), shape, shape.rotation @ _ALONG_Z)
            for end in (-b, b) if shape.kind == "capsule" else ():
                ball = scene.sphere(a, ROUND, ROUND // 2).material(shape.colour)
                ball.move(*(shape.position_m + end * shape.rotation[:, 2]).tolist())

    def _draw_object(self) -> Object3D:
        setup = push_setup(self._console.robot)
        with self.scene:
            made = self.scene.cylinder(setup.radius_m, setup.radius_m, 2 * setup.half_height_m, ROUND)
        return made.rotate_R(_ALONG_Z.tolist()).material("#2659bf")

    def _put(self, made: Object3D, shape: VisualShape, rotation: np.ndarray) -> None:
        made.material(shape.colour).move(*shape.position_m.tolist()).rotate_R(rotation.tolist())

    def drag_by(self, constraint: str) -> None:
        """Set the drag constraint of the goal: one of `DRAGS`."""
        self._drag = constraint
        self._constrain()

    def update(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        for index, link in enumerate(self._links):
            if link.joint >= 0 and not abs(snapshot.q_rad[link.joint] - self._q[index]) < UNCHANGED_RAD:
                self._q[index] = snapshot.q_rad[link.joint]
                self._groups[index].rotate_R(turned(link, self._q[index]).tolist())
        if self._new("trail", snapshot.trail_m) and snapshot.trail_m:
            self._trail.set_points([list(point) for point in snapshot.trail_m])
        if snapshot.object_m and self._new("object", snapshot.object_m):
            x, y = snapshot.object_m
            self._object = self._object or self._draw_object()
            self._object.move(x, y, push_setup(self._console.robot).half_height_m)
        if self._new("boxes", snapshot.boxes_m):
            self._redraw("boxes", lambda: [self._keep_out(low, high) for low, high in snapshot.boxes_m])
        plan = (snapshot.knots_m, snapshot.knot_colours)
        if self._new("plan", plan):
            self._redraw("plan", lambda: self._plan(*plan))
        goal = self._console.requested_goal_m if self._console.keep_goal else snapshot.goal_m
        if goal is not None and not self._dragging and self._new("goal", (goal, self._console.keep_goal)):
            self.goal.move(*goal)
            self.goal.material(
                "#00c853" if self._console.keep_goal else "#2e7d32", 1.0 if self._console.keep_goal else 0.8
            )
            self._constrain()

    def _new(self, name: str, value: object) -> bool:
        old, self._shown[name] = self._shown.get(name), value
        return old != value

    def _redraw(self, name: str, make: Callable[[], list[Object3D]]) -> None:
        for old in self._made.pop(name, []):
            old.delete()
        with self.scene:
            self._made[name] = make()

    def _keep_out(self, low: Point, high: Point) -> Object3D:
        size = np.subtract(high, low)
        box = self.scene.box(*size.tolist()).material("#c62828", 0.3)
        return box.move(*(np.add(low, high) / 2).tolist())

    def _plan(self, knots: tuple[Point, ...], colours: tuple[str, ...]) -> list[Object3D]:
        made: list[Object3D] = []
        for knot, colour in zip(knots, colours, strict=True):
            made.append(self.scene.sphere(KNOT_RADIUS_M).material(colour).move(*knot))
        for a, b in pairwise(knots):
            made.append(self.scene.line(list(a), list(b)).material("#37474f"))
        return made

    def _constrain(self) -> None:
        at = {"x": self.goal.x, "y": self.goal.y, "z": self.goal.z}
        self.scene.props["drag-constraints"] = DRAGS[self._drag].format(**at)

    def _on_start(self, event: SceneDragEventArguments) -> None:
        self._dragging = event.object_name == "goal"

    def _on_drag(self, event: GenericEventArguments) -> None:
        if self._dragging:
            self._console.request_goal(*(float(event.args[axis]) for axis in "xyz"))

    def _on_end(self, event: SceneDragEventArguments) -> None:
        if self._dragging:
            self._dragging = False
            self._console.request_goal(float(event.x), float(event.y), float(event.z))
            self._shown.pop("goal", None)
