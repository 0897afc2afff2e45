"""Grad-CAM of a classifier, and the share of its heat inside a mask (pointing game).

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
https://arxiv.org/abs/1610.02391; pointing game of Zhang et al., "Top-down Neural Attention by Excitation Backprop",
IJCV 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.visualize import GradCAM
from torch import Tensor, nn

from monai_ssl.networks.modes import device_of, evaluating


def grad_cam(
    network: nn.Module, x: Tensor, classes: Tensor | Sequence[int] | None = None, *, layer: str = "encoder"
) -> Tensor:
    r"""Return :math:`\mathrm{ReLU}(\sum_k \alpha_k A_k)` of each image, scaled from its least to its largest value.

    :math:`A_k` are the channels of a map and :math:`\alpha_k` the mean over positions of the derivative of a logit
    with respect to them. The network is as before afterwards: modes, gradients, hooks.

    Args:
        network: maps images to logits (B, K); a probability would have no gradient where the network is sure.
        x: images (B, C, *spatial).
        classes: (B,) which logit to explain for each image; ``None`` for the largest, which is the only one of K = 1.
        layer: name of the module that gives the map; of several maps, the last: the coarsest of an encoder.

    Returns:
        (B, 1, *spatial) in [0, 1], interpolated linearly to the size of the images; 0 where a map is the same all over.

    Raises:
        ValueError: when there is no such layer, its output is no map, the network gives no logits (B, K), or
            ``classes`` do not fit them.
    """
    modules = dict(network.named_modules())
    if layer not in modules:
        raise ValueError(f"{type(network).__name__} has no layer `{layer}`; `layer` names a module that gives a map.")
    device = device_of(network)
    tapped = _Tapped(network, None if classes is None else torch.as_tensor(classes, device=device).long())
    with _untouched(network), torch.enable_grad():
        hook = modules[layer].register_forward_hook(tapped.lead_through)
        try:
            cam = GradCAM(nn_module=tapped, target_layers="tap", postprocessing=_min_max)
            heat: Tensor = cam(x.as_subclass(Tensor).to(device), class_idx=0)
        finally:
            hook.remove()
    return heat.detach()


def energy_in_mask(heat: Tensor, mask: Tensor) -> Tensor:
    """Return the share (B,) of the heat that lies in the mask, in [0, 1]; the size of the mask is the level of chance.

    Args:
        heat: (B, 1, *spatial), at least 0.
        mask: (B, 1, *spatial); what is above 0 belongs to it.

    Returns:
        0 where there is no heat at all, nan where there is no mask.

    Raises:
        ValueError: when shapes differ.
    """
    inside, heat = _flat(heat, mask)
    share = (heat * inside).sum(1) / heat.sum(1).clamp_min(torch.finfo(heat.dtype).tiny)
    return torch.where(inside.any(1), share, torch.nan)


def pointing_hit(heat: Tensor, mask: Tensor) -> Tensor:
    """Return 1 where the hottest voxel lies in the mask, else 0, for each image (B,).

    Of several hottest voxels the share in the mask counts: what choosing one of them blindly would score on average.

    Args:
        heat: (B, 1, *spatial).
        mask: (B, 1, *spatial); what is above 0 belongs to it.

    Returns:
        0 where the map is the same all over and points nowhere, nan where there is no mask.

    Raises:
        ValueError: when shapes differ.
    """
    inside, heat = _flat(heat, mask)
    hottest = heat == heat.amax(1, keepdim=True)
    share = (hottest & inside).sum(1) / hottest.sum(1)
    share = torch.where(hottest.all(1), 0.0, share)
    return torch.where(inside.any(1), share.to(heat.dtype), torch.nan)


class _Tapped(nn.Module):
    """What MONAI's Grad-CAM works on: one logit per image, and a layer of our own to put its hooks on.

    MONAI's wrapper never removes its hooks, and for several images adds up the logits of all their classes.
    """

    def __init__(self, network: nn.Module, classes: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self.classes = classes
        self.tap = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ValueError(f"Grad-CAM needs a network that gives logits (B, K), {_described(logits)} came.")
        classes = logits.argmax(1) if self.classes is None else self.classes
        if classes.shape != logits.shape[:1] or not bool(((classes >= 0) & (classes < logits.shape[1])).all()):
            raise ValueError(
                f"`classes` must be {len(logits)} numbers from 0 to {logits.shape[1] - 1}, got {classes.tolist()}."
            )
        return logits.gather(1, classes[:, None])

    def lead_through(self, layer: nn.Module, inputs: Any, output: Any) -> Any:
        """Let the map pass through the tap; nothing before it needs a gradient."""
        del layer, inputs
        several = isinstance(output, (list, tuple))
        last = output[-1] if several else output
        if not isinstance(last, Tensor) or last.ndim < 3:
            raise ValueError(f"Grad-CAM needs a `layer` that gives a map (B, C, *spatial), {_described(last)} came.")
        # cloned, as a layer that works in place must not reach what the tap keeps
        led = self.tap(last.detach().requires_grad_()).clone()
        return [*output[:-1], led] if several else led


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    kept = [(parameter, parameter.requires_grad, parameter.grad) for parameter in network.parameters()]
    with evaluating(network):
        try:
            network.requires_grad_(False)
            yield
        finally:
            for parameter, required, gradient in kept:
                parameter.requires_grad_(required)
                parameter.grad = gradient


def _min_max(x: Tensor) -> Tensor:
    dims = tuple(range(1, x.ndim))
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    width = torch.where(high > low, high - low, torch.ones_like(high))
    return ((x - low) / width).clamp(0, 1)


def _flat(heat: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    if heat.shape != mask.shape or heat.ndim < 3:
        raise ValueError(
            f"Heat and mask must both be (B, 1, *spatial), got {tuple(heat.shape)} and {tuple(mask.shape)}."
        )
    flat = heat.as_subclass(Tensor).flatten(1).double()
    return mask.as_subclass(Tensor).flatten(1).to(flat.device) > 0, flat


def _described(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


__all__ = ["energy_in_mask", "grad_cam", "pointing_hit"]
