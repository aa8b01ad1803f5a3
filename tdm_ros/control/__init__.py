"""What the nodes decide, without ROS: pacing, statistics, command checks, the episode state machine. Time is injected."""
