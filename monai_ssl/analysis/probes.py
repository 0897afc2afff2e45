"""Probes of frozen features: classes, label maps, rotation and relative position, trained beside untrained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from monai_ssl.analysis.features import TRAINED, UNTRAINED, batch_size, networks, pooled_features
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.pictures import bars
from monai_ssl.analysis.section import Picture, Section, Table, rounded
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation import (
    cross_validated_linear_probe,
    leave_one_out_knn,
    position_probe,
    rotation_probe,
    voxel_probe,
)
from monai_ssl.networks import Encoder

Item = TypeVar("Item")
Scores = dict[str, float]
"""Score in [0, 1] by question, and under ``"<question>, chance"`` what guessing scores."""

_FOLDS, _NEIGHBORS, _GAP, _JITTER = 5, 5, 3, 4
_TEST_SHARE = 3
_CHANCE = ", chance"


def probes_section(run: TrainedRun, shown: ImageSet, seed: int = 0) -> Section:
    """Ask the frozen features of both networks what they tell.

    Args:
        run: its trained and its untrained encoder.
        shown: images; classes and label maps are asked about where there are any.
        seed: of the split by patient, the cubes and the voxels.
    """
    questions, refused = [_rotation, _position], []
    if shown.classes is not None:
        questions.insert(0, _classes)
    if shown.masks is not None:
        questions.insert(0, _label_maps)
    asked_of = networks(run, shown)
    scores: dict[str, Scores] = {name: {} for name in asked_of}
    for question in questions:
        for name, encoder in asked_of.items():
            try:
                scores[name] |= question(encoder, shown, seed)
            except ValueError as error:
                refused.append(f"Not asked: {error}")
                break
    trained, untrained = scores[TRAINED], scores[UNTRAINED]
    chance = {key.removesuffix(_CHANCE): value for key, value in trained.items() if key.endswith(_CHANCE)}
    asked = [key for key in trained if key in chance]
    rows = [[key, *(rounded(of[key]) for of in (trained, untrained, chance))] for key in asked]
    said = (shown.described(), _HOW_TO_READ, _spread(shown), *refused)
    drawn = bars({key.replace(", ", "\n"): {TRAINED: trained[key], UNTRAINED: untrained[key]} for key in asked},
                 {key.replace(", ", "\n"): chance[key] for key in asked})  # fmt: skip
    numbers = {name: {key: of[key] for key in asked} for name, of in (*scores.items(), ("chance", chance))}
    head = ("Question", "Trained", "Untrained", "Chance")
    caption = "What frozen features tell; the dashed line is what guessing scores."
    pictures = (Picture(drawn, caption),) if asked else ()
    return Section("probes", "Probes", said, numbers | {"images": len(shown)}, Table(head, rows), pictures)


_HOW_TO_READ = (
    "The networks are frozen, and logistic regression or nearest neighbors answer from their features. Only what the "
    "trained network tells better than the untrained one was learned; what both tell comes from the images and the "
    "architecture. Classes are asked by cross-validation over patients, the rest on patients of their own. Scores are "
    "balanced accuracies, but of nearest neighbors the accuracy, beside the share of the most frequent class."
)


def _spread(shown: ImageSet) -> str:
    patients = len(shown.patients.unique())
    return f"With {patients} patients an accuracy of 0.5 is known to about ± {0.98 / patients**0.5:.2f} (95 %)."


def _classes(encoder: Encoder, shown: ImageSet, seed: int) -> Scores:
    del seed
    x, y, patients = pooled_features(encoder, shown), shown.classes, shown.patients
    assert y is not None
    counts = torch.bincount(y, minlength=len(shown.names)).double()
    if int((counts > 0).sum()) < 2:
        raise ValueError("the images are all of one class.")
    folds = min(_FOLDS, len(patients.unique()))
    neighbors = min(_NEIGHBORS, len(y) - int(torch.bincount(patients).max()))
    linear = cross_validated_linear_probe(x, y, folds, patients)
    return {
        "classes, linear": linear["balanced_accuracy"],
        f"classes, linear{_CHANCE}": 1 / float((counts > 0).sum()),
        "classes, kNN": leave_one_out_knn(x, y, neighbors, patients),
        f"classes, kNN{_CHANCE}": float(counts.max() / counts.sum()),
    }


def _label_maps(encoder: Encoder, shown: ImageSet, seed: int) -> Scores:
    assert shown.masks is not None
    pairs = list(zip(shown.images, shown.masks, strict=True))
    train, test = _by_patient(shown, seed, lambda i: pairs[i])
    found = voxel_probe(encoder, train, test, roi_size=shown.size, seed=seed)
    classes = len({int(c) for _, mask in test for c in mask.unique()})
    return {
        "label maps, linear": found["linear/macro"],
        f"label maps, linear{_CHANCE}": 1 / classes,
        "label maps, kNN": found["knn/macro"],
        f"label maps, kNN{_CHANCE}": 1 / classes,
    }


def _rotation(encoder: Encoder, shown: ImageSet, seed: int) -> Scores:
    # a box that is no cube would tell its turns by its shape
    side = min(shown.size) // encoder.strides[-1] * encoder.strides[-1]
    train, test = _by_patient(shown, seed, lambda i: _middle(shown.images[i], side))
    found = rotation_probe(encoder, train, test, batch_size=batch_size(shown))
    return {"rotation": found["balanced_accuracy"], f"rotation{_CHANCE}": found["chance"]}


def _position(encoder: Encoder, shown: ImageSet, seed: int) -> Scores:
    stride = encoder.strides[-1]
    cube = [(n - 2 * _GAP - 3 * _JITTER) // 3 // stride * stride for n in shown.size]
    if min(cube) < stride:
        raise ValueError(
            f"relative position needs images of {3 * stride + 2 * _GAP + 3 * _JITTER} voxels along each axis for cubes "
            f"of {stride}, these are of {list(shown.size)}; set `size`."
        )
    train, test = _by_patient(shown, seed, lambda i: shown.images[i])
    found = position_probe(
        encoder, train, test, cube, gap=_GAP, jitter=_JITTER, seed=seed, batch_size=batch_size(shown)
    )
    return {"relative position": found["balanced_accuracy"], f"relative position{_CHANCE}": found["chance"]}


def _by_patient(shown: ImageSet, seed: int, item: Callable[[int], Item]) -> tuple[list[Item], list[Item]]:
    """Return two thirds of the patients to learn from and a third to be asked about."""
    names = shown.patients.unique()
    order = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]
    tested = set(order[: max(1, len(names) // _TEST_SHARE)].tolist())
    parts: tuple[list[Item], list[Item]] = ([], [])
    for i, patient in enumerate(shown.patients.tolist()):
        parts[patient in tested].append(item(i))
    return parts


def _middle(image: Tensor, side: int) -> Tensor:
    for axis, n in enumerate(image.shape[1:], start=1):
        image = image.narrow(axis, (n - side) // 2, side)
    return image
