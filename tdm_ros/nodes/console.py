"""`console`: page in the browser that shows the arm, sets the goal and lets the operator take control."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter, deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray  # type: ignore[import-untyped]
from geometry_msgs.msg import PoseStamped, TwistStamped
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.console.console_state import (
    EVENTS,
    SWITCHES,
    TRIGGERS,
    ConsoleState,
    NodeValues,
    OperatorRequest,
    Point,
    hex_of,
)
from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LivePush
from tdm_ros.control.teleop import PAUSE
from tdm_ros.control.timeline import Announcement, Source
from tdm_ros.control.validation import check_vector, printable
from tdm_ros.data.log import LOG_FOLDER, file_sizes
from tdm_ros.msg import ArmState, Episode, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import announcements, states
from tdm_ros.nodes.diagnostics import TOPIC
from tdm_ros.nodes.node_runner import ManagedNode, run
from tdm_ros.nodes.parameters import NODES, ConsoleParameters
from tdm_ros.nodes.subscriptions import listen
from tdm_ros.training.metrics import UNSCORED, read_metrics

if TYPE_CHECKING:
    from tdm_ros.console.server import Server

MISSING = "there is no page, the rest goes on: nicegui is not installed (pip install 'tdm_ros[console]')"
STOPS = ("stop", "pause", "lost")  # requests that stop the arm: they are passed on by an inactive node, too
DRIVE_FRESH_S = 0.1  # maximum age of a drive command of the page [s]
TRAIL_STATES = 120
MARKERS = 1000  # largest number of markers of a plan and its keep-outs that the page takes
ALONE_S = 5.0  # A goal that stays is given up when no page has been open for so long [s]


class ConsoleNode(ManagedNode):
    """Passes received messages to the page, and requests of the operator to the other nodes."""

    PARAMETERS = ConsoleParameters

    def configure(self) -> None:
        given: ConsoleParameters = self._declared.values
        self.robot, self.live, self.task = given.described()
        self._run_dir = Path(given.run_dir)
        corners = (self.task.goal.low, self.task.goal.high)
        low, high = ([float(v) for v in self.live.point_of(corner)] for corner in corners)
        self.console = ConsoleState(
            (low[0], low[1], low[2]), (high[0], high[1], high[2]), self.robot, isinstance(self.live, LivePush)
        )
        self._trail: deque[Point] = deque(maxlen=TRAIL_STATES)
        self._executed: Counter[str] = Counter()
        self._node_values = NodeValues(NODES)
        self._metrics_size = -1
        self._open_s = time.monotonic()
        self._engaged = False
        self._driven = 0
        self._server = self._serve(given)
        listen(self, ArmState, "arm_state", states(self, self._on_state), qos.STATE)
        listen(self, Episode, "episode", announcements(self, self._on_episode), qos.EPISODE)
        listen(self, MarkerArray, "plan_markers", self._on_markers, qos.LATCHED)
        listen(self, Transition, "transition", self._on_transition, qos.TRANSITION)
        listen(self, DiagnosticArray, TOPIC, self._on_diagnostics, qos.DIAGNOSTICS)
        self._goals = self.create_publisher(PoseStamped, "goal", qos.GOAL)
        self._twists = self.create_publisher(TwistStamped, "teleop/twist", qos.TELEOP)
        self._engagements = self.create_publisher(Bool, "teleop/engaged", qos.TELEOP)
        self._events = self.create_publisher(String, "teleop/event", qos.EVENT)
        self._triggers = {name: self.create_client(Trigger, f"supervisor/{name}") for name in TRIGGERS}
        self._switches = {name: self.create_client(SetBool, f"supervisor/{name}") for name in SWITCHES}
        self.console.wake = self.create_guard_condition(self._carry_out).trigger

    def _serve(self, given: ConsoleParameters) -> Server | None:
        if importlib.util.find_spec("nicegui") is None:
            self.get_logger().warning(MISSING)
            return None
        from tdm_ros.console.listening import tls_context
        from tdm_ros.console.server import Server

        files = (given.tls.certificate_file, given.tls.key_file)
        tls = tls_context(*("" if file == "none" else file for file in files))
        token = "" if given.token == "auto" else given.token
        try:
            server = Server(self.console, given.host, given.port, token, tls)
        except OSError as error:
            self.get_logger().warning(f"there is no page, the rest goes on: {given.host}:{given.port}: {error}")
            return None
        self.resources.callback(server.close)
        print(f"open {server.address} in a browser", flush=True)
        return server

    # From the page.

    def _carry_out(self) -> None:
        """Publish the newest drive command, and execute the requests of the operator."""
        drive = self.console.take_drive()
        if not self.active:
            for request in self.console.take_requests():
                if request.name in STOPS:
                    self._execute(request)
                else:
                    self.console.note(f"{request.name}: not done, {self.not_active()}")
            return
        if drive is not None and time.monotonic() - drive.received_s <= DRIVE_FRESH_S:
            self._driven += drive.engaged
            self._drive(drive.engaged, drive.velocity_m_s)
        for request in self.console.take_requests():
            self._execute(request)

    def _drive(self, engaged: bool, velocity_m_s: Point) -> None:
        self._engaged = engaged
        twist = TwistStamped()
        twist.header.stamp = self.get_clock().now().to_msg()
        twist.header.frame_id = self.task.frame
        twist.twist.linear.x, twist.twist.linear.y, twist.twist.linear.z = velocity_m_s
        self._engagements.publish(Bool(data=engaged))
        self._twists.publish(twist)

    def deactivate(self) -> None:
        """Pause if the page drives; its requests are rejected, but those that stop the arm.

        It stays engaged with a zero twist: a release would give the arm back to the policy.
        """
        if self._engaged:
            self._drive(True, (0.0, 0.0, 0.0))
            self._events.publish(String(data=PAUSE))

    def _execute(self, request: OperatorRequest) -> None:
        if request.name in TRIGGERS:
            self._call(self._triggers[request.name], Trigger.Request(), request.name)
        elif request.name in SWITCHES:
            self._switch(request.name, request.on)
        elif request.name in EVENTS:
            self._events.publish(String(data=request.name))
            self.console.note(f"{request.name}: published")
        elif request.name == "lost":
            self._events.publish(String(data="pause"))
            self.console.note("a driving page disconnected or fell silent: paused")
        elif request.name == "goal":
            if not self.console.keep_goal:
                self._switch("keep_goal", True)
            self._publish_goal(request.point_m)

    def _switch(self, name: str, on: bool) -> None:
        self._call(self._switches[name], SetBool.Request(data=on), f"{name} {'on' if on else 'off'}")

    def _call(self, client: Any, request: Any, what: str) -> None:
        """Call a service of the supervisor; its answer becomes a note."""
        if not client.service_is_ready():
            self.console.note(f"{what}: the supervisor does not run")
            return

        def tell(future: Any) -> None:
            answer = future.result()
            if answer.success and client is self._switches["keep_goal"]:
                self.console.keep_goal = request.data
            self.console.note(
                f"{what}: {answer.message or 'done'}" if answer.success else f"{what}: no, {answer.message}"
            )

        self.console.note(f"{what}: sent, not confirmed")  # a supervisor that was killed seems to be ready for 20 s
        client.call_async(request).add_done_callback(tell)

    def _publish_goal(self, point_m: Point) -> None:
        message = PoseStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self.task.frame
        message.pose.position.x, message.pose.position.y, message.pose.position.z = point_m
        message.pose.orientation.w = 1.0
        self._goals.publish(message)

    # To the page.

    def _on_state(self, sample: ArmSample, message: ArmState) -> None:
        hand = (float(sample.hand_m[0]), float(sample.hand_m[1]), float(sample.hand_m[2]))
        self._trail.append(hand)
        source = Source(sample.source).name if sample.source in set(Source) else "NONE"
        self.console.show(
            received_s=time.monotonic(),
            q_rad=tuple(map(float, sample.q_rad)),
            hand_m=hand,
            object_m=tuple(sample.object_m.tolist()),
            trail_m=self.console.snapshot.trail_m if sample.cycle % 4 else tuple(self._trail),
            source=source,
            hold_reason=sample.hold_reason,
            limiter=printable(message.limiter) if sample.limited else "",
            fault=sample.fault,
        )

    def _on_episode(self, announced: Announcement, message: Episode) -> None:
        known = len(announced.goal) == self.task.goal.size
        goal = tuple(map(float, self.live.point_of(announced.goal))) if known else self.console.snapshot.goal_m
        episode = announced.episode or self.console.snapshot.episode
        self.console.show(
            state=announced.state.name,
            mode=announced.mode.name,
            reason=announced.reason,
            episode=episode,
            progress=announced.progress,
            goal_m=goal,
        )

    def _on_markers(self, message: MarkerArray) -> None:
        knots, colours, boxes = [], [], []
        if len(message.markers) > MARKERS:
            self.rejections.reject(f"plan_markers: more than {MARKERS}")
            return
        for marker in message.markers:
            at, size = marker.pose.position, marker.scale
            if check_vector([at.x, at.y, at.z], 3) or check_vector([size.x, size.y, size.z], 3):
                self.rejections.reject("plan_markers: not finite or out of range")
                continue
            if marker.ns == "subgoal" and marker.action == Marker.ADD:
                knots.append((at.x, at.y, at.z))
                colours.append(hex_of((marker.color.r, marker.color.g, marker.color.b)))
            elif marker.ns == "keep_out" and marker.action == Marker.ADD:
                half = (size.x / 2, size.y / 2, size.z / 2)
                low = (at.x - half[0], at.y - half[1], at.z - half[2])
                boxes.append((low, (at.x + half[0], at.y + half[1], at.z + half[2])))
        self.console.show(knots_m=tuple(knots), knot_colours=tuple(colours), boxes_m=tuple(boxes))

    def _on_transition(self, message: Transition) -> None:
        self._executed[Source(message.source).name if message.source in set(Source) else "NONE"] += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        space = f"{self.get_namespace().rstrip('/')}/"
        for status in message.status:
            its_space, _, name = status.name.rpartition("/")
            shared = name == "trainer" and space.startswith(f"{its_space}/")  # several arms have one
            if f"{its_space}/" == space or shared:
                self._node_values.take(name, ((pair.key, pair.value) for pair in status.values))
                if name == "supervisor":
                    self._follow_keep_goal()

    def _follow_keep_goal(self) -> None:
        """Show what the supervisor says: one that was started again keeps no goal, and others may call its service."""
        said = self._node_values.by_node["supervisor"].get("keep_goal")
        if said is not None and (said == "True") != self.console.keep_goal:
            self.console.keep_goal = said == "True"
            self.console.note("the supervisor keeps the goal" if said == "True" else "the supervisor keeps no goal")

    def publish_diagnostics(self) -> None:
        """Publish the diagnostics, with what is to be done once per second."""
        if self.configured:
            self._look()
        else:
            super().publish_diagnostics()

    def _look(self) -> None:
        """Update log, curve and rejections once per second, and end a kept goal that no open page shows."""
        now_s = time.monotonic()
        for why, detail, count in self.console.take_rejections():
            self.rejections.reject(why, detail)
            self.rejections.counts[why] += count - 1
        if self.console.pages > 0:
            self._open_s = now_s
        elif self.console.keep_goal and now_s - self._open_s > ALONE_S:
            self._switch("keep_goal", False)
        log = file_sizes(self._run_dir / LOG_FOLDER)
        self.console.show(executed=dict(self._executed), values=dict(self._node_values.by_node), log=log)
        self._read_curve()
        ended = self._server is not None and not self._server.alive
        without = MISSING if self._server is None else "the web server has ended" if ended else ""
        self._diagnostics.publish(self.not_active() or without)

    def _read_curve(self) -> None:
        try:
            size = (self._run_dir / "metrics.csv").stat().st_size
            if size == self._metrics_size:
                return
            rows = [row for row in read_metrics(self._run_dir) if row.end not in UNSCORED]
        except (OSError, ValueError):
            return
        self._metrics_size = size
        self.console.show(curve=tuple((row.robot_time_s / 60, 100 * row.final_distance, row.mode) for row in rows))

    def values(self) -> dict[str, object]:
        return {
            "pages": self.console.pages,
            "engaged": self._engaged,
            "driven": self._driven,
            "keeps_goal": self.console.keep_goal,
            "port": self._server.port if self._server is not None else 0,
        }


main = partial(run, ConsoleNode)
