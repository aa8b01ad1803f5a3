"""Decisions of the nodes without ROS: pacing, statistics, command checks, episodes. Time is injected."""
