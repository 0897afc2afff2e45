"""CPC: contrastive predictive coding, predict patches below from those above with InfoNCE.

van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018,
https://arxiv.org/abs/1807.03748; in 3-D Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020,
https://arxiv.org/abs/2006.03829.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_choice
from monai_ssl.losses import gather
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder
from monai_ssl.transforms import CellGrid


class CPC(Method):
    r"""Predict the codes of the patches behind a context, and find them among those of other places and scans.

    A column is a line of patches along the first axis. Its context c is a pyramid that widens away from the targets;
    step k looks for patch :math:`z_k` of the column: InfoNCE (eq. 4 of the first paper) with the scores of eq. 3,
    :math:`L = -\log\frac{\exp(z_k^\top W_k c)}{\sum_j \exp(z_{kj}^\top W_k c)}`, over all columns j of the batch.
    Each step has its own :math:`W_k`. The batch is that of all processes.

    Args:
        encoder: to pre-train; it looks at every patch.
        cells: patches along each axis; two at least along the first.
        dim: of the code of a patch.
        hidden: width of the recurrent network that reads the context.
        objective: ``"infonce"`` as in the papers; or ``"bce"`` as in the code of the second: is the continuation
            that of this column or of another one?

    Batch:

    ============ ===================== =====================================================
    key          shape                 content
    ============ ===================== =====================================================
    ``patches``  (B * N, C, \*patch)   all patches of each view, sample-major and row-major
    ============ ===================== =====================================================

    Raises:
        ValueError: for an unknown objective, a grid that does not suit, or one column in the whole batch.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = CPC(ConvEncoder(2, widths=(4, 8)), cells=(4, 3), dim=8, hidden=8)
    >>> patches = torch.rand(2 * 12, 1, 8, 8)  # 4 x 3 patches of each of two images
    >>> predicted, codes = method.predict(patches)
    >>> predicted.shape == codes.shape == (2 * 3, 2, 8)  # columns, steps, dim
    True
    """

    context: Tensor
    targets: Tensor

    def __init__(
        self,
        encoder: Encoder,
        cells: Sequence[int],
        *,
        dim: int = 1024,
        hidden: int = 256,
        objective: Literal["infonce", "bce"] = "infonce",
    ) -> None:
        super().__init__()
        check_choice(("infonce", "bce"), objective=objective)
        if len(cells) != encoder.spatial_dims or min(cells) < 1 or cells[0] < 2:
            raise ValueError(
                f"`cells` of CPC must be {encoder.spatial_dims} numbers of patches, the first at least 2 for a context "
                f"and a target, got {list(cells)}."
            )
        self.cells, self.objective = tuple(cells), objective
        self.register_buffer("context", context_cells(cells), persistent=False)
        self.register_buffer("targets", target_cells(cells), persistent=False)
        self.network = ProjectedEncoder(encoder, nn.Linear(encoder.channels[-1], dim))
        self.recurrent = nn.GRU(dim, hidden, batch_first=True)
        self.predictors = nn.ModuleList(nn.Linear(hidden, dim) for _ in range(self.targets.shape[1]))

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        predicted, codes = self.predict(batch["patches"])
        if self.objective == "bce":
            logits, labels = decisions(predicted, codes)
            return {"contrast": F.binary_cross_entropy_with_logits(logits, labels)}
        scores = all_scores(gather(predicted), gather(codes))
        return {"contrast": F.cross_entropy(scores.flatten(0, 1), _own(scores).flatten())}

    def predict(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and true codes (columns of the batch, steps, dim) for patches (B * N, C, *patch)."""
        codes = self.network(patches).unflatten(0, (-1, prod(self.cells)))
        # the gradient of an index with repeated entries is summed by threads in any order, that of index_select is not
        context = codes.index_select(1, self.context.flatten()).unflatten(1, self.context.shape)
        state = self.recurrent(context.flatten(0, 1))[0][:, -1]
        predicted = torch.stack([predictor(state) for predictor in self.predictors], dim=1)
        check_batch_size(len(predicted), "CPC")
        return predicted, codes[:, self.targets].flatten(0, 1)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        predicted, codes = self.predict(batch["patches"])
        if self.objective == "bce":
            logits, labels = decisions(predicted, codes)
            return {"accuracy": ((logits > 0) == labels.bool()).float().mean()}
        scores = all_scores(predicted, codes)
        return {"accuracy": (scores.argmax(2) == _own(scores)).float().mean()}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the views, and the views as the network would continue them with patches of this batch."""
        found = all_scores(*self.predict(batch["patches"])).argmax(2)
        patches = batch["patches"].unflatten(0, (-1, prod(self.cells)))
        columns = patches[:, self.targets].flatten(0, 1)
        steps = torch.arange(len(found), device=found.device)
        continued = patches.clone()
        continued[:, self.targets] = columns[found.T, steps].unflatten(0, (len(patches), -1))
        grid = CellGrid(self.cells, patches.shape[3:], gap=0, jitter=0)
        return {"patches": grid.assemble(patches), "continued": grid.assemble(continued)}


def context_cells(cells: Sequence[int]) -> Tensor:
    """Return the cells (columns, T) that each column's context reads, far level first and its apex last.

    The apex is the last cell of the upper half of the column; a level d cells above it reaches d columns to every side,
    mirrored at the borders of the grid.
    """
    apex, index = cells[0] // 2 - 1, np.arange(prod(cells)).reshape(tuple(cells))
    levels = []
    for x in range(apex + 1):
        reach = apex - x
        level = np.pad(index[x], reach, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(level, (2 * reach + 1,) * level.ndim)
        levels.append(windows.reshape(index[x].size, -1))
    return torch.from_numpy(np.concatenate(levels, axis=1))


def target_cells(cells: Sequence[int]) -> Tensor:
    """Return the cells (columns, steps) of the lower half of each column, the nearest first."""
    index = torch.arange(prod(cells)).reshape(cells[0], -1)
    return index[cells[0] // 2 :].T.contiguous()


def all_scores(predicted: Tensor, codes: Tensor) -> Tensor:
    """Return how well the code of column j continues column i: (steps, i, j), for two (columns, steps, dim)."""
    with torch.autocast(predicted.device.type, enabled=False):
        return torch.einsum("ikd,jkd->kij", predicted.float(), codes.float())


def decisions(predicted: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and labels (2 * columns,): the true continuation of each column, then that of any other one."""
    count = len(codes)
    others = (torch.arange(count) + torch.randint(1, count, (count,))) % count
    pairs = torch.stack([codes, codes[others.to(codes.device)]]).float()
    logits = (predicted.float() * pairs).mean((2, 3))
    labels = torch.tensor([[1.0], [0.0]], device=codes.device).expand_as(logits)
    return logits.flatten(), labels.flatten()


def _own(scores: Tensor) -> Tensor:
    return torch.arange(scores.shape[1], device=scores.device).expand(len(scores), -1)


__all__ = ["CPC", "all_scores", "context_cells", "decisions", "target_cells"]
