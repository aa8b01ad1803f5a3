"""The arm. Without the robot's parameters it is a shell without attributes and says so only in the log."""

from copy import deepcopy

import rospy
from intera_core_msgs.msg import CollisionDetectionState, EndpointState, EndpointStates, JointCommand
from intera_core_msgs.srv import SolvePositionFK, SolvePositionIK
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from .waiting import wait_for


class Limb:
    def __init__(self, limb="right"):
        assemblies = rospy.get_param("/robot_config/assembly_names", [])
        names = rospy.get_param(f"/robot_config/{limb}_config/joint_names", [])
        if limb not in assemblies or not names:
            rospy.logerr("no limb %s on this robot", limb)
            return
        self._names, self._collided = names, False
        self._angles, self._hand, self._tips = {}, None, None
        self._message = JointCommand()
        space = f"/robot/limb/{limb}/"
        self._ratio = rospy.Publisher(space + "set_speed_ratio", Float64, latch=True, queue_size=10)
        self._timeout = rospy.Publisher(space + "joint_command_timeout", Float64, latch=True, queue_size=10)
        self._command = rospy.Publisher(space + "joint_command", JointCommand, tcp_nodelay=True, queue_size=1)
        for topic, kind, hear in (
            (space + "endpoint_state", EndpointState, self._hear_hand),
            (space + "tip_states", EndpointStates, self._hear_tips),
            (space + "collision_detection_state", CollisionDetectionState, self._hear_collision),
            ("/robot/joint_states", JointState, self._hear_joints),
        ):
            rospy.Subscriber(topic, kind, hear, queue_size=1, tcp_nodelay=True)
        kinematics = f"ExternalTools/{limb}/PositionKinematicsNode/"
        for service, kind in (("IKService", SolvePositionIK), ("FKService", SolvePositionFK)):
            rospy.ServiceProxy(kinematics + service, kind)
            rospy.wait_for_service(kinematics + service, 5.0)
        wait_for(lambda: self._angles, 5.0, "no joint_states")
        wait_for(lambda: self._hand, 5.0, "no endpoint_state")
        wait_for(lambda: self._tips is not None, 5.0, "no tip_states")

    def joint_angles(self):
        return deepcopy(self._angles)

    def has_collided(self):
        return self._collided

    def set_joint_position_speed(self, speed=0.3):
        self._ratio.publish(Float64(speed))

    def set_command_timeout(self, timeout):
        self._timeout.publish(Float64(timeout))

    def exit_control_mode(self, timeout=0.2):
        self.set_command_timeout(timeout)
        self.set_joint_positions(self.joint_angles())

    def set_joint_positions(self, positions):
        self._send(JointCommand.POSITION_MODE, positions, "position")

    def set_joint_velocities(self, velocities):
        self._send(JointCommand.VELOCITY_MODE, velocities, "velocity")

    def set_joint_torques(self, torques):
        self._send(JointCommand.TORQUE_MODE, torques, "effort")

    def _send(self, mode, values, field):
        # One message for all: fields of an earlier mode stay in it.
        self._message.mode, self._message.names = mode, list(values)
        setattr(self._message, field, list(values.values()))
        self._message.header.stamp = rospy.Time.now()
        self._command.publish(self._message)

    def _hear_joints(self, message):
        for name, q in zip(message.name, message.position, strict=False):
            if name in self._names:
                self._angles[name] = q

    def _hear_hand(self, message):
        self._hand = message

    def _hear_tips(self, message):
        self._tips = message

    def _hear_collision(self, message):
        self._collided = message.collision_state
