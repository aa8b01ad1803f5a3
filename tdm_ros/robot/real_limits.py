"""Bounds of a real Sawyer: slow, and away from its table, its joint limits and itself."""

from __future__ import annotations

from tdm_ros.robot.limits import Limits


def real_limits(table_height_m: float = 0.0, tool_length_m: float = 0.0) -> Limits:
    """Conservative limits for a Sawyer at a table.

    Parameters
    ----------
    table_height_m : float
        Of the table top, or whatever is highest in front of the arm, in frame base [m].
    tool_length_m : float
        How far a tool reaches beyond frame right_hand [m]. It is kept off the table where it points down; other
        directions, and its width, are not modelled.

    Raises
    ------
    ValueError
        If nothing is left above the table.
    """
    return Limits(
        box_low_m=(0.39, -0.31, 0.05 + table_height_m + tool_length_m),
        box_high_m=(0.76, 0.41, 0.51),
        joint_margin_rad=0.1,
        velocity_scale=0.25,
        look_ahead_s=0.68,
        age_max_s=0.1,
        delay_s=0.2,
        acceleration_scale=0.25,
        links_low_m=(-0.25, -0.65, 0.02 + table_height_m),
        links_high_m=(0.95, 0.75, 1.1),
        hand_speed_m_s=0.2,
        singular_m=0.1,
        clearance_m=0.02,
    )


REAL_LIMITS = real_limits()
"""A bare flange over a table at the height of frame base. The hand's box leaves out what only a stretched arm reaches;
elbow and links have room around what this box needs of them."""
