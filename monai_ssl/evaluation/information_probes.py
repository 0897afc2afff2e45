"""Information probes of frozen features: linear prediction of rotation and of relative location.

Zhou et al., "Preservational Learning Improves Self-supervised Medical Image Models by Reconstructing Diverse Contexts",
ICCV 2021, https://arxiv.org/abs/2109.04379, Table 1: the encoder is fixed, one linear layer answers. The questions are
those of the pretext tasks, ``transforms/rotation.py`` and ``transforms/relative_location.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from monai_ssl.evaluation.probes import linear_probe
from monai_ssl.networks import Encoder
from monai_ssl.networks.modes import device_of, evaluating
from monai_ssl.transforms import RandRelativeLocationd, directions, rotate, valid_rotations

Asked = tuple[Tensor, Tensor]
"""Vectors (N, D) of what was asked about one image (1, C, *spatial), and the right answers (N,)."""


def rotation_probe(
    encoder: Encoder, train: Sequence[Tensor], test: Sequence[Tensor], *, batch_size: int = 8, strength: float = 1.0
) -> dict[str, float]:
    """Tell by which quarter turns test images were rotated, as learned linearly on training images.

    Every image is asked in all rotations that keep its shape: 10 of a cube, 4 of a square, fewer of others. An image
    without an upper side cannot be answered by anyone; compare with ``chance`` and between encoders.

    Args:
        encoder: its pooled coarsest map is the representation; in evaluation mode for the time.
        train: images (C, *spatial), all of one shape.
        test: as ``train``, of other patients.
        batch_size: images in a forward pass.
        strength: inverse penalty of logistic regression.

    Returns:
        ``accuracy``, ``balanced_accuracy`` and ``chance``, in [0, 1].

    Raises:
        ValueError: when images differ in shape or there are none.
    """
    _check(train, test)
    labels = torch.tensor(valid_rotations(train[0].shape[1:]))

    def ask(image: Tensor) -> Asked:
        turned = rotate(image.repeat(len(labels), *[1] * (image.ndim - 1)), labels)
        return _represent(encoder, turned, batch_size), labels

    return _scored(encoder, (train, ask), (test, ask), strength) | {"chance": 1 / len(labels)}


def position_probe(
    encoder: Encoder,
    train: Sequence[Tensor],
    test: Sequence[Tensor],
    cube: Sequence[int],
    *,
    gap: int | Sequence[int] = 3,
    jitter: int | Sequence[int] = 4,
    pairs: int = 8,
    seed: int = 0,
    batch_size: int = 8,
    strength: float = 1.0,
) -> dict[str, float]:
    """Tell on which side of the middle cube of a test image another one lies: 26 directions, in 2-D 8.

    The vectors of both cubes stand side by side before the linear layer. The same seed cuts the same cubes whatever
    the encoder, so that encoders compare in pairs.

    Args:
        encoder: its pooled coarsest map is the representation of a cube; in evaluation mode for the time.
        train: images (C, *spatial), all of one shape.
        test: as ``train``, of other patients.
        cube: voxels of a cube along each axis, divisible by the coarsest stride of the encoder.
        gap: least number of voxels between cubes, so that no edge continues; the paper has none, 0.
        jitter: largest move of a cube inside its cell.
        pairs: drawn of each image.
        seed: of the pairs.
        batch_size: cubes in a forward pass.
        strength: inverse penalty of logistic regression.

    Returns:
        ``accuracy``, ``balanced_accuracy`` and ``chance``, in [0, 1].

    Raises:
        ValueError: when images differ in shape, there are none, or they are smaller than the grid of cubes.
    """
    _check(train, test)

    def asker(stream: int) -> Callable[[Tensor], Asked]:
        task = RandRelativeLocationd("image", cube, gap=gap, jitter=jitter)
        task.set_random_state(seed=2 * seed + stream)

        def ask(image: Tensor) -> Asked:
            asked = task.batch({"image": image.expand(pairs, *image.shape[1:])})
            vectors = [_represent(encoder, asked[name], batch_size) for name in task.names]
            return torch.cat(vectors, dim=1), asked["label"]

        return ask

    chance = 1 / len(directions(len(cube)))
    return _scored(encoder, (train, asker(0)), (test, asker(1)), strength) | {"chance": chance}


def _scored(
    encoder: Encoder,
    train: tuple[Sequence[Tensor], Callable[[Tensor], Asked]],
    test: tuple[Sequence[Tensor], Callable[[Tensor], Asked]],
    strength: float,
) -> dict[str, float]:
    with evaluating(encoder):
        train_x, train_y = _ask_all(*train)
        test_x, test_y = _ask_all(*test)
    scores = linear_probe(train_x, train_y, test_x, test_y, strength)
    return {name: scores[name] for name in ("accuracy", "balanced_accuracy")}


def _ask_all(images: Sequence[Tensor], ask: Callable[[Tensor], Asked]) -> Asked:
    # one image after the other, so that what is drawn of it does not depend on the batch
    asked = [ask(torch.as_tensor(image).float()[None]) for image in images]
    vectors, answers = zip(*asked, strict=True)
    return torch.cat(vectors), torch.cat(answers)


@torch.no_grad()
def _represent(encoder: Encoder, images: Tensor, batch_size: int) -> Tensor:
    device = device_of(encoder)
    return torch.cat([encoder.pooled(some.to(device)).float().cpu() for some in images.split(batch_size)])


def _check(train: Sequence[Tensor], test: Sequence[Tensor]) -> None:
    shapes = {tuple(image.shape) for image in (*train, *test)}
    if len(shapes) != 1 or len(train) == 0 or len(test) == 0:
        raise ValueError(
            "The probe needs images to learn from and others to be asked about, all of one shape, got "
            f"{len(train)} and {len(test)} of shapes {sorted(shapes)}."
        )


__all__ = ["position_probe", "rotation_probe"]
