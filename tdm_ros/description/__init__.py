"""Description of Sawyer for other programs, from one table of facts: URDF, SDF, worlds and the bridge to Gazebo."""
