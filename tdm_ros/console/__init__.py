"""The page in the browser: what it shows, what it may ask for, and who may open it. No ROS in here."""
