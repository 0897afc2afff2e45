"""Multi-crop forward pass: one pass of the encoder for each size of crop, one of the head for all (SwAV)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.networks.projected_encoder import ProjectedEncoder


def crop_vectors(network: ProjectedEncoder, batch: Mapping[str, Tensor]) -> Tensor:
    """Return unit vectors (V, B, D) in float32 of ``view1``, ``view2`` and, where there are any, the L ``locals``.

    Batch norm of the encoder sees the crops of one size together, that of the head all crops, as in the authors' code.
    """
    large = torch.cat([batch["view1"], batch["view2"]])
    features = [network.encoder.pooled(large)]
    if "locals" in batch:
        small = network.encoder.pooled(batch["locals"])
        # sample-major to crop-major
        features.append(small.unflatten(0, (len(large) // 2, -1)).transpose(0, 1).flatten(0, 1))
    z = network.projector(torch.cat(features)).float()
    return F.normalize(z, dim=1).unflatten(0, (-1, len(large) // 2))


__all__ = ["crop_vectors"]
