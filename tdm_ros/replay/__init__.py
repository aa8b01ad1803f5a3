"""Trajectory store, goal and horizon relabelling, durable log. Independent of torch and ROS."""

from tdm_ros.replay.relabel import Batch, GoalMix, sample_batches
from tdm_ros.replay.store import Step, TrajectoryStore

__all__ = ["Batch", "GoalMix", "Step", "TrajectoryStore", "sample_batches"]
