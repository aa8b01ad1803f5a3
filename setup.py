"""For `pip install .` where there is no ROS 2; everything it needs to know stands in pyproject.toml."""

from setuptools import setup

setup()
