"""Enable, reset, stop. As the genuine one does, `enable` resets a stopped robot by itself, and errors read the same."""

import errno

import rospy
from intera_core_msgs.msg import RobotAssemblyState
from std_msgs.msg import Bool, Empty

from .waiting import wait_for


class RobotEnable:
    def __init__(self, versioned=False):
        self._state = None
        rospy.Subscriber("robot/state", RobotAssemblyState, self._hear)
        wait_for(lambda: self._state is not None, 10.0, "no robot state on robot/state")

    def state(self):
        return self._state

    def enable(self):
        if self._state.stopped:
            self.reset()
        publisher = rospy.Publisher("robot/set_super_enable", Bool, queue_size=10)
        wait_for(lambda: self._state.enabled, 5.0, "Failed to enable robot", lambda: publisher.publish(True))

    def reset(self):
        if not self._state.stopped:
            raise OSError(errno.EREMOTEIO, "Failed to Reset due to lack of Error State.")
        if self._state.estop_button == RobotAssemblyState.ESTOP_BUTTON_PRESSED:
            raise OSError(errno.EREMOTEIO, "Failed to Reset: E-Stop Engaged")
        publisher = rospy.Publisher("robot/set_super_reset", Empty, queue_size=10)
        try:
            wait_for(self._is_clear, 5.0, "could not reset the robot", publisher.publish)
        except TimeoutError:
            if self._state.error and not self._state.stopped:
                return False  # an error persists
            raise
        return None

    def stop(self):
        publisher = rospy.Publisher("robot/set_super_stop", Empty, queue_size=10)
        wait_for(lambda: self._state.stopped, 5.0, "could not stop the robot", publisher.publish)

    def _hear(self, message):
        self._state = message

    def _is_clear(self):
        s = self._state
        return not (s.stopped or s.error or s.estop_button or s.estop_source)
