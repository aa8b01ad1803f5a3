"""Recordings: read, inspect, trim, merge, validate, convert. Independent of torch and ROS."""
