"""Jigsaw: classify the permutation of shuffled cubes.

Noroozi, Favaro, "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles", ECCV 2016,
https://arxiv.org/abs/1603.09246; in 3-D Taleb et al., NeurIPS 2020, https://arxiv.org/abs/2006.03829; head and schedule
of Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based
Systems 2023, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_choice
from monai_ssl.methods.base import Method
from monai_ssl.networks import CellEmbedding, Encoder, projector
from monai_ssl.transforms import CellGrid, restore_cells


class Jigsaw(Method):
    r"""Name the permutation by which the cubes of a grid were shuffled.

    :math:`L = \mathrm{CE}(g([f(x_{\pi_k(1)}), \dots, f(x_{\pi_k(N)})]), k)`: one :math:`f` for all cubes, and
    :math:`k` a row of the table of permutations, which is stored with the weights.

    Args:
        encoder: to pre-train.
        permutations: the table (K, N) that the views draw from.
        preset: ``"paper"``; or ``"reference"``, what the study's code computes: ReLU before batch norm, and batch
            norm of the cubes in each slot alone.
        dim: of the vector of a cube.
        hidden: width of both hidden layers of the classifier.

    Batch:

    ========= ==================== ==========================================================
    key       shape                content
    ========= ==================== ==========================================================
    ``cells`` (B * N, C, \*cube)   the shuffled cubes, sample-major
    ``label`` (B,)                 row of the table
    ========= ==================== ==========================================================

    Raises:
        ValueError: for an unknown preset, or when weights of another table are loaded.

    >>> from monai_ssl.networks import ConvEncoder
    >>> from monai_ssl.transforms import permutation_table
    >>> method = Jigsaw(ConvEncoder(3, widths=(4, 8)), permutation_table(8, count=10), dim=8, hidden=16)
    >>> method.logits(torch.rand(2 * 8, 1, 8, 8, 8)).shape  # ten orders of the eight cubes of two scans
    torch.Size([2, 10])
    """

    permutations: Tensor

    def __init__(
        self,
        encoder: Encoder,
        permutations: Tensor,
        preset: Literal["paper", "reference"] = "paper",
        *,
        dim: int = 64,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        check_choice(("paper", "reference"), preset=preset)
        self.preset = preset
        self.register_buffer("permutations", permutations.clone())
        self.num_labels, cells = permutations.shape
        self.network = CellEmbedding(encoder, dim, order="norm_relu" if preset == "paper" else "relu_norm")
        self.classifier = projector([cells * dim, hidden, hidden, self.num_labels])

    def tables(self) -> dict[str, Tensor]:
        return {"permutations": self.permutations}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"permutation": F.cross_entropy(self.logits(batch["cells"]).float(), batch["label"])}

    def logits(self, cells: Tensor) -> Tensor:
        """Return the logits (B, K) of the orders of ``cells`` (B * N, C, *cube)."""
        logits: Tensor = self.classifier(self.vectors(cells))
        return logits

    def vectors(self, cells: Tensor) -> Tensor:
        """Return the vectors (B, N * dim) of all ``cells`` (B * N, C, *cube) of each sample."""
        count = self.permutations.shape[1]
        if self.preset == "reference":
            return torch.cat([self.network(cells[slot::count]) for slot in range(count)], dim=1)
        return self.network(cells).unflatten(0, (-1, count)).flatten(1)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"accuracy": (self.logits(batch["cells"]).argmax(1) == batch["label"]).float().mean()}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = self.permutations[self.logits(batch["cells"]).argmax(1)]
        true = self.permutations[batch["label"]]
        slots = batch["cells"].unflatten(0, (-1, self.permutations.shape[1]))
        return {
            "shuffled": side_by_side(slots),
            "solved": side_by_side(restore_cells(slots, found)),
            "target": side_by_side(restore_cells(slots, true)),
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        table = state_dict.get(f"{prefix}permutations")
        if table is not None and not torch.equal(table.cpu(), self.permutations.cpu()):
            raise ValueError(
                "These weights were trained with another table of permutations, so their labels mean other orders: "
                "build the table with the `count`, `criterion` and `seed` of that run."
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def side_by_side(cells: Tensor) -> Tensor:
    """Return cells (B, N, C, *cube) as one image (B, C, *spatial): a square or a cube of them, else a row."""
    count, dims = cells.shape[1], cells.ndim - 3
    each = round(count ** (1 / dims))
    grid = (each,) * dims if each**dims == count else (count, *(1,) * (dims - 1))
    return CellGrid(grid, cells.shape[3:]).assemble(cells)


__all__ = ["Jigsaw", "side_by_side"]
