"""What SSLTrainer costs over the same step in a loop written by hand: PCRLv2 in 3-D on batches in memory.

    python benchmarks/engine_overhead.py [--device cuda] [--out engine_overhead.json]

Both do the same: move the batch, seed, views, forward, backward, step. They alternate within one run; the ratio is of
medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from ignite.engine import Events

from monai_ssl.engines import SSLTrainer
from monai_ssl.engines.randomness import seed_iteration
from monai_ssl.methods import PCRLv2
from monai_ssl.networks import ConvEncoder, PyramidUNet
from monai_ssl.transforms import BatchViews, RandGaussianNoiseBatchd, Separatelyd, Snapshotd, ZScored

KEYS = ["view1", "view2", "locals"]


def views() -> BatchViews:
    noise = Separatelyd(KEYS, [RandGaussianNoiseBatchd("image")])
    return BatchViews([Snapshotd(["view1", "view2"], ["target1", "target2"]), noise, ZScored(KEYS)])


def method(width: int) -> PCRLv2:
    torch.manual_seed(0)
    return PCRLv2(PyramidUNet(ConvEncoder(widths=tuple(width << level for level in range(4)))))


def sync(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def by_hand(width: int, data: list[dict], device: torch.device) -> Callable[[int], float]:
    net, augment = method(width).to(device), views()
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)

    def step(iteration: int) -> float:
        start = time.perf_counter()
        net.train()
        seed_iteration(net, augment, 0, iteration, 0)
        batch = augment({k: v.to(device, non_blocking=True) for k, v in data[iteration % len(data)].items()})
        loss = torch.stack(list(net.losses(batch).values())).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sync(device)
        return time.perf_counter() - start

    return step


def by_trainer(width: int, data: list[dict], device: torch.device, pause: Callable[[int], float]) -> list[float]:
    """Run the trainer; after each of its iterations comes one by hand, so that both see the same machine."""
    net = method(width)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    trainer = SSLTrainer(device, 1, data, net, optimizer, views=views())
    own, other = [], []
    start = 0.0

    @trainer.on(Events.GET_BATCH_STARTED)
    def begin(engine: SSLTrainer) -> None:
        nonlocal start
        start = time.perf_counter()

    @trainer.on(Events.ITERATION_COMPLETED)
    def end(engine: SSLTrainer) -> None:
        sync(device)
        own.append(time.perf_counter() - start)
        other.append(pause(engine.state.iteration))

    trainer.run()
    return [statistics.median(own[3:]), statistics.median(other[3:])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = torch.device(args.device)
    g = torch.Generator().manual_seed(0)
    shapes = {"view1": (args.batch, 1, 32, 32, 32), "view2": (args.batch, 1, 32, 32, 32)}
    shapes["locals"] = (6 * args.batch, 1, 16, 16, 16)
    data = [{k: torch.rand(s, generator=g) for k, s in shapes.items()} for _ in range(args.steps)]
    trainer, hand = by_trainer(args.width, data, device, by_hand(args.width, data, device))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    result = {
        "device": name,
        "threads": torch.get_num_threads(),
        "trainer_ms": 1e3 * trainer,
        "by_hand_ms": 1e3 * hand,
        "ratio": trainer / hand,
    }
    print(f"SSLTrainer {1e3 * trainer:.2f} ms, by hand {1e3 * hand:.2f} ms, ratio {trainer / hand:.3f} on {name}")
    if args.out:
        args.out.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
