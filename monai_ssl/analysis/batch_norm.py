"""Batch norm statistics of a run against those of images, or of another run: how far the domains are apart."""

from __future__ import annotations

import copy

from monai_ssl.analysis.features import batches
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.pictures import curves
from monai_ssl.analysis.section import Picture, Section, Table
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation import BNDistance, bn_distance, encoder_statistics, recollect_bn

_SAID = (
    "The running means and variances of all batch norms of the encoder against another set, as the sum of squared "
    "distances over layers (Zhang and Gu 2023, Eq. 15) and, so that layers of different widths compare, a channel. Far "
    "apart: score a fine-tuned network with the statistics of its target (`target_bn_batches`), too."
)


def batch_norm_section(run: TrainedRun, shown: ImageSet | None, other: TrainedRun | None) -> Section | None:
    """Return the distances that can be told; ``None`` where there is no second set of statistics to compare with.

    Args:
        run: whose statistics are those of its training.
        shown: images to collect statistics from.
        other: run of the same encoder; one of another kind is passed over.
    """
    stored, found = encoder_statistics(run.encoder), dict[str, BNDistance | None]()
    if not stored:
        return None
    if shown is not None:
        network = copy.deepcopy(run.encoder)
        recollect_bn(network, batches(shown))
        found["these images"] = bn_distance(stored, encoder_statistics(network))
    if other is not None and _same_layers(run, other):
        found["the other run"] = bn_distance(stored, encoder_statistics(other.encoder))
    distances = {name: distance for name, distance in found.items() if distance is not None}
    if not distances:
        return None
    layers = list(stored)
    rows = [[layer, *(f"{d.per_channel[layer]:.3g}" for d in distances.values())] for layer in layers]
    totals = [f"The distance to {name} is {d.total:.3g} (Eq. 15)." for name, d in distances.items()]
    lines = {
        f"to {n}": [(float(i), d.per_channel[layer]) for i, layer in enumerate(layers, 1)] for n, d in distances.items()
    }
    picture = curves({"distance a channel": lines}, "layer, from the image to the coarsest map")
    return Section(
        "batch_norm",
        "Batch norm statistics",
        (_SAID, *([shown.described()] if shown is not None else []), *totals),
        {name: {"total": d.total, "per_channel": d.per_channel} for name, d in distances.items()},
        Table(("Layer", *(f"To {name}" for name in distances)), rows),
        (Picture(picture, "Distance of the statistics of each layer."),),
    )


def _same_layers(run: TrainedRun, other: TrainedRun) -> bool:
    shapes = [{k: v[0].shape for k, v in encoder_statistics(one.encoder).items()} for one in (run, other)]
    return shapes[0] == shapes[1]
