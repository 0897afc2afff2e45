"""PCRLv2: multi-scale pixel restoration and SimSiam-like comparison in a non-skip U-Net, with multi-crop.

Zhou, Lu, Chen, Yang, Yu, "A Unified Visual Information Preservation Framework for Self-supervised Pre-training in
Medical Image Analysis", TPAMI 2023. https://arxiv.org/abs/2301.00772
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice, product

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_choice, check_interval
from monai_ssl.losses import symmetric_cosine
from monai_ssl.methods.base import Method
from monai_ssl.networks import ComparisonHead, PyramidUNet, RestorationHead, init_heads, restoration_head
from monai_ssl.networks.heads import INTERPOLATION
from monai_ssl.schedules import cosine

TASKS = ("restoration", "comparison")
Vectors = Callable[[int], tuple[Tensor, Tensor]]
"""v and p, both (B, D), of views by level."""


class PCRLv2(Method):
    r"""Preserve pixels, meaning and scales in one encoder, without negatives, queue or momentum network.

    Eq. 10, with one scale :math:`i` drawn for each iteration:
    :math:`L = L^R_i(g_1) + L^R_i(g_2) + L^C_i(g_1, g_2) + \sum_{m,k} L^C_{i_{mk}}(l_k, g_m)`.

    Args:
        network: nsUNet on the encoder that is to be pre-trained.
        preset: ``"paper"``; or ``"reference"``, what the authors' code computes: only the first view is restored,
            once by an extra full-resolution output and once, fading out from epoch to epoch, at the drawn scale.
        tasks: ``"restoration"``, ``"comparison"`` or both (rows 0-2 of table 3).
        scales: how many levels of the pyramid take part, counted from full resolution; ``None`` for all. 0 restores
            at full resolution and compares the output of the encoder (rows 0-2 of table 3).
        comparison: ``"pairwise"`` compares a scale with itself, ``"crossed"`` every scale with every other, in a
            common dimension (table 2).
        local_reduction: ``"mean"`` over the comparisons of local and global views as in the authors' code, or
            ``"sum"``, eq. 10 to the letter, which lets six local views weigh 12 times as much as the global pair.
        local_scales: ``"per_pair"`` draws a scale for each comparison of a local view, ``"per_iteration"`` one for
            all together.
        bounded: restore by a sigmoid, for targets in [0, 1]; ``None`` means yes in 3-D and no in 2-D, where targets
            are normalized.

    Batch:

    ======================== ======================= ==========================================================
    key                      shape                   content
    ======================== ======================= ==========================================================
    ``view1``, ``view2``     (B, C, \*global)        two overlapping crops, corrupted
    ``target1``, ``target2`` (B, C, \*global)    the same crops before corruption
    ``locals``               (B * L, C, \*local)     L small crops a sample, sample-major; absent without sub-crop
    ======================== ======================= ==========================================================

    Raises:
        ValueError: for an unknown preset or task, more scales than levels, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = PCRLv2(PyramidUNet(ConvEncoder(2, widths=(4, 8, 16))))
    >>> batch = {name: torch.rand(2, 1, 16, 16) for name in ("view1", "view2", "target1", "target2")}
    >>> sorted(method.losses({**batch, "locals": torch.rand(2 * 3, 1, 8, 8)}))
    ['comparison', 'local_comparison', 'restoration']
    """

    sparse_gradients = True  # heads of the scales that were not drawn

    def __init__(
        self,
        network: PyramidUNet,
        preset: str = "paper",
        *,
        tasks: Sequence[str] = TASKS,
        scales: int | None = None,
        comparison: str = "pairwise",
        local_reduction: str = "mean",
        local_scales: str = "per_pair",
        bounded: bool | None = None,
    ) -> None:
        super().__init__()
        check_choice(("paper", "reference"), preset=preset)
        check_choice(("pairwise", "crossed"), comparison=comparison)
        check_choice(("mean", "sum"), local_reduction=local_reduction)
        check_choice(("per_pair", "per_iteration"), local_scales=local_scales)
        for task in tasks:
            check_choice(TASKS, tasks=task)
        levels = len(network.channels)
        check_interval(f"[0, {levels}]", scales=scales)
        self.network = network
        self.preset, self.tasks, self.comparison = preset, tuple(tasks), comparison
        self.local_reduction, self.local_scales = local_reduction, local_scales
        dims = network.spatial_dims
        bounded = dims == 3 if bounded is None else bounded
        out_channels = network.encoder.in_channels
        # level -1 is the output of the encoder, level i the i-th of the pyramid
        self.restored_levels = _finest(levels, 1 if scales == 0 else scales)
        self.compared_levels = [-1] if scales == 0 else _finest(levels, scales)
        self.restorers = nn.ModuleDict()
        self.comparers = nn.ModuleDict()
        if "restoration" in self.tasks:
            for level in self.restored_levels:
                self.restorers[str(level)] = restoration_head(
                    dims, network.channels[level], out_channels, preset=preset, bounded=bounded
                )
        if "comparison" in self.tasks:
            widths = [self._channels(level) for level in self.compared_levels]
            for level, width in zip(self.compared_levels, widths, strict=True):
                self.comparers[str(level)] = ComparisonHead(width, min(widths) if comparison == "crossed" else None)
        self.full_resolution = self._full_resolution_output(bounded) if preset == "reference" else None
        if dims == 2:
            init_heads(nn.ModuleList([network.decoder, self.restorers, self.comparers]))

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), "PCRLv2")
        scale = self._draw(self.restored_levels)
        compared = scale if len(self.compared_levels) > 1 else self.compared_levels[0]
        finest = max(self.restored_levels) if self.preset == "reference" else scale
        local_scales = self._draw_local_scales(batch)
        depth = max(finest, compared, *local_scales, -1)
        global1, global2 = (self._pyramid(batch[view], depth) for view in ("view1", "view2"))
        terms: dict[str, Tensor] = {}
        if "restoration" in self.tasks:
            terms |= self._restoration(global1, global2, scale, batch)
        if "comparison" in self.tasks:
            views = self._vectors(global1), self._vectors(global2)
            terms["comparison"] = self._compare(*views, compared)
            if local_scales:
                terms["local_comparison"] = self._compare_locals(batch["locals"], views, local_scales)
        return terms

    def _restoration(
        self, global1: list[Tensor], global2: list[Tensor], scale: int, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """L^R, eq. 3; in the reference preset its fading form and the extra full-resolution output."""
        target1, target2 = batch["target1"], batch["target2"]
        if self.full_resolution is None:
            both = _mse(self._restore(global1, scale, target1), target1) + _mse(
                self._restore(global2, scale, target2), target2
            )
            return {"restoration": both}
        fade = cosine(1.0, 0.0)(self.epochs_done)
        return {
            "restoration": _mse(self.full_resolution(global1[-1], target1.shape[2:]), target1),
            "scale_restoration": fade * _mse(self._restore(global1, scale, target1), target1),
        }

    def _compare(self, view1: Vectors, view2: Vectors, scale: int) -> Tensor:
        """L^C, eq. 5; crossed: the mean over all pairs of one view's drawn scale and the other's scales."""
        partners = [scale] if self.comparison == "pairwise" else self.compared_levels
        pairs = []
        for other in partners:
            (v1, p1), (v2, p2) = view1(scale), view2(other)
            pairs.append(symmetric_cosine(p1, p2, v1, v2))
        return torch.stack(pairs).mean()

    def _compare_locals(self, views: Tensor, globals_: Sequence[Vectors], scales: Sequence[int]) -> Tensor:
        """The local-global comparisons of eq. 9: one forward pass of all local views, none of them restored."""
        count = len(scales) // len(globals_)
        stacked = self._vectors(self._pyramid(views, max(scales)))

        def local(k: int) -> Vectors:
            # (B * L, D) -> (B, L, D) -> (B, D)
            return lambda level: (stacked(level)[0][k::count], stacked(level)[1][k::count])

        terms = [
            self._compare(local(k), global_view, scale)
            for (k, global_view), scale in zip(product(range(count), globals_), scales, strict=True)
        ]
        total = torch.stack(terms)
        return total.mean() if self.local_reduction == "mean" else total.sum()

    def _pyramid(self, x: Tensor, depth: int) -> list[Tensor]:
        """The output of the encoder, then the levels 0 .. ``depth``; all of them if scales are crossed."""
        if self.comparison == "crossed" and "comparison" in self.tasks:
            depth = max(depth, *self.compared_levels)
        features = self.network.encoder(x)
        return [features[-1], *islice(self.network.decoder.levels(features), depth + 1)]

    def _restore(self, pyramid: list[Tensor], level: int, like: Tensor) -> Tensor:
        return self.restorers[str(level)](pyramid[level + 1], like.shape[2:])

    def _vectors(self, pyramid: list[Tensor]) -> Vectors:
        """Return v and p of eq. 4 by level; the batch norm of a head sees all views of the pyramid, once."""
        return cache(lambda level: self.comparers[str(level)](pyramid[level + 1]))

    def _draw(self, levels: Sequence[int]) -> int:
        """One random scale instead of all of them (Sec. 3.3), the same on every rank."""
        return levels[int(torch.randint(len(levels), (), generator=self.generator))]

    def _draw_local_scales(self, batch: Mapping[str, Tensor]) -> list[int]:
        if "locals" not in batch or "comparison" not in self.tasks:
            return []
        count = 2 * len(batch["locals"]) // len(batch["view1"])
        if self.local_scales == "per_iteration":
            return [self._draw(self.compared_levels)] * count
        return [self._draw(self.compared_levels) for _ in range(count)]

    def _channels(self, level: int) -> int:
        return self.encoder.channels[-1] if level == -1 else self.network.channels[level]

    def _full_resolution_output(self, bounded: bool) -> RestorationHead:
        """The reference preset's extra output: convolution 1 in 3-D, 3 in 2-D."""
        dims = self.network.spatial_dims
        kernel = 1 if dims == 3 else 3
        conv = Conv["conv", dims](self.network.channels[-1], self.encoder.in_channels, kernel, padding=kernel // 2)
        return RestorationHead(nn.Sequential(conv, *([nn.Sigmoid()] if bounded else [])), INTERPOLATION[dims])

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the restoration (B, C, *spatial) of ``x`` by every head, by name."""
        pyramid = self._pyramid(x, max(self.restored_levels))
        restored = {
            f"restored at 1/{2 ** (len(self.network.channels) - 1 - int(level))}": head(
                pyramid[int(level) + 1], x.shape[2:]
            )
            for level, head in self.restorers.items()
        }
        if self.full_resolution is not None:
            restored["restored"] = self.full_resolution(pyramid[-1], x.shape[2:])
        return restored

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        first = {"input": batch["view1"], "target": batch["target1"], **self.restore(batch["view1"])}
        return {name: image.detach() for name, image in first.items()}


def _mse(prediction: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(prediction.float(), target.float())


def _finest(levels: int, count: int | None) -> list[int]:
    return list(range(levels))[-(count or levels) :]


__all__ = ["PCRLv2"]
