"""Methods that answer with one of several labels: the cost of chance and of certainty, and what accuracy counts."""

import math

import pytest
import test_jigsaw
import test_relative_location
import test_rotation
import torch

CASES = {
    "rotation": (lambda: (test_rotation.make(), test_rotation.batch(), "rotation", ("view",)), 10),
    "rotation in 2-D": (lambda: (test_rotation.make(2), test_rotation.batch(2), "rotation", ("view",)), 4),
    "jigsaw": (lambda: (test_jigsaw.make(), test_jigsaw.puzzle()[1], "permutation", ("cells",)), 20),
    "relative location": (
        lambda: (test_relative_location.make(), test_relative_location.batch(), "location", ("anchor", "query")),
        26,
    ),
}


@pytest.mark.parametrize(("build", "answers"), CASES.values(), ids=CASES)
def test_chance_costs_the_logarithm_and_certainty_nothing(build, answers):
    method, data, term, _ = build()
    last = method.classifier[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    assert method(data)[term].item() == pytest.approx(math.log(answers), rel=1e-6)
    data["label"] = torch.full_like(data["label"], 2)
    with torch.no_grad():
        last.bias[2] = 50.0
    assert method(data)[term].item() == pytest.approx(0, abs=1e-6)
    assert method.metrics(data)["accuracy"] == 1


@pytest.mark.parametrize(("build", "answers"), CASES.values(), ids=CASES)
def test_accuracy_counts_right_answers(build, answers):
    method, data, _, keys = build()
    found = method.eval().logits(*(data[key] for key in keys)).argmax(1)
    right = torch.arange(len(found)) < 1
    data["label"] = torch.where(right, found, (found + 1) % answers)
    assert method.metrics(data)["accuracy"].item() == pytest.approx(1 / len(found))
