"""The speed benchmark measures what it says it measures."""

import numpy as np
import torch

from benchmarks.floor import arithmetic, products
from benchmarks.speed import Subject, in_turns, measure
from benchmarks.speed_table import table
from tdm_ros.tdm.config import TdmConfig

TASK = "tasks_for_tests:make_point"


def test_products_are_those_of_forward_and_backward_passes():
    inputs, actions, goals, hidden, batch = 5, 2, 3, 16, 8
    count = {shape[:3]: shape.times for shape in products(inputs, actions, goals, hidden, batch)}
    # Two target critics, two critics and the first one again; target actor and actor.
    assert count[batch, inputs + actions, hidden] == 5 and count[batch, inputs, hidden] == 2
    # Weights of the first layers; nothing flows back to the inputs, but for the action.
    assert count[inputs + actions, batch, hidden] == 2 and count[inputs, batch, hidden] == 1
    assert (batch, hidden, inputs + actions) not in count
    assert count[batch, hidden, actions] == 2 + 1  # the actor's heads, and the slope over the action
    # Hidden layers: 5 + 2 forwards, 2 + 1 backwards, 1 through the first critic.
    assert count[batch, hidden, hidden] == 11 and count[hidden, batch, hidden] == 3


def test_arithmetic_does_every_product(monkeypatch):
    done = []
    mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, out: (done.append((*a.shape, b.shape[1])), mm(a, b, out=out))[1])
    wanted = products(5, 2, 3, 16, 8)
    arithmetic(wanted, "cpu")()
    assert len(done) == sum(product.times for product in wanted)
    assert {product[:3] for product in wanted} == set(done)


def test_in_turns_divides_by_units_and_leaves_the_warm_up_out():
    calls = []
    found = in_turns(
        {"a": Subject(lambda: calls.append("a"), 1), "b": Subject(lambda: calls.append("b"), 10)}, 3, "cpu"
    )
    assert calls == ["a", "b"] * 4 and set(found) == {"a", "b"} and all(np.isfinite(list(found.values())))


def test_speed_is_measured_and_tabled_with_ratios():
    config = TdmConfig(hidden_size=16, batch_size=16, learning_starts=80, initial_gradient_steps=8)
    result = measure(TASK, config, rounds=1)
    assert min(result["us"][key] for key in ("floor", "tdm update", "tdm sample", "td3 both", "sac both")) > 0
    lines = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in table(result).splitlines() if "|" in line}
    own, td3, _, ratio, _, floor, to_floor, aim, met = (cell.strip() for cell in lines["gradient update, us"])
    np.testing.assert_allclose(float(ratio), float(own) / float(td3), rtol=0.02)
    np.testing.assert_allclose(float(to_floor), result["us"]["tdm update"] / result["us"]["floor"], atol=0.06)
    assert (aim, met) == ("<= 3 x floor", "yes" if result["us"]["tdm update"] <= 3 * result["us"]["floor"] else "no")
    assert float(floor) > 0 and float(lines["one decision, p50, us"][0]) > 0
