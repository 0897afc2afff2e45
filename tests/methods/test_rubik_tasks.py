"""X-7 and X-8 of docs/properties.md for the Rubik's cubes, task by task."""

from __future__ import annotations

import math

import pytest
import torch
from test_predictive_tasks import learn, noise

from monai_ssl.methods import Method, Rubik, RubikPlus
from monai_ssl.networks import ConvEncoder
from monai_ssl.transforms import BatchViews, RandCubeMaskd, RandRubikd, permutation_table

pytestmark = pytest.mark.slow

TABLE = permutation_table(8, 20)
CHANCE = {"order_accuracy": 1 / 20, "horizontal_accuracy": 1 / 2, "vertical_accuracy": 1 / 2}


def rubik():
    torch.manual_seed(0)
    task = RandRubikd("view", (8, 8, 8), TABLE, gap=1, jitter=1)
    return Rubik(ConvEncoder(widths=(8, 16, 16)), TABLE, dim=32, hidden=128), task, task.grid.extent


@torch.no_grad()
def accuracies(method: Method, tasks: list, images: torch.Tensor, rounds: int = 20) -> dict[str, float]:
    """Return the mean of each metric over ``rounds`` draws for each of the images."""
    views = BatchViews(tasks).set_random_state(1)
    found = [method.metrics(views({"view": images})) for _ in range(rounds)]
    return {name: float(torch.stack([f[name] for f in found]).mean()) for name in found[0]}


def test_order_and_turns_of_four_volumes_are_learned():
    torch.manual_seed(0)
    # rough cubes at fixed places: to learn the turn of a smooth one takes thousands of steps
    task = RandRubikd("view", (8, 8, 8), TABLE, gap=1, jitter=0)
    method = Rubik(ConvEncoder(widths=(8, 16, 16)), TABLE, dim=32, hidden=128)
    four = noise(4, task.grid.extent)
    learned = learn(method, [task], lambda step: four.repeat(6, 1, 1, 1, 1), steps=500, lr=1.5e-3)
    found = accuracies(learned, [task], four)
    assert all(found[name] > 0.95 for name in CHANCE), found


def test_masks_of_four_volumes_are_learned():
    torch.manual_seed(0)
    tasks = [RandRubikd("view", (8, 8, 8), TABLE, gap=1, jitter=0), RandCubeMaskd("cells")]
    method = RubikPlus(ConvEncoder(widths=(8, 16, 16)), TABLE, dim=32, hidden=128)
    four = noise(4, tasks[0].grid.extent)
    learned = learn(method, tasks, lambda step: four.repeat(6, 1, 1, 1, 1), steps=150, lr=1e-3)
    assert accuracies(learned, tasks, four)["mask_accuracy"] > 0.95


def test_white_noise_stays_at_chance():
    method, task, size = rubik()
    learned = learn(method, [task], lambda step: noise(24, size, step), steps=100)
    found = accuracies(learned, [task], noise(40, size, seed=10**6))
    for name, chance in CHANCE.items():
        questions = 40 * 20 * (1 if name == "order_accuracy" else 8)
        assert abs(found[name] - chance) < 3 * math.sqrt(chance * (1 - chance) / questions), (name, found)
