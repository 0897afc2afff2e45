"""X-7 and X-8 of docs/properties.md: what predictive methods can learn, and that there is no shortcut."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import Jigsaw, Method, RelativeLocation, Rotation
from monai_ssl.networks import ConvEncoder
from monai_ssl.transforms import (
    BatchViews,
    RandJigsawd,
    RandRelativeLocationd,
    RandRotationTaskd,
    RandTask,
    permutation_table,
)

pytestmark = pytest.mark.slow

TABLE = permutation_table(8, 20)


def blobs(count: int, size: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Smooth random images (count, 1, *size) in [0, 1]: each has its own anatomy, which no rotation keeps."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, *[4] * len(size), generator=generator)
    return F.interpolate(coarse, size, mode="trilinear" if len(size) == 3 else "bilinear", align_corners=True)


def noise(count: int, size: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """White noise (count, 1, *size): nothing in it tells directions or places apart."""
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(seed))


def learn(
    method: Method,
    tasks: RandTask | list,
    images: Callable[[int], torch.Tensor],
    *,
    steps: int,
    lr: float = 4e-3,
    shuffled: bool = False,
) -> Method:
    """Train ``method`` on the tasks over ``images(step)``; with wrong answers if ``shuffled``."""
    torch.manual_seed(0)
    method, views = copy.deepcopy(method).train(), BatchViews(tasks if isinstance(tasks, list) else [tasks])
    views.set_random_state(0)
    optimizer = torch.optim.Adam(method.parameters(), lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for step in range(steps):
        batch = views({"view": images(step)})
        if shuffled:
            batch["label"] = batch["label"][torch.randperm(len(batch["label"]))]
        optimizer.zero_grad()
        torch.stack(list(method(batch).values())).sum().backward()
        optimizer.step()
        schedule.step()
    return method.eval()


@torch.no_grad()
def accuracy(method: Method, task: RandTask, images: torch.Tensor, rounds: int = 20) -> float:
    """Return the share of right answers over ``rounds`` draws for each of the images."""
    views = BatchViews([task]).set_random_state(1)
    right = [float(method.metrics(views({"view": images}))["accuracy"]) for _ in range(rounds)]
    return sum(right) / rounds


def rotation():
    return Rotation(ConvEncoder(widths=(8, 16, 16)), hidden=64), RandRotationTaskd("view"), (12, 12, 12), 10


def relative_location():
    task = RandRelativeLocationd("view", (8, 8, 8), gap=1, jitter=1)
    return RelativeLocation(ConvEncoder(widths=(8, 16, 16))), task, task.grid.extent, 26


def jigsaw():
    task = RandJigsawd("view", (8, 8, 8), TABLE, gap=1, jitter=1)
    return Jigsaw(ConvEncoder(widths=(8, 16, 16)), TABLE, dim=32, hidden=128), task, task.grid.extent, 20


@pytest.fixture(params=[(rotation, 120), (relative_location, 600), (jigsaw, 80)], ids=lambda p: p[0].__name__)
def case(request):
    """A method, its task, the size of the images, the number of answers, and steps that suffice to learn."""
    torch.manual_seed(0)
    return *request.param[0](), request.param[1]


def spread(answers: int, questions: int) -> float:
    """Three standard deviations of the share of right answers by chance."""
    return 3 * math.sqrt((answers - 1) / answers**2 / questions)


def test_four_volumes_are_learned_and_wrong_labels_teach_nothing(case):
    method, task, size, answers, steps = case
    four = blobs(4, size)
    learned = learn(method, task, lambda step: four.repeat(6, 1, 1, 1, 1), steps=steps)
    assert accuracy(learned, task, four) > 0.95
    wrong = learn(method, task, lambda step: four.repeat(6, 1, 1, 1, 1), steps=min(steps, 150), shuffled=True)
    found = accuracy(wrong, task, blobs(40, size, seed=10**6))
    # answers for similar blobs are alike, which widens the spread
    assert abs(found - 1 / answers) < 2 * spread(answers, 40 * 20)


def test_white_noise_stays_at_chance(case):
    method, task, size, answers, steps = case
    on_noise = learn(method, task, lambda step: noise(24, size, seed=step), steps=min(steps, 150))
    found = accuracy(on_noise, task, noise(40, size, seed=10**6))
    assert abs(found - 1 / answers) < spread(answers, 40 * 20)
