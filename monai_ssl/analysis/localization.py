"""Localization: do Grad-CAM maps of a classifier find what boxes or label maps mark?"""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ssl.analysis.classifier import Classifiers, probabilities
from monai_ssl.analysis.grad_cam import heat_of
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.pictures import heat_sheet
from monai_ssl.analysis.section import Picture, Section, Table, rounded
from monai_ssl.evaluation import energy_in_mask, heat_boxes, localization_scores, pointing_hit

_SHOWN = 8
_COLUMNS = {
    "iou": "IoU",
    "accuracy/0.5": "Found at IoU 0.5",
    "false_positives/0.5": "Wrong boxes an image",
    "pointing_hit": "Hottest voxel in the box",
    "energy": "Heat in the box",
    "box_share": "Chance",
}
_SAID = (
    "Grad-CAM of a classifier that was told whether there is a finding, not where. Boxes around what is hotter than "
    "0.24 and 0.71 of the maximum (Wang et al. 2017) against the true ones; the last column is the share of the image "
    "in the box, what the two before it are for heat at random."
)


def localization_section(look: Classifiers, shown: ImageSet, boxes: list[Tensor], names: list[list[str]]) -> Section:
    """Score boxes around what is hot, and the heat in the true boxes, for each kind of finding.

    Args:
        look: classifiers; only the first is asked.
        shown: images with a box at least.
        boxes: (M, 2 D) of each image, in its voxels here.
        names: of the findings in them; one that is the name of a class is looked for by that class, others by the
            class that the classifier decides for.
    """
    if not any(names):
        raise ValueError("No image has a finding, so that nothing can be localized.")
    name, network = next(iter(look.networks.items()))
    decided = probabilities(look, name, shown).argmax(1)
    rows, numbers, pictures = [], {}, []
    for kind in sorted({name for of in names for name in of}):
        chosen = torch.tensor([i for i, of in enumerate(names) if kind in of])
        truth = [_of_kind(boxes[i], names[i], kind) for i in chosen.tolist()]
        classes = torch.full_like(chosen, look.classes.index(kind)) if kind in look.classes else decided[chosen]
        heat = heat_of(network, shown, chosen, classes)
        scores = _scored(heat, truth)
        numbers[kind] = scores | {
            "images": len(chosen),
            "looked_for": kind if kind in look.classes else "decided class",
        }
        rows.append([kind, str(len(chosen)), *(rounded(scores[name]) for name in _COLUMNS)])
        pictures.append(_picture(kind, heat, shown.images[chosen], truth))
    head = ("Finding", "Images", *_COLUMNS.values())
    return Section(
        "localization", "Localization", (shown.described(), look.said, _SAID), numbers, Table(head, rows), pictures
    )


def _of_kind(boxes: Tensor, names: list[str], kind: str) -> Tensor:
    return boxes[torch.tensor([name == kind for name in names])]


def _scored(heat: Tensor, truth: list[Tensor]) -> dict[str, float]:
    inside = torch.stack([_inside(boxes, heat.shape[2:]) for boxes in truth])[:, None]
    scores = localization_scores([heat_boxes(one[0]) for one in heat], truth)
    return {
        **scores,
        "pointing_hit": float(pointing_hit(heat, inside).nanmean()),
        "energy": float(energy_in_mask(heat, inside).nanmean()),
        "box_share": float(inside.float().mean()),
    }


def _inside(boxes: Tensor, size: torch.Size) -> Tensor:
    mask = torch.zeros(size)
    dims = len(size)
    for box in boxes:
        mask[
            tuple(
                slice(int(box[d].round()), max(int(box[d].round()) + 1, int(box[dims + d].round())))
                for d in range(dims)
            )
        ] = 1
    return mask


def _picture(kind: str, heat: Tensor, images: Tensor, truth: list[Tensor]) -> Picture:
    found = [heat_boxes(one[0]) for one in heat[:_SHOWN]]
    titles = [f"image {i}" for i in range(1, len(found) + 1)]
    boxes = {"true": truth[:_SHOWN], "found": found}
    return Picture(
        heat_sheet(images[:_SHOWN], {"Grad-CAM": heat[:_SHOWN]}, titles, boxes), f"{kind}: boxes over images."
    )
