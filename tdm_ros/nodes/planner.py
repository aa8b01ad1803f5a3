"""`planner`: turns a goal into subgoals. For now it passes the goal through, with its horizon."""

from __future__ import annotations

from rclpy.node import Node

from tdm_ros.control.refusals import Refusals
from tdm_ros.control.timeline import State
from tdm_ros.msg import Episode, Subgoal
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import BASE_FRAME, floats, to_announcement
from tdm_ros.nodes.declare import Declared
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.node_runner import run
from tdm_ros.nodes.parameters import PlannerParameters
from tdm_ros.tasks import SAWYER_REACH


class PlannerNode(Node):
    """One subgoal for each new episode: its goal, due after the longest horizon that is learned."""

    def __init__(self) -> None:
        super().__init__("planner")
        self.task = SAWYER_REACH[Declared(self, PlannerParameters).values.actuation]
        self.refusals = Refusals(self.get_logger().warning)
        self._plan = 0
        self._episode = 0
        self._heard = False
        self._subgoals = self.create_publisher(Subgoal, "subgoal", qos.LATCHED)
        self.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)
        self._diagnostics = Diagnostics(self, self.refusals, self._values)

    def _on_episode(self, message: Episode) -> None:
        told, problem = to_announcement(self, message, self.task)
        if told is None:
            self.refusals.refuse(f"episode: {problem}", f"task {message.task or 'none'}")
            return
        self._heard = True
        if told.state != State.RUNNING or told.episode == self._episode:
            return
        self._episode = told.episode
        self._plan += 1
        subgoal = Subgoal(
            episode=told.episode,
            plan=self._plan,
            status=Subgoal.DIRECT,
            last=True,
            start_cycle=told.start_cycle,
            steps_left=self.task.horizon,
            goal=floats(told.goal),
            task=self.task.fingerprint,
        )
        subgoal.header.stamp = self.get_clock().now().to_msg()
        subgoal.header.frame_id = BASE_FRAME
        self._subgoals.publish(subgoal)

    def _values(self) -> dict[str, object]:
        return {"ready": self._heard and self._subgoals.get_subscription_count() > 0, "plans": self._plan}


def main() -> int:
    """Run the node until a signal."""
    return run(PlannerNode)
