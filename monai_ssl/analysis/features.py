"""Pooled features of images, by the trained encoder and by the same network untrained."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation import recollect_bn
from monai_ssl.networks import Encoder
from monai_ssl.networks.modes import device_of, evaluating

TRAINED, UNTRAINED = "trained", "untrained"
_VOXELS_A_BATCH = 2_000_000


def networks(run: TrainedRun, shown: ImageSet) -> dict[str, Encoder]:
    """Return the trained and the untrained encoder of a run by what the page calls them.

    Batch norms of the untrained one have the statistics of the images shown: with those of no image at all it would
    tell less than random weights can, and a training would look better than it is.
    """
    untrained = copy.deepcopy(run.untrained)
    recollect_bn(untrained, batches(shown))
    return {TRAINED: run.encoder, UNTRAINED: untrained}


def batches(shown: ImageSet) -> Iterator[Tensor]:
    """Yield the images in batches (B, C, *spatial) of about equal memory, two images at least."""
    yield from shown.images.split(batch_size(shown))


def batch_size(shown: ImageSet) -> int:
    """Return how many images pass through a network at once."""
    return max(2, _VOXELS_A_BATCH // shown.images[0].numel())


@torch.no_grad()
def pooled_features(encoder: Encoder, shown: ImageSet) -> Tensor:
    """Return the average (N, D) of the coarsest map of each image, in evaluation mode."""
    device = device_of(encoder)
    with evaluating(encoder):
        return torch.cat([encoder.pooled(some.to(device)).float().cpu() for some in batches(shown)])
