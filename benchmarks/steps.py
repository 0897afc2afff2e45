"""A training step of PCRLv2 and of MAE beside the same step with the networks of others, on one core.

    python benchmarks/steps.py [--pcrlv2 CLONE] [--batch 2] [--repeats 3] [--out steps.json]

1. PCRLv2 in 3-D, with CLONE a clone of https://github.com/RL4M/PCRLv2: the authors' network in the step that their
   training takes (two global views and all local ones through the whole network, one loss for each local view), and
   ours in both presets. Windows of 64 x 64 x 32 and six local views of 16 a sample.
2. MAE on the residual encoder U-Net: `dynamic_network_architectures`, which nnU-Net and nnssl train, and ours with
   channels in either order. Windows of 32 and 64.

Forward, backward and the step of the optimizer, in processor time; views are made before. Ours are the methods of the
bundles, and networks have the widths of the papers, or a quarter of them with ``--narrow``, which the authors' network
of PCRLv2 does not offer.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sidebyside
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.methods import MAE, Method, PCRLv2
from monai_ssl.networks import ConvEncoder, PyramidUNet, ResidualEncoder, RestorationUNet

LOCALS, SCALES = 6, 3
WIDTHS, DEPTHS = (32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6)
Step = Callable[[], Any]


def step_of(parameters: Any, loss: Callable[[], Tensor]) -> Step:
    """Return a whole step: loss, backward, optimizer."""
    optimizer = torch.optim.SGD(parameters, 1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def our_step(method: Method, batch: Mapping[str, Tensor]) -> Step:
    method.train()
    return step_of(method.parameters(), lambda: torch.stack(list(method.losses(batch).values())).sum())


def pcrlv2_batch(size: int) -> dict[str, Tensor]:
    names = "view1", "view2", "target1", "target2"
    return {
        **{name: torch.rand(size, 1, 64, 64, 32) for name in names},
        "locals": torch.rand(size * LOCALS, 1, 16, 16, 16),
    }


def authors_step(clone: Path, batch: Mapping[str, Tensor]) -> Step:
    """Return the step of PCRLv2 in the authors' code: everything is computed, and a scale is drawn for each loss."""
    path = clone / "models" / "pcrlv2_model_3d.py"
    spec = importlib.util.spec_from_file_location("pcrlv2_of_its_authors", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"error: {clone} is no clone of https://github.com/RL4M/PCRLv2: {path} is missing.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.PCRLv23d().train()
    size = len(batch["view1"])

    def drawn() -> int:
        return int(torch.randint(SCALES, ()))

    def compared(one: Any, other: Any, scale: int) -> Tensor:
        (v1, p1), (v2, p2) = one[scale], other[scale]
        return -(F.cosine_similarity(p1, v2.detach()).mean() + F.cosine_similarity(p2, v1.detach()).mean()) / 2

    def loss() -> Tensor:
        restored, first, scales = network(batch["view1"])
        _, second, _ = network(batch["view2"])
        # view by view: (L * B, 1, 16, 16, 16)
        views = batch["locals"].unflatten(0, (size, LOCALS)).transpose(0, 1).flatten(0, 1)
        _, small, _ = network(views, local=True)
        scale, target = drawn(), batch["target1"]
        local = torch.zeros(())
        for k in range(LOCALS):
            part = [[vectors[size * k : size * (k + 1)] for vectors in level] for level in small]
            local = local + compared(first, part, drawn()) + compared(second, part, drawn())
        restoration = F.mse_loss(restored, target) + F.mse_loss(scales[scale], target)
        return restoration + compared(first, second, scale) + local / (2 * LOCALS)

    return step_of(network.parameters(), loss)


def pcrlv2_steps(clone: Path | None, size: int) -> dict[str, Step]:
    batch = pcrlv2_batch(size)
    steps = {
        f"ours, preset {preset}": our_step(PCRLv2(PyramidUNet(ConvEncoder(3)), preset=preset), batch)
        for preset in ("paper", "reference")
    }
    return {**({"authors": authors_step(clone, batch)} if clone else {}), **steps}


def mae_steps(size: int, side: int, widths: tuple[int, ...]) -> dict[str, Step]:
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    def masked_loss(network: nn.Module) -> Callable[[], Tensor]:
        hidden = 1 - visible
        return lambda: ((network(x * visible) - x) ** 2 * hidden).sum() / hidden.sum()

    x, stages = torch.randn(size, 1, side, side, side), side.bit_length() - 2
    widths, depths = widths[:stages], DEPTHS[:stages]
    visible = torch.rand(size, 1, *[side // 8] * 3).lt(0.25).float().repeat_interleave(8, 2)
    visible = visible.repeat_interleave(8, 3).repeat_interleave(8, 4)
    peer = ResidualEncoderUNet(
        *(1, stages, list(widths), nn.Conv3d, 3, [1] + [2] * (stages - 1), list(depths), 1, [1] * (stages - 1)),
        conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
    )  # fmt: skip
    steps = {"nnU-Net and nnssl": step_of(peer.parameters(), masked_loss(peer.train()))}
    for name, order in (("ours", torch.contiguous_format), ("ours, channels last", torch.channels_last_3d)):
        network = RestorationUNet(ResidualEncoder(widths=widths, depths=depths), bounded=False)
        method = MAE(network).to(memory_format=order)  # type: ignore[call-overload]
        steps[name] = our_step(method, {"view": x, "target": x, "visible": visible})
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pcrlv2", type=Path, metavar="CLONE", help="a clone of the authors' repository")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--narrow", action="store_true", help="MAE with a quarter of the channels")
    parser.add_argument("--only", choices=("pcrlv2", "mae"), help="default: both")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    widths = tuple(width // 4 for width in WIDTHS) if args.narrow else WIDTHS
    makers: dict[str, Callable[[], dict[str, Step]]] = {}
    if args.only != "mae":
        makers["PCRLv2 64 x 64 x 32"] = lambda: pcrlv2_steps(args.pcrlv2, args.batch)
    if args.only != "pcrlv2":
        for side in (32, 64):
            makers[f"MAE {side}^3"] = lambda side=side: mae_steps(args.batch, side, widths)
    result = {}
    for what, make in makers.items():
        times = sidebyside.milliseconds(make(), args.repeats)
        first = next(iter(times.values()))
        result[what] = {name: {"ms": ms, "ratio": ms / first} for name, ms in times.items()}
        for name, ms in times.items():
            print(f"{what:24s}{name:24s}{ms:9.0f} ms{ms / first:8.2f}", flush=True)
    sidebyside.write(args.out, {"batch": args.batch, "narrow": args.narrow, "steps": result})


if __name__ == "__main__":
    main()
