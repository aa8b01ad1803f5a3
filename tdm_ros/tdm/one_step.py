"""One-step model: the motion of the goal point over one step, affine in the action, and its closed-form policy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MEMBERS = 3
"""Networks of the ensemble."""
DAMPING = 0.01
"""Damping of the least squares, where the motion of the random phase has a root mean square of one."""
LEAST_DAMPING = 1e-6
"""Damping as a fraction of the trace of the normal matrix: in single precision a large Jacobian hides `DAMPING`, and
the matrix would have no inverse."""
SATURATION = 0.9
"""Factor of the base action, so that an actor can correct it in both directions."""
TRUST_FROM, TRUST_TO = 0.5, 0.8
"""Fraction of the wanted motion that the model can make, from which the closed form is trusted, and trusted fully."""
SMALLEST_MOTION = 1e-6
"""Squared motion below which the closed form is not trusted, in the same unit."""


def split_motion(out: Any, goals: int) -> tuple[Any, Any]:
    """Jacobian (..., G, A) and drift (..., G) from the output of the networks, (..., G * (A + 1))."""
    parts = out.reshape(*out.shape[:-1], goals, out.shape[-1] // goals)  # not -1: a batch may be empty
    return parts[..., :-1], parts[..., -1]


class ClosedForm:
    """Actions whose predicted motion is closest to the wanted one: damped least squares, over all members.

    Where the members disagree about the Jacobian, the action is smaller, as with more damping. The drift is their mean:
    with that of each member, joints that hardly move the goal would move to make up for errors of the drifts. An action
    beyond the box is scaled down as a whole, so that its direction is kept.

    Parameters
    ----------
    jacobian : (M, B, G, A)
    drift : (M, B, G)
        Motion without action.
    gap : (B, G)
        Wanted motion. Its unit, and that of the model's, is ``Features.motion_scale``.

    Attributes
    ----------
    action : (B, A) in [-1, 1]
    trust : (B, 1) in [0, 1]
        From the fraction of the wanted motion that the model can make, however large the action: one minus the root
        mean square over the members of what remains. It is small where the members disagree, and where the actions do
        not move a part of the goal (an object that is not in the hand).
    base_action : (B, A) in [-1, 1]
        ``SATURATION * trust * action``, which the actor corrects.

    Source: damped least-squares inverse kinematics (Wampler, 1986), residual policy learning (arXiv 1812.06298).
    """

    def __init__(self, jacobian: Array, drift: Array, gap: Array) -> None:
        self._jacobian, self._drift = jacobian, drift
        transposed = jacobian.swapaxes(-1, -2)
        normal = (transposed @ jacobian).mean(axis=0)
        damping = DAMPING + np.float32(LEAST_DAMPING) * np.trace(normal, axis1=-2, axis2=-1)[:, None, None]
        self._inverse = np.linalg.inv(normal + damping * np.eye(normal.shape[-1], dtype=np.float32))
        self._wanted = gap - drift
        raw = self._inverse @ transposed.mean(axis=0) @ self._wanted.mean(axis=0)[..., None]
        self._raw = raw[..., 0]
        self._left = self._wanted - (jacobian @ raw)[..., 0]
        self._size = np.maximum(np.abs(self._raw).max(axis=-1, keepdims=True), 1)
        self.action: Array = self._raw / self._size
        self._left_square, self._wanted_square = (
            np.square(motion).sum(axis=-1).mean(axis=0)[:, None] for motion in (self._left, self._wanted)
        )
        self._wanted_square += np.float32(SMALLEST_MOTION)
        self._remaining = np.sqrt(self._left_square / self._wanted_square)
        self.trust: Array = np.clip((1 - self._remaining - TRUST_FROM) / (TRUST_TO - TRUST_FROM), 0, 1)
        self.base_action: Array = np.float32(SATURATION) * self.trust * self.action

    def motion(self) -> Array:
        """Predicted motion with `action`, (M, B, G)."""
        moved: Array = (self._jacobian @ self.action[..., None])[..., 0] + self._drift
        return moved

    def motion_vjp(self, gradient: Array) -> Array:
        """Gradient with respect to the gap, (B, G), from that with respect to `motion` of the first members."""
        return self._action_vjp(np.einsum("mbga,mbg->ba", self._jacobian[: len(gradient)], gradient))

    def base_action_vjp(self, gradient: Array) -> Array:
        """Gradient with respect to the gap, (B, G), from that with respect to `base_action`, (B, A)."""
        gradient = np.float32(SATURATION) * gradient
        by_trust = (gradient * self.action).sum(axis=-1, keepdims=True) / (TRUST_TO - TRUST_FROM)
        by_trust *= (self.trust > 0) & (self.trust < 1)
        pulled = (self._jacobian.swapaxes(-1, -2) @ self._left[..., None]).mean(axis=0)
        by_left = 2 * (self._left.mean(axis=0) - self._gap_gradient(pulled[..., 0]))
        ratio = np.maximum(self._remaining, np.float32(1e-6))
        by_ratio = (by_left - 2 * ratio**2 * self._wanted.mean(axis=0)) / self._wanted_square
        return self._action_vjp(self.trust * gradient) - 0.5 * by_trust / ratio * by_ratio

    def _action_vjp(self, gradient: Array) -> Array:
        """Gradient with respect to the gap, (B, G), from that with respect to `action`, (B, A)."""
        scaled = gradient / self._size
        rows, largest = np.arange(len(scaled)), np.abs(self._raw).argmax(axis=-1)
        along = (scaled * self.action).sum(axis=-1) * np.sign(self._raw[rows, largest])
        scaled[rows, largest] -= np.where(self._size[:, 0] > 1, along, 0)
        return self._gap_gradient(scaled)

    def _gap_gradient(self, by_raw: Array) -> Array:
        """Gradient with respect to the gap, (B, G), from that with respect to the action before the scaling, (B, A)."""
        mean: Array = (self._jacobian.mean(axis=0) @ (self._inverse @ by_raw[..., None]))[..., 0]
        return mean
