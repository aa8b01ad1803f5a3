"""Benchmarks: one command a table. See docs/benchmarks.md."""

import os

from tdm_ros.bringup.environment import ONE_THREAD

# Before numpy is imported: its threads would wait for each other on small matrices, and every run is to have one core.
for _name in ONE_THREAD:
    os.environ.setdefault(_name, "1")
