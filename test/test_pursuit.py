"""A policy without a deadline keeps its promises: what it could reach in time, it does not put off."""

import numpy as np

from tdm_ros.tdm.actor import HorizonSelector

GOAL, OTHER = np.zeros(1, np.float32), np.ones(1, np.float32)


class Promising:
    """Stands for an actor that always finds the longest horizon best; notes what it was allowed."""

    class features:  # noqa: N801 - the attribute of that name
        horizon = 4

    def __init__(self, choices=None):
        self.allowed, self._choices = [], choices

    def select_horizon(self, observation, achieved, goal, most):
        self.allowed.append(most)
        chosen = min(most, self._choices.pop(0)) if self._choices else most
        return np.array([chosen], np.float32), chosen, np.zeros(most + 1)


def run(actor, goals):
    selector = HorizonSelector()
    for goal in goals:
        selector.act(actor, GOAL, GOAL, goal)
    return actor.allowed


def test_pursuit_a_chosen_horizon_runs_down_before_the_next_is_free():
    assert run(Promising(), [GOAL] * 7) == [4, 3, 2, 1, 0, 4, 3]


def test_pursuit_a_shorter_horizon_may_replace_it():
    assert run(Promising([4, 1, 4]), [GOAL] * 5) == [4, 3, 0, 4, 3]


def test_pursuit_another_goal_starts_anew():
    assert run(Promising(), [GOAL, GOAL, OTHER, OTHER]) == [4, 3, 4, 3]
