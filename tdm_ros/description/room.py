"""Surroundings of the arm: floor, table and, for pushing, a puck and a fork in the hand."""

from __future__ import annotations

FLOOR_M = -0.913
"""Height of the floor in frame base."""

TABLE_NEAR_M, TABLE_FAR_M, TABLE_HALF_WIDTH_M = 0.3, 1.1, 0.65
"""The table top is at z = 0 in frame base and begins in front of the pedestal."""

HAND_HEIGHT_M = 0.09
"""Of the hand above the table; the fork hangs below it, at half the height of the puck."""

PUCK_RADIUS_M = 0.045
PUCK_HALF_HEIGHT_M = 0.03
PUCK_MASS_KG = 0.2
PUCK_DAMPING_N_S_M = 2.0
PUCK_FRICTION_N = 0.5
"""Dry friction stops it within a centimetre or two."""
PUCK_RGBA = (0.15, 0.35, 0.75, 1.0)

FORK_RADIUS_M = 0.012
_HALF_WIDTH_M = 0.075
_BACK_M = PUCK_RADIUS_M + FORK_RADIUS_M
_FRONT_M = 0.065
"""From the hand backwards and ahead: a puck at the back of the fork is right below the hand."""
_DROP_M = HAND_HEIGHT_M - PUCK_HALF_HEIGHT_M
_LEFT_M, _RIGHT_M = (_HALF_WIDTH_M, -_BACK_M, _DROP_M), (-_HALF_WIDTH_M, -_BACK_M, _DROP_M)

Point = tuple[float, float, float]
FORK_BARS_M: tuple[tuple[Point, Point], ...] = (
    ((0.0, 0.0, 0.0), (0.0, -_BACK_M, 0.0)),
    ((0.0, -_BACK_M, 0.0), (0.0, -_BACK_M, _DROP_M)),
    (_LEFT_M, _RIGHT_M),
    (_LEFT_M, (_HALF_WIDTH_M, _FRONT_M, _DROP_M)),
    (_RIGHT_M, (-_HALF_WIDTH_M, _FRONT_M, _DROP_M)),
)
"""Its bars from end to end, in the frame of the hand: x to the robot's left, y ahead, z down."""
