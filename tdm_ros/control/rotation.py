"""Conversion between rotation matrices and quaternions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def quaternion_wxyz(rotation: ArrayLike) -> NDArray[np.float64]:
    """Unit quaternion (w, x, y, z) with w >= 0 of a rotation matrix, (3, 3).

    Source: the largest eigenvector of Bar-Itzhack's symmetric 4 x 4 matrix (2000); no case distinction,
    and it stays accurate for matrices that are slightly off.
    """
    r = np.asarray(rotation, np.float64)
    off = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    k = np.empty((4, 4))
    k[0, 0] = np.trace(r)
    k[0, 1:] = k[1:, 0] = off
    k[1:, 1:] = r + r.T - np.trace(r) * np.eye(3)
    quaternion = np.linalg.eigh(k)[1][:, -1]
    return quaternion if quaternion[0] >= 0 else -quaternion


def rotation_of(quaternion_wxyz: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrix, (3, 3), of a quaternion (w, x, y, z) of any length but zero."""
    w, x, y, z = np.asarray(quaternion_wxyz, np.float64) / np.linalg.norm(quaternion_wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
