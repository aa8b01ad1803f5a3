"""Trajectory store, relabelling of goals and horizons. Independent of torch and ROS."""

from tdm_ros.replay.relabel import Batch, GoalMix, sample_batches
from tdm_ros.replay.store import TrajectoryStore
from tdm_ros.types import Step

__all__ = ["Batch", "GoalMix", "Step", "TrajectoryStore", "sample_batches"]
