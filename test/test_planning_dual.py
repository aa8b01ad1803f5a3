"""The price of infeasibility follows what was executed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tdm_ros.planning.planner import RANGE, Multiplier


def test_multiplier_rises_with_misses_beyond_the_tolerance_and_falls_slowly_within():
    multiplier = Multiplier(1.0, tolerance=0.02, rate=0.5, allowed=0.1)
    assert multiplier.executed(0.03) == pytest.approx(math.exp(0.25)), "half a tolerance too much"
    assert multiplier.executed(0.02) == pytest.approx(math.exp(0.25)), "just tolerated"
    assert multiplier.executed(0.0) == pytest.approx(math.exp(0.25 - 0.05))


def test_multiplier_moves_no_faster_than_its_rate_and_stays_within_its_range():
    multiplier = Multiplier(1.0, 0.02, 0.5)
    assert multiplier.executed(100.0) == pytest.approx(math.exp(0.5))
    for _ in range(100):
        multiplier.executed(100.0)
    assert multiplier.value == RANGE[1]
    for _ in range(1000):
        multiplier.executed(0.0)
    assert multiplier.value == RANGE[0]


def test_multiplier_settles_where_the_allowed_part_misses():
    rng = np.random.default_rng(0)
    multiplier = Multiplier(1.0, tolerance=0.02, rate=0.2, allowed=0.1)
    missed = []
    for _ in range(4000):
        missed.append(rng.random() < 1 / (1 + multiplier.value))  # the dearer, the more careful
        multiplier.executed(1.0 if missed[-1] else 0.0)
    assert sum(missed[1000:]) / 3000 == pytest.approx(0.1, abs=0.02)


def test_multiplier_of_zero_leaves_the_constraint_out_for_good():
    assert Multiplier(0.0, 0.02).executed(1.0) == 0.0


@pytest.mark.parametrize("miss", [math.nan, math.inf])
def test_multiplier_does_not_look_at_a_miss_that_is_no_number(miss):
    assert Multiplier(2.0, 0.02).executed(miss) == 2.0


@pytest.mark.parametrize(("value", "tolerance"), [(-1.0, 0.02), (1.0, 0.0), (math.nan, 0.02)])
def test_multiplier_that_makes_no_sense_is_rejected(value, tolerance):
    with pytest.raises(ValueError, match="Multiplier needs"):
        Multiplier(value, tolerance)
