"""Temporal Difference Models for robot arms, over ROS 2."""

from pkgutil import extend_path

# The source tree and the colcon install (which holds the generated messages) are one package.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
