"""MAE on a vision transformer: the encoder sees visible tokens only, a light decoder restores the masked ones.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, https://arxiv.org/abs/2111.06377; in 3-D as on
Primus in Wald et al., "An OpenMind for 3D Medical Vision Self-supervised Learning", ICCV 2025,
https://arxiv.org/abs/2412.17041.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_ssl.losses import explained, masked_error
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, TokenRestorer, VisionTransformer, join_patches, split_patches

_EPS = 1e-6


class MAEViT(Method):
    r"""Predict the voxels of masked tokens, :math:`L = \frac{1}{|M|} \sum_{i \in M} \| \hat p_i - p_i \|^2 / |p_i|`.

    :math:`p_i` are the voxels of token i, by default normalized to mean 0 and variance 1 in each token, so that what
    counts is structure and not brightness. Then 0, the mean of a token, costs 1 where a token is not flat, and 0 where
    it is.

    Args:
        encoder: to pre-train.
        decoder_width: channels of a token in the decoder; as many as in the encoder unless given.
        decoder_depth: blocks of the decoder.
        normalize: the voxels of each token.

    Batch:

    =========== ================= ===========================================================
    key         shape             content
    =========== ================= ===========================================================
    ``view``    (B, C, \*spatial) x as the network may see it
    ``target``  (B, C, \*spatial) x
    ``tokens``  (B, K)            numbers of the visible tokens, as the flattened grid counts
    =========== ================= ===========================================================

    Raises:
        ValueError: for an encoder that is not a :class:`monai_ssl.networks.VisionTransformer`.

    >>> method = MAEViT(VisionTransformer(2, window_size=(16, 24), width=8, depth=1, heads=2))
    >>> x = torch.randn(2, 1, 16, 24)
    >>> sorted(method.losses({"view": x, "target": x, "tokens": torch.tensor([[0, 4], [1, 5]])}))
    ['restoration']
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        decoder_width: int | None = None,
        decoder_depth: int = 2,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(encoder, VisionTransformer):
            raise ValueError(
                f"MAEViT leaves masked tokens out, and {type(encoder).__name__} cannot: take "
                "`monai_ssl.networks.VisionTransformer`, or the method `mae` in place of `mae_vit`."
            )
        self.network = TokenRestorer(encoder, decoder_width, decoder_depth)
        self.patch, self.normalize = encoder.strides[0], normalize

    @property
    def decoder(self) -> None:
        """Nothing: the decoder makes voxels of tokens, and no map of them that a task could begin with."""
        return None

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"restoration": masked_error(*self._answers(batch))}

    def _answers(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return restored voxels and true ones (B, C * patch ** D, N), and which tokens are visible (B, 1, N)."""
        restored = self.network(batch["view"], batch["tokens"])
        target = split_patches(batch["target"], self.patch)
        if self.normalize:
            mean, scale = _statistics(target)
            target = (target - mean) / scale
        return restored.transpose(1, 2), target.transpose(1, 2), _visible(batch["tokens"], target.shape[1])

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share of masked voxels that is ``explained``, 1 at best.

        0 is the mean of the visible voxels of a sample; where tokens are normalized, that of each token.
        """
        restored, target, visible = self._answers(batch)
        seen = visible.expand_as(target).flatten(1).unsqueeze(1)
        return {"explained": explained(restored.flatten(1).unsqueeze(1), target.flatten(1).unsqueeze(1), seen)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return images; restored tokens have mean and deviation of the true ones where these were not predicted."""
        target, kept = batch["target"], batch["tokens"]
        voxels = self.network(batch["view"], kept).detach().to(target.dtype)
        if self.normalize:
            mean, scale = _statistics(split_patches(target, self.patch))
            voxels = voxels * scale + mean
        grid = [side // self.patch for side in target.shape[2:]]
        seen = _visible(kept, voxels.shape[1]).transpose(1, 2).expand(-1, -1, self.patch ** len(grid))
        visible, restored = join_patches(seen, grid, self.patch) > 0, join_patches(voxels, grid, self.patch)
        return {
            "input": torch.where(visible, batch["view"], 0.0),
            "target": target,
            "restored": restored,
            "merged": torch.where(visible, target, restored),
        }


def _visible(kept: Tensor, count: int) -> Tensor:
    """Return (B, 1, count): 1 for tokens that are kept (B, K), else 0."""
    nothing = torch.zeros(len(kept), 1, count, device=kept.device)
    return nothing.scatter(2, kept.unsqueeze(1), 1.0)


def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (B, N, 1) of the voxels (B, N, P) of each token, in float32."""
    patches = patches.float()
    variance = patches.var(2, keepdim=True)
    return patches.mean(2, keepdim=True), (variance + _EPS).sqrt()


__all__ = ["MAEViT"]
