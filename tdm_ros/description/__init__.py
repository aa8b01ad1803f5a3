"""Sawyer written down for others, from the one table of facts: URDF, SDF, worlds and the bridge to Gazebo."""
