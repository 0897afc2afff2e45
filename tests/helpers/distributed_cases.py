"""Methods without batch norm and data for them, trained by one process or by several; imported by spawned processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from monai_ssl import methods, networks
from monai_ssl.data.windows import endless_loader
from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import Checkpoint
from monai_ssl.methods import Method

BATCH, SIZE, SCANS = 8, 16, 13
VIT: dict[str, Any] = {"width": 8, "depth": 2, "heads": 2}


def encoder() -> networks.ConvEncoder:
    return networks.ConvEncoder(2, 1, [2, 4, 8])


def unet() -> networks.RestorationUNet:
    return networks.RestorationUNet(encoder())


def dira(base: Callable[[networks.Encoder], Method]) -> Method:
    network = unet()
    return methods.DiRA(base(network.encoder), network, networks.Discriminator(2, width=2), weights=(1, 1, 0.1))


METHODS: dict[str, Callable[[], Method]] = {
    "aligned": lambda: methods.Aligned(unet(), cells=3, dim=8, momentum=0.9),
    "simclr": lambda: methods.SimCLR(encoder(), hidden=8, dim=6),
    "moco": lambda: methods.MoCo(encoder(), dim=6, queue_size=24, momentum=0.9),
    "byol": lambda: methods.BYOL(encoder(), hidden=8, dim=6, momentum=0.9),
    "simsiam": lambda: methods.SimSiam(encoder(), dim=8, hidden=4),
    "barlow_twins": lambda: methods.BarlowTwins(encoder(), widths=(8, 6)),
    "vicreg": lambda: methods.VICReg(encoder(), widths=(8, 6)),
    "vicregl": lambda: methods.VICRegL(encoder(), widths=(8, 6), map_widths=(8, 6), matches=5),
    "voco": lambda: methods.VoCo(encoder(), dim=8, dropout=0.0),
    "voco_v1": lambda: methods.VoCo(encoder(), version="v1", dim=8),
    "gvsl": lambda: methods.GVSL(unet(), window=5),
    "cross_contrast": lambda: cross_contrast(),
    "cpc": lambda: methods.CPC(encoder(), (2, 2), dim=6, hidden=6),
    "tower": lambda: methods.TOWER(unet(), dim=6),
    "transvw": lambda: methods.TransVW(unet(), 5),
    "rotation": lambda: methods.Rotation(encoder(), hidden=6),
    "autoencoder": lambda: methods.AutoEncoder(unet()),
    "mae": lambda: methods.MAE(unet(), mask_value="learned"),
    "mae_vit": lambda: methods.MAEViT(networks.VisionTransformer(2, window_size=(SIZE, SIZE), patch=4, **VIT)),
    "simmim": lambda: methods.SimMIM(
        networks.RestorationUNet(networks.VisionTransformer(2, window_size=(SIZE, SIZE), patch=4, **VIT))
    ),
    "dinov2": lambda: methods.DINOv2(
        networks.VisionTransformer(2, window_size=(SIZE, SIZE), patch=4, **VIT), 5, hidden=8, dim=6, frozen=0.4
    ),
    "smit": lambda: methods.SMIT(
        networks.VisionTransformer(2, window_size=(SIZE, SIZE), patch=4, **VIT),
        **{
            "embedding": "embedding",
            "stride": 4,
            "prototypes": 5,
            "hidden": 8,
            "dim": 6,
            "momentum": 0.9,
            "frozen": 0.4,
        },
    ),
    "spark": lambda: methods.Spark(networks.RestorationUNet(networks.ConvEncoder(2, 1, [2, 4, 8], "instance"))),
    "volume_fusion": lambda: methods.VolumeFusion(networks.RestorationUNet(encoder(), 5, bounded=False)),
    "swin_unetr_ssl": lambda: methods.SwinUNETRSSL(unet(), dim=6),
    "intra_scan": lambda: methods.IntraScan(encoder(), 2, hidden=8, dim=6),
    "pcrlv2": lambda: methods.PCRLv2(networks.PyramidUNet(encoder())),
    "swav": lambda: methods.SwAV(encoder(), 24, 5, hidden=8, dim=6, queue_size=16),
    "deepcluster": lambda: methods.DeepCluster(encoder(), 24, 4, hidden=8, dim=6),
    "sela": lambda: methods.DeepCluster(encoder(), 24, 4, assign="sinkhorn", hidden=8, dim=6),
    "insdis": lambda: methods.InsDis(encoder(), 24, dim=6, temperature=0.5),
    "insdis_nce": lambda: methods.InsDis(encoder(), 24, dim=6, temperature=0.5, objective="nce"),
    "cmc": lambda: methods.CMC(networks.SplitEncoder(encoder(), encoder()), 24, dim=6, temperature=5.0),
    "pcl": lambda: methods.PCL(methods.MoCo(encoder(), dim=6, queue_size=24, momentum=0.9), 24, [3, 6]),
    "dira": lambda: dira(lambda e: methods.SimCLR(e, hidden=8, dim=6)),
    "dira_moco": lambda: dira(lambda e: methods.MoCo(e, dim=6, queue_size=24, momentum=0.9)),
}


def cross_contrast() -> Method:
    network = networks.RestorationUNet(encoder(), skips=False, bounded=False)
    method = methods.CrossContrast(network, latent=8)
    # processes draw other noise than one of them
    method._drawn = lambda mean, log_variance: mean  # type: ignore[method-assign]
    return method


def without_batch_norm(module: nn.Module) -> nn.Module:
    """Each batch norm becomes a norm of a sample, so that what the rest of a batch is makes no difference."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            trained = all(p.requires_grad for p in child.parameters())
            setattr(module, name, nn.GroupNorm(1, child.num_features, affine=child.affine).requires_grad_(trained))
        else:
            without_batch_norm(child)
    return module


def built(name: str) -> Method:
    torch.manual_seed(0)
    method = without_batch_norm(METHODS[name]())
    assert isinstance(method, Method)
    with torch.no_grad():
        # narrow heads begin with vectors near 0, whose directions the first step would throw anywhere
        for head in (m for m in method.modules() if isinstance(m, networks.CosineHead)):
            for layer in (m for m in head.layers if isinstance(m, nn.Linear)):
                layer.weight.mul_(20)
    return method


def batches(name: str, count: int = 3) -> list[dict[str, Tensor]]:
    """Batches for all methods of the table."""
    g = torch.Generator().manual_seed(1)
    out = []
    for number in range(count):
        keys = ("view", "view1", "view2", "target", "target1", "target2")
        batch = {key: torch.rand(BATCH, 1, SIZE, SIZE, generator=g) for key in keys}
        batch["visible"] = torch.zeros(BATCH, 1, SIZE, SIZE).bernoulli(0.25, generator=g)
        batch["tokens"] = torch.rand(BATCH, 16, generator=g).argsort(1)[:, :5]
        batch["levels"] = torch.randint(5, (BATCH, SIZE, SIZE), generator=g)
        batch |= {key: torch.randint(4, (BATCH,), generator=g) for key in ("label", "label1", "label2")}
        batch |= {key: batch["visible"].roll(i, 2) for i, key in enumerate(("visible1", "visible2"))}
        batch["box1"] = torch.tensor([[4, 2], [16, 16]]).repeat(BATCH, 1, 1)
        batch["box2"] = batch["box1"] - torch.tensor([4, 2])
        lines = torch.arange(SIZE, dtype=torch.float32)
        grid = torch.stack(torch.meshgrid(lines, lines, indexing="ij"))
        batch |= {f"place{i}": grid + 5 * torch.rand(BATCH, 2, 1, 1, generator=g) for i in (1, 2)}
        batch |= {key: torch.rand(BATCH * n, 1, 8, 8, generator=g) for key, n in (("targets", 2), ("bases", 4))}
        shares = torch.rand(BATCH, 2, 4, generator=g) * torch.tensor([1.0, 1.0, 1.0, 0.0])
        batch["overlap"] = shares / shares.sum(2, keepdim=True)
        # one sample stands twice in the first batch, as where an epoch ends
        batch["index"] = (torch.arange(BATCH) + BATCH * number) % (BATCH - 1 if number == 0 else 3 * BATCH)
        if name == "dinov2":
            batch["locals"] = torch.rand(BATCH * 2, 1, 8, 8, generator=g)
            batch["masked"] = torch.rand(BATCH, 32, generator=g).argsort(1)[:, :6]
            batch["masked"][::3, 2:] = -1
        if name == "cpc":
            batch["patches"] = torch.rand(BATCH * 4, 1, 4, 4, generator=g)
        out.append(batch)
    return out


def part(batch: dict[str, Tensor], index: int, parts: int) -> dict[str, Tensor]:
    return {key: x.chunk(parts)[index] for key, x in batch.items()}


def trainer(name: str, data: Any, epochs: int = 2, handlers: Iterable = (), **options: Any) -> SSLTrainer:
    method = built(name)
    # whose terms have long gradients
    lr = {"barlow_twins": 0.0001, "vicreg": 0.001, "vicregl": 0.001, "dinov2": 0.001}.get(name, 0.05)
    optimizers = {step: torch.optim.SGD(method.parameter_groups(step), lr=lr, momentum=0.9) for step in method.steps}
    return SSLTrainer("cpu", epochs, data, method, optimizers, train_handlers=list(handlers), **options)


def trained(engine: SSLTrainer) -> dict[str, Any]:
    """The state after training, the terms of the last iteration, and where the run ended."""
    engine.run()
    state = {key: value.clone() for key, value in engine.method.state_dict().items()}
    return {"state": state, "terms": dict(engine.state.output), "at": (engine.state.epoch, engine.state.iteration)}


class Scans(Dataset):
    """Scans whose number no batch divides."""

    def __len__(self) -> int:
        return SCANS

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Tensor]:
        g = torch.Generator().manual_seed(item[1])
        return {f"view{i}": torch.rand(1, SIZE, SIZE, generator=g) for i in (1, 2)}


def from_scans(epochs: int, handlers: Iterable = ()) -> SSLTrainer:
    """MoCo on scans, 4 at a time over all processes."""
    rank, count = idist.get_rank(), idist.get_world_size()
    loader = endless_loader(Scans(), 4 // count, 0, rank=rank, world_size=count)
    return trainer("moco", loader, epochs, handlers)


def checkpointed(folder: str | Path, epochs: int, resume: bool | str = False) -> dict[str, Any]:
    return trained(from_scans(epochs, [Checkpoint(folder, resume=resume)]))
