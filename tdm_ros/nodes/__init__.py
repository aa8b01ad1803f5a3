"""ROS 2 side, one thin node per module: convert, validate, call a lower package, publish."""

import os

from tdm_ros.bringup.environment import ONE_THREAD

# Matrices here are small: a second thread costs more than it gives, the other core is for the trainer.
for _name in ONE_THREAD:
    os.environ.setdefault(_name, "1")
