"""Inference with a pre-trained method: restored images, or feature vectors by sliding windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from monai.data.utils import dense_patch_slices
from monai.inferers import Inferer
from torch import Tensor, nn

from monai_ssl.arguments import check_choice
from monai_ssl.methods.base import Method, Restores


class InferenceNetwork(nn.Module):
    """A method as a network from image to restoration or to features.

    Args:
        method: with ``restore`` where restorations are asked for.
        output: ``"restoration"`` (B, C, *spatial) of the finest head, or ``"features"`` (B, D), see
            ``Method.representation``.
        normalize: what the views of the method do to an image (B, C, *spatial) in [0, 1] at their end.

    Raises:
        ValueError: for another ``output``, or when the method restores nothing.

    >>> from monai_ssl.methods import AutoEncoder
    >>> from monai_ssl.networks import ConvEncoder, RestorationUNet
    >>> method = AutoEncoder(RestorationUNet(ConvEncoder(2, widths=(4, 8)))).eval()
    >>> x = torch.rand(3, 1, 16, 16)
    >>> InferenceNetwork(method)(x).shape, InferenceNetwork(method, "features")(x).shape
    (torch.Size([3, 1, 16, 16]), torch.Size([3, 8]))
    """

    def __init__(
        self, method: Method, output: str = "restoration", normalize: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        check_choice(("restoration", "features"), output=output)
        if output == "restoration" and (method.decoder is None or not isinstance(method, Restores)):
            raise ValueError(f"{type(method).__name__} restores no images: set `--output features`.")
        self.method, self.output, self.normalize = method, output, normalize

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.normalize is None else self.normalize(x)
        if self.output == "features":
            return self.method.representation(x)
        return list(cast(Restores, self.method).restore(x).values())[-1]


class WindowMeanInferer(Inferer):
    """Average a network's vectors over windows that cover an image: features of a whole scan.

    Args:
        roi_size: of a window; a smaller image is padded with its minimum.
        overlap: of neighboring windows, in [0, 1).
        sw_batch_size: windows in one forward pass.
    """

    def __init__(self, roi_size: Sequence[int], overlap: float = 0.25, sw_batch_size: int = 4) -> None:
        super().__init__()
        self.roi_size, self.overlap, self.sw_batch_size = tuple(roi_size), overlap, sw_batch_size

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return (B, D) for inputs (B, C, *spatial)."""
        x = _padded(inputs.as_subclass(Tensor), self.roi_size)
        interval = [max(1, int(size * (1 - self.overlap))) for size in self.roi_size]
        windows = dense_patch_slices(x.shape[2:], self.roi_size, interval)
        return torch.stack([self._mean(image, windows, network, *args, **kwargs) for image in x])

    def _mean(
        self, image: Tensor, windows: Sequence, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        vectors = []
        for start in range(0, len(windows), self.sw_batch_size):
            inside = [(slice(None), *window) for window in windows[start : start + self.sw_batch_size]]
            vectors.append(network(torch.stack([image[i] for i in inside]), *args, **kwargs))
        return torch.cat(vectors).mean(0)


def _padded(x: Tensor, size: Sequence[int]) -> Tensor:
    missing = [max(0, wanted - have) for wanted, have in zip(size, x.shape[2:], strict=True)]
    pad = [part for gap in reversed(missing) for part in (gap // 2, gap - gap // 2)]
    return nn.functional.pad(x, pad, value=float(x.min()))
