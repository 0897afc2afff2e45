"""Random masking of cubes (Rubik's cube+): half of the voxels of some cubes are set to 0.

Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based
Systems 2023, https://arxiv.org/abs/2209.12157, Sec. 3; after Zhu et al., "Rubik's Cube+", Medical Image Analysis 64,
2020, https://doi.org/10.1016/j.media.2020.101746.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, expand
from monai_ssl.transforms.intensity.noise import draw_seed, seeded_uniform
from monai_ssl.transforms.puzzles.task import RandTask


class RandCubeMaskd(RandTask):
    """Set voxels of some cubes to 0, all channels at once, and ask which cubes were treated so.

    A cube of air is 0 before and after: the question would have no answer. Cubes with too few voxels other than 0 are
    therefore left alone, and their answer is no.

    Args:
        key: cubes (C, *cube), several of each sample.
        prob: probability to mask a cube.
        keep: probability of each voxel to stay in a masked cube.
        least: fraction of voxels other than 0 below which a cube is never masked; 0 masks empty cubes too (the study's
            code).
        params_key: where to put what was drawn: ``chosen`` and ``seed`` of each cube.

    Returns:
        The sample with ``key`` replaced and, for each cube, the answer ``masked`` and whether it was ``skipped``, drawn
        but too empty. In a batch they are (B * N,), sample-major as the cubes.

    Raises:
        ValueError: when a probability or fraction is not in [0, 1].

    >>> out = RandCubeMaskd("cells", prob=1.0, keep=0.5).batch({"cells": torch.ones(2, 1, 16, 16, 16)})
    >>> out["masked"], round(out["cells"].mean().item(), 1)
    (tensor([True, True]), 0.5)
    """

    def __init__(
        self, key: str, prob: float = 0.5, keep: float = 0.5, *, least: float = 0.05, params_key: str | None = None
    ) -> None:
        super().__init__(key, params_key)
        check_interval("[0, 1]", prob=prob, keep=keep, least=least)
        self.prob, self.keep, self.least = prob, keep, least
        self.several = (key, "masked", "skipped")

    def draw(self, shape: tuple[int, ...]) -> Params:
        del shape
        return {"chosen": np.bool_(self.R.rand() < self.prob), "seed": draw_seed(self.R)}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        chosen = params["chosen"].to(x.device, non_blocking=True)
        full = (x != 0).any(1).flatten(1).float().mean(1) >= self.least
        masked = chosen & full
        kept = seeded_uniform(x[:, :1], params["seed"]) < self.keep
        return {
            self.key: torch.where(kept | ~expand(masked, x.ndim), x, 0.0),
            "masked": masked,
            "skipped": chosen & ~full,
        }


__all__ = ["RandCubeMaskd"]
