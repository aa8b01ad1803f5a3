"""Where OpenCV is absent: enough for the import of intera_interface, which draws on the head display with it."""
