"""Page in the browser: content, permitted requests, access control. Independent of ROS."""
