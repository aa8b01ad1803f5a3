"""What a system consists of (a table, as data), and how it is started and stopped without `ros2 launch`."""
