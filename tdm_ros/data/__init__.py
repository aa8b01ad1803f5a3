"""Durable log and recordings: write, read, recover, inspect, edit, export. Independent of torch and ROS."""
