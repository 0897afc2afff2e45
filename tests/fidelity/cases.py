"""Every method beside an independent computation of its losses in float64: the same weights, the same images."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from plain import (
    Weights,
    convolve,
    decode,
    encode,
    mlp,
    pooled,
)
from torch import Tensor, nn

from monai_ssl.networks import ConvEncoder, Encoder, ResNetEncoder

COUNT = 4
"""Samples of a batch."""
SHAPES = {3: (1, 16, 16, 8), 2: (3, 64, 64)}
UPSAMPLING = {3: "trilinear", 2: "bilinear"}


@dataclass(frozen=True)
class Compared:
    """Terms of both sides, and the last weight of the encoder, of whose gradients the page tells the difference."""

    ours: dict[str, Tensor]
    theirs: dict[str, Tensor]
    weight: Tensor

    def differences(self) -> dict[str, float]:
        """The largest difference of each term, relative where it is above 1, and that of the gradient of their sum."""
        assert self.ours.keys() == self.theirs.keys(), (self.ours.keys(), self.theirs.keys())
        found = {}
        for name, theirs in self.theirs.items():
            found[name] = ((self.ours[name] - theirs).abs() / theirs.abs().clamp(min=1)).item()
        ours, theirs = (
            torch.autograd.grad(sum(t for t in terms.values() if t.requires_grad), self.weight, retain_graph=True)[0]
            for terms in (self.ours, self.theirs)
        )
        found["gradient"] = ((ours - theirs).norm() / theirs.norm()).item()
        return found


CASES: dict[str, dict[str, Callable[[], Compared]]] = {}


def case(method: str, name: str, **options: Any) -> Callable[[Callable[..., Compared]], Callable[..., Compared]]:
    """Add a function, with these arguments, to the cases of a method."""

    def add(function: Callable[..., Compared]) -> Callable[..., Compared]:
        CASES.setdefault(method, {})[name] = lambda: function(**options)
        return function

    return add


# what the cases share ---------------------------------------------------------------------------------------------


def encoder(dims: int = 3) -> Encoder:
    torch.manual_seed(0)
    return ConvEncoder(widths=(4, 8, 16, 32)) if dims == 3 else ResNetEncoder(width=8)


def images(*names: str, dims: int = 3, count: int = COUNT, shape: tuple[int, ...] | None = None) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    shape = shape or SHAPES[dims]
    return {name: torch.rand(count, *shape, generator=random, dtype=torch.float64) for name in names}


def ready(method: nn.Module) -> Any:
    """In float64, with a key or target network that has gone its own way."""
    for name, parameter in method.named_parameters():
        if not parameter.requires_grad:
            random = torch.Generator().manual_seed(len(name))
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=random)
    return method.double().train()


def both(method: Any, ours: dict[str, Tensor], theirs: dict[str, Tensor], encoder: Encoder | None = None) -> Compared:
    convolutions = [p for p in (encoder or method.encoder).parameters() if p.ndim > 2]
    return Compared(ours, theirs, convolutions[-1])


def embed(x: Tensor, network: Any, layers: int, **options: Any) -> Tensor:
    """The projection of the average of the coarsest map."""
    return mlp(pooled(encode(x, network.encoder)[-1]), network.projector, layers, **options)


def finish(x: Tensor, head: nn.Module, *, bounded: bool = True) -> Tensor:
    out = convolve(x, *Weights(head).take(2))
    return 1 / (1 + torch.exp(-out)) if bounded else out


def restore(x: Tensor, network: Any, *, skips: bool = True) -> Tensor:
    return finish(decode(encode(x, network.encoder), network.decoder, skips=skips)[-1], network.head)


def turned(x: Tensor, flips: tuple[bool, ...], quarters: int) -> Tensor:
    return torch.rot90(x.flip([axis + 2 for axis, flip in enumerate(flips) if flip]), quarters, (2, 3))


def every_case() -> dict[str, dict[str, Callable[[], Compared]]]:
    """Return the cases of all methods, by method and name."""
    for module in ("cases_pcrl", "cases_restoration", "cases_predictive"):
        importlib.import_module(module)
    return CASES
