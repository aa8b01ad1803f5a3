"""Object that a simulated arm pushes: it is put back when it has been out of reach for a while."""

from __future__ import annotations

import numpy as np

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.tasks.pushing import PushSetup

PUT_BACK_S = 2.0


class SimulatedObject:
    """The object in ``sim``, placed at random; ``update`` is called ``rate_hz`` times per second of its time."""

    def __init__(self, sim: ArmSim, setup: PushSetup, rate_hz: float) -> None:
        self._sim, self._setup, self._patience = sim, setup, int(PUT_BACK_S * rate_hz)
        self._rng, self._lost = np.random.default_rng(0), 0
        self._place()

    def update(self) -> tuple[float, float]:
        """Return where it is, x and y [m], and put it back if it has been out of reach for `PUT_BACK_S`."""
        x, y = self._sim.object_m().tolist()
        self._lost = 0 if self._setup.movable((x, y)) else self._lost + 1
        if self._lost > self._patience:
            self._place()
        return x, y

    def _place(self) -> None:
        """Put it at a random place of its box."""
        self._sim.place_object(self._rng.uniform(self._setup.object_low_m, self._setup.object_high_m))
        self._lost = 0
