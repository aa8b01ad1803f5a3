"""Definition of a system (a table, as data), and its start and stop without `ros2 launch`."""
