"""TransVW (Semantic Genesis): classify and restore anatomical visual words.

Haghighi, Hosseinzadeh Taher, Zhou, Gotway, Liang, "Transferable Visual Words: Exploiting the Semantics of Anatomical
Patterns for Self-supervised Learning", TMI 2021. https://arxiv.org/abs/2102.10680
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from monai.networks.layers import Conv
from monai.networks.layers.utils import get_norm_layer
from torch import Tensor, nn

from monai_ssl.arguments import check_interval
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet


class TransVW(Method):
    r"""One encoder learns which anatomical word a window shows, and with a decoder what it looked like.

    :math:`L = \lambda_{cls} CE(c, y) + \lambda_{rec} MSE(x', x)`, where the class :math:`y` is where in the body the
    window was cut (see :mod:`monai_ssl.words.discovery`), and :math:`x` is the window before it was augmented.

    With the paper's U-Net and 50 words the network has 33,283,763 parameters.

    Args:
        network: U-Net with skip connections on the encoder that is to be pre-trained.
        num_words: classes; of the word list.
        classification_weight: :math:`\lambda_{cls}`; 0 leaves classification out.
        restoration_weight: :math:`\lambda_{rec}`; 0 leaves restoration out, as the authors' warm start does.

    Batch:

    ========== ==================== =================================================
    key        shape                content
    ========== ==================== =================================================
    ``view``   (B, C, \*spatial)    the word, deformed and augmented
    ``target`` (B, C, \*spatial)    the same word as it was cut, in [0, 1]
    ``label``  (B,)                 its class, 0 to ``num_words`` - 1
    ========== ==================== =================================================

    Raises:
        ValueError: for fewer than two words, a negative weight, or two weights of 0.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = TransVW(RestorationUNet(ConvEncoder(3, widths=(4, 8))), num_words=5)
    >>> method.logits(method.encoder(torch.rand(2, 1, 8, 8, 8))).shape
    torch.Size([2, 5])
    """

    shared_view = "view"

    def __init__(
        self,
        network: RestorationUNet,
        num_words: int = 45,
        *,
        classification_weight: float = 0.01,
        restoration_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_interval("[2, inf)", num_words=num_words)
        weights = classification_weight, restoration_weight
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                "`classification_weight` and `restoration_weight` must not be negative, and one of them above 0, "
                f"got {weights[0]} and {weights[1]}."
            )
        self.network = network
        self.classification_weight, self.restoration_weight = weights
        self.num_labels = num_words
        self.classifier = word_classifier(network.spatial_dims, network.encoder.channels[-1], num_words)
        self.sparse_gradients = min(weights) == 0

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms, given the encoder's maps of ``batch["view"]``."""
        terms = {}
        if self.classification_weight:
            # logits straight into the cross-entropy: the code's softmax and logarithm give NaN for sure answers
            entropy = F.cross_entropy(self.logits(features).float(), batch["label"])
            terms["classification"] = self.classification_weight * entropy
        if self.restoration_weight:
            error = F.mse_loss(self.network.restore(features).float(), batch["target"].float())
            terms["restoration"] = self.restoration_weight * error
        return terms

    def logits(self, features: Sequence[Tensor]) -> Tensor:
        """Return how likely each word is, (B, num_words), from the encoder's maps."""
        return self.classifier(features[-1])

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the restoration (B, C, *spatial) of ``x``, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = {"input": batch["view"], "target": batch["target"], **self.restore(batch["view"])}
        return {name: image.detach() for name, image in images.items()}


def word_classifier(spatial_dims: int, channels: int, num_words: int) -> nn.Sequential:
    """Return the authors' head: convolution to twice the channels, batch norm, ReLU, global average, linear."""
    pool = nn.AdaptiveAvgPool3d(1) if spatial_dims == 3 else nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(
        Conv["conv", spatial_dims](channels, 2 * channels, 3, padding=1),
        get_norm_layer("batch", spatial_dims, 2 * channels),
        nn.ReLU(),
        pool,
        nn.Flatten(),
        nn.Linear(2 * channels, num_words),
    )
