"""ROS 1 side: a worker process that holds Rethink's intera_interface, and the socket protocol to it."""
