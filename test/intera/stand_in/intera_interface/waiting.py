"""Wait for something at 100 Hz, for so long."""

import errno

import rospy


def wait_for(test, timeout_s, message, body=None):
    """Call `body` until `test` is true; OSError(ETIMEDOUT), which Python calls TimeoutError, when it never is."""
    end_s = rospy.get_time() + timeout_s
    rate = rospy.Rate(100)
    while not test():
        if rospy.is_shutdown():
            raise OSError(errno.ESHUTDOWN, "ROS has shut down")
        if rospy.get_time() >= end_s:
            raise OSError(errno.ETIMEDOUT, message)
        if body is not None:
            body()
        rate.sleep()
