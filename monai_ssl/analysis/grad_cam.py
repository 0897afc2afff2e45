"""Grad-CAM of some images of each class, beside the same for the untrained network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_ssl.analysis.classifier import Classifiers, probabilities
from monai_ssl.analysis.features import batch_size
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.pictures import heat_sheet
from monai_ssl.analysis.section import Picture, Section, Table, rounded
from monai_ssl.evaluation import grad_cam

_A_CLASS, _MOST = 3, 12


def grad_cam_section(look: Classifiers, shown: ImageSet) -> Section:
    """Show where the classifiers look, and how often they are right.

    Args:
        look: the classifiers.
        shown: images; those that the classifiers were not fitted on are shown.
    """
    found = {name: probabilities(look, name, shown) for name in look.networks}
    chosen = _chosen(look, shown)
    first = next(iter(found.values()))
    decided = first[chosen].argmax(1)
    heats = {name: heat_of(network, shown, chosen, decided) for name, network in look.networks.items()}
    titles = [
        _title(n, shown, look, first, i, int(c))
        for n, (i, c) in enumerate(zip(chosen.tolist(), decided, strict=True), 1)
    ]
    accuracy = {name: _accuracy(p, look, shown) for name, p in found.items()}
    said = (
        shown.described(),
        look.said,
        "Bright is what raises the logit of the class that the first classifier decides for, on the coarsest map. Maps "
        "that look alike for the untrained network are edges of the image, not what was learned (Adebayo et al. 2018).",
    )
    picture = Picture(heat_sheet(shown.images[chosen], heats, titles), "Image, and Grad-CAM over it.")
    rows = [[name, rounded(value)] for name, value in accuracy.items()]
    numbers = {"accuracy": accuracy, "tested_images": int(look.tested.sum()), "shown_images": len(chosen)}
    return Section(
        "gradcam", "Where it looks (Grad-CAM)", said, numbers, Table(("Classifier", "Accuracy"), rows), (picture,)
    )


def heat_of(network: nn.Module, shown: ImageSet, chosen: Tensor, classes: Tensor) -> Tensor:
    """Return Grad-CAM maps (n, 1, *spatial) in [0, 1] of the images ``chosen`` (n,) for one class each."""
    parts = zip(chosen.split(batch_size(shown)), classes.split(batch_size(shown)), strict=True)
    return torch.cat([grad_cam(network, shown.images[some], wanted).cpu() for some, wanted in parts])


def _chosen(look: Classifiers, shown: ImageSet) -> Tensor:
    numbers = look.tested.nonzero().flatten()
    if shown.classes is None:
        return numbers[:_MOST]
    groups = [numbers[shown.classes[numbers] == c][:_A_CLASS] for c in shown.classes.unique().tolist()]
    return torch.cat(groups)[:_MOST]


def _accuracy(found: Tensor, look: Classifiers, shown: ImageSet) -> float | None:
    if shown.classes is None:
        return None
    decided = [look.classes[k] for k in found.argmax(1)[look.tested].tolist()]
    true = [shown.names[k] for k in shown.classes[look.tested].tolist()]
    return sum(a == b for a, b in zip(decided, true, strict=True)) / max(1, len(true))


def _title(number: int, shown: ImageSet, look: Classifiers, found: Tensor, i: int, decided: int) -> str:
    truth = "" if shown.classes is None else f"\n{shown.names[int(shown.classes[i])]}"
    return f"image {number}{truth}\n→ {look.classes[decided]} {float(found[i, decided]):.2f}"
