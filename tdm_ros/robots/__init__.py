"""Sawyer facts, kinematics, limits and the command limiter. numpy only."""
