"""Descriptions of robots, kinematics, limits and the command limiter. numpy and PyYAML only."""
