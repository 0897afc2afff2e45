"""DiRA, TransVW, TOWER and what restores alone beside an independent computation; see ``cases.py``."""

from __future__ import annotations

from typing import Any

import torch
from cases import Compared, both, case, embed, encoder, images, ready, restore
from plain import (
    Weights,
    contrast,
    convolve,
    cross_entropy,
    encode,
    linear,
    mlp,
    mse,
    normalize,
    nt_xent,
    patch_discriminator,
    pooled,
)
from torch import Tensor, nn

import monai_ssl.methods as methods
from monai_ssl.networks import Discriminator, RestorationUNet


@case("dira", "2-D, on MoCo", dims=2)
@case("dira", "3-D, on TransVW", dims=3)
def dira(dims: int) -> Compared:
    unet = RestorationUNet(encoder(dims), 1)
    discriminator, weights = Discriminator(dims, width=4), (1.0, 10.0, 0.001) if dims == 2 else (1.0, 100.0, 1.0)
    if dims == 2:
        base: Any = methods.MoCo(unet.encoder, dim=8, queue_size=16)
        data = images("view1", "view2", "target", dims=2)
    else:
        base = methods.TransVW(unet, 5, classification_weight=1.0, restoration_weight=0.0)
        data = images("view", "target", shape=(1, 16, 16, 16)) | {"label": torch.tensor([0, 4, 2, 2])}
    method = ready(methods.DiRA(base, unet, discriminator, weights=weights))
    ours = method(data) | method(data, "discriminator_losses")
    view = data["view1" if dims == 2 else "view"]
    restored, clean = restore(view, unet), data["target"].mean(1, keepdim=True)
    if dims == 2:
        key = embed(data["view2"], base.key_network.network, 2).detach()
        told_apart = contrast(embed(view, base.query_network, 2), key, base.queue.features, 0.2)
    else:
        told_apart = cross_entropy(words(encode(view, unet.encoder)[-1], base.classifier), data["label"])
    fake, real = (patch_discriminator(x, discriminator) for x in (restored.detach(), clean))
    theirs = {
        "discrimination": weights[0] * told_apart,
        "restoration": weights[1] * mse(restored, clean),
        "adversarial": weights[2] * (patch_discriminator(restored, discriminator) - 1).square().mean(),
        "discriminator": ((real - 1).square().mean() + fake.square().mean()) / 2,
    }
    return both(method, ours, theirs)


def words(coarsest: Tensor, classifier: nn.Module) -> Tensor:
    weights = Weights(classifier)
    x = normalize(convolve(coarsest, *weights.take(2)), *weights.take(2))
    return linear(pooled(torch.clamp(x, min=0)), weights)


@case("transvw", "3-D")
def transvw() -> Compared:
    method = ready(methods.TransVW(RestorationUNet(encoder()), 5))
    data = images("view", "target") | {"label": torch.tensor([0, 4, 2, 2])}
    logits = words(encode(data["view"], method.encoder)[-1], method.classifier)
    theirs = {
        "classification": 0.01 * cross_entropy(logits, data["label"]),
        "restoration": mse(restore(data["view"], method.network), data["target"]),
    }
    return both(method, method(data), theirs)


@case("tower", "2-D", dims=2)
@case("tower", "3-D", dims=3)
def tower(dims: int) -> Compared:
    method = ready(methods.TOWER(RestorationUNet(encoder(dims)), dim=16))
    data = images("view", "target", dims=dims)
    z, z_clean = (
        mlp(pooled(encode(data[name], method.encoder)[-1]), method.projector, 2) for name in ("view", "target")
    )
    theirs = {
        "contrast": nt_xent(z_clean, z, 0.1),
        "restoration": mse(restore(data["view"], method.network), data["target"]),
    }
    return both(method, method(data), theirs)


@case("models_genesis", "3-D, with skip connections", kind="ModelsGenesis", skips=True)
@case("models_genesis", "3-D, without", kind="ModelsGenesis", skips=False)
@case("autoencoder", "3-D", kind="AutoEncoder", skips=False)
def restoration(kind: str, skips: bool) -> Compared:
    method = ready(getattr(methods, kind)(RestorationUNet(encoder(), skips=skips)))
    data = images("view", "target")
    target = data["target" if kind == "ModelsGenesis" else "view"]
    theirs = {"restoration": mse(restore(data["view"], method.network, skips=skips), target)}
    return both(method, method(data), theirs)


@case("cube_plus_plus", "3-D, with an adversary")
def cube_plus_plus() -> Compared:
    discriminator = Discriminator(3, in_channels=2, width=4)
    method = ready(methods.CubePlusPlus(RestorationUNet(encoder()), discriminator))
    data = images("view", "target", shape=(1, 16, 16, 16))
    ours = method(data) | method(data, "discriminator_losses")
    restored = restore(data["view"], method.network)
    fake, real, own = (
        patch_discriminator(torch.cat([x, data["view"]], 1), discriminator)
        for x in (restored.detach(), data["target"], restored)
    )
    theirs = {
        "restoration": 10 * (restored - data["target"]).abs().mean(),
        "adversarial": (own - 1).square().mean(),
        "discriminator": ((real - 1).square().mean() + fake.square().mean()) / 2,
    }
    return both(method, ours, theirs)
