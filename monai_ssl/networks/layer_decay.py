"""Layer-wise learning-rate decay (BEiT: Bao et al., 2022, https://arxiv.org/abs/2106.08254): early layers move less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai_ssl.arguments import check_interval
from monai_ssl.networks.encoder import Encoder


def with_layer_decay(groups: Sequence[dict[str, Any]], encoder: Encoder, decay: float) -> list[dict[str, Any]]:
    r"""Return an optimizer's groups, split so that layer l of L of an encoder learns at :math:`decay^{L + 1 - l}`.

    What lies outside of the encoder keeps its rate. A group says by ``"lr_scale"`` what the schedule of a pre-training
    multiplies; where it has a rate or a scale of its own, as in fine-tuning, that is multiplied.

    Args:
        groups: of ``method.parameter_groups()`` or :func:`monai_ssl.transfer.parameter_groups`.
        encoder: whose ``layers()`` decay.
        decay: in (0, 1]; 1 changes nothing. 0.65 to 0.9 are usual for transformers.

    Raises:
        ValueError: for another ``decay``.

    >>> from monai_ssl.networks import ConvEncoder
    >>> encoder = ConvEncoder(2, widths=(4, 8))
    >>> groups = with_layer_decay([{"params": list(encoder.parameters()), "lr": 1.0}], encoder, 0.5)
    >>> [group["lr"] for group in groups]
    [0.25, 0.5]
    """
    check_interval("(0, 1]", decay=decay)
    layers = encoder.layers()
    scales = {id(p): decay ** (len(layers) - depth) for depth, layer in enumerate(layers) for p in layer}
    split = []
    for group in groups:
        by_scale: dict[float, list] = {}
        for parameter in group["params"]:
            by_scale.setdefault(scales.get(id(parameter), 1.0), []).append(parameter)
        for scale, parameters in by_scale.items():
            rate = {"lr": group["lr"] * scale} if "lr" in group else {}
            split.append({**group, **rate, "params": parameters, "lr_scale": scale * group.get("lr_scale", 1.0)})
    return split


__all__ = ["with_layer_decay"]
