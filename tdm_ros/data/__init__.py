"""Recordings: read, look at, cut, join, check, convert. Knows neither torch nor ROS."""
