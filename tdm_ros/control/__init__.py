"""What the nodes decide, without ROS: pacing, statistics, command checks, episodes. Time is injected."""
