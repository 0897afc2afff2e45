"""Color jitter (brightness, contrast, saturation, hue) and random grayscale."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.transforms.base import Params, RandBatchTransform, expand

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance of ITU-R BT.601."""
STRENGTH_LIMITS = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}


class RandGrayscaled(RandBatchTransform):
    """Replace the colors of an RGB image by their luminance; an image of one channel stays as it is.

    Args:
        keys: images of 1 or 3 channels, all turned gray or none.
        prob: probability to turn a sample gray.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    >>> RandGrayscaled("image", prob=1.0)({"image": red})["image"].flatten()
    tensor([0.2990, 0.2990, 0.2990])
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.2,
        *,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)

    def draw(self, shape: tuple[int, ...]) -> Params:
        _check_channels(shape[0], type(self).__name__)
        return {}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return _luminance(x).expand_as(x).clone()


class RandColorJitterd(RandBatchTransform):
    """Change brightness, contrast, saturation and hue, in an order of each sample's own, and clip to [0, 1] after each.

    An image of one channel has neither saturation nor hue.

    Parameters drawn: ``brightness``, ``contrast`` and ``saturation`` (B,), factors of which 1 changes nothing;
    ``hue`` (B,), a fraction of the color circle; ``order`` (B, 4), which of these four comes first, second and so on.

    Args:
        keys: images of 1 or 3 channels in [0, 1] to change alike.
        strength: largest change ``brightness``, ``contrast``, ``saturation`` (at most 1) and ``hue`` (at most 0.5);
            those left out do not change.
        prob: probability to change a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> jitter = RandColorJitterd("image", {"hue": 0.5})  # the other three stay
    >>> image = torch.rand(3, 8, 8)
    >>> out = jitter({"image": image})["image"]
    >>> torch.allclose(out.amax(0), image.amax(0), atol=1e-6)  # hue turns the color, not its value
    True
    """

    float32_kernel = True
    on_host = ("order",)

    def __init__(
        self,
        keys: KeysCollection,
        strength: Mapping[str, float] | float = 0.4,
        prob: float = 1.0,
        *,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        given = strength if isinstance(strength, Mapping) else dict.fromkeys(STRENGTH_LIMITS, strength)
        for name, value in given.items():
            if not 0.0 <= value <= STRENGTH_LIMITS.get(name, -1.0):
                raise ValueError(f"`strength` holds numbers from 0 up to {STRENGTH_LIMITS}, got {name} with {value}.")
        self.strength = {name: float(given.get(name, 0.0)) for name in STRENGTH_LIMITS}

    def draw(self, shape: tuple[int, ...]) -> Params:
        _check_channels(shape[0], type(self).__name__)
        change = {name: self.R.uniform(-value, value) for name, value in self.strength.items()}
        factors = {name: value if name == "hue" else 1.0 + value for name, value in change.items()}
        return {**factors, "order": self.R.permutation(len(factors))}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        out = x.clone()
        for turn in params["order"].unbind(1):
            for number, (name, change) in enumerate(_CHANGES.items()):
                chosen = (turn == number).nonzero().flatten().to(x.device)
                if len(chosen) and (x.shape[1] == 3 or name in ("brightness", "contrast")):
                    out[chosen] = change(out[chosen], expand(params[name][chosen], x.ndim))
        return out


def _change_brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (x * factor).clamp_(0, 1)


def _change_contrast(x: Tensor, factor: Tensor) -> Tensor:
    mean = expand(_luminance(x).flatten(1).mean(1), x.ndim)
    return torch.lerp(mean, x, factor).clamp_(0, 1)


def _change_saturation(x: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_luminance(x), x, factor).clamp_(0, 1)


def _check_channels(channels: int, name: str) -> None:
    if channels not in (1, 3):
        raise ValueError(f"`{name}` needs an image of 1 or 3 channels, got {channels}.")


def _luminance(x: Tensor) -> Tensor:
    """Return (B, 1, *spatial)."""
    if x.shape[1] == 1:
        return x
    red, green, blue = LUMINANCE
    return (x[:, :1] * red).add_(x[:, 1:2], alpha=green).add_(x[:, 2:], alpha=blue)


def _turn_hue(rgb: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of the HSV representation; value and chroma stay."""
    red, green, blue = rgb.split(1, dim=1)
    value = rgb.amax(1, keepdim=True)
    chroma = value - rgb.amin(1, keepdim=True)
    scale = torch.where(chroma > 0, 1 / chroma, 0.0)
    # sixths of the color circle, counted from red
    hue = torch.where(
        value == red,
        (green - blue) * scale,
        torch.where(value == green, (blue - red) * scale + 2, (red - green) * scale + 4),
    )
    # each channel is full within one sixth of its own hue and falls to nothing over the next
    sector = (rgb.new_tensor([5, 3, 1]).reshape(3, *[1] * (rgb.ndim - 2)) + (hue + 6 * turn)).remainder_(6)
    missing = torch.minimum(sector, 4 - sector).clamp_(0, 1).mul_(chroma)
    return missing.neg_().add_(value)


_CHANGES = {
    "brightness": _change_brightness,
    "contrast": _change_contrast,
    "saturation": _change_saturation,
    "hue": _turn_hue,
}
