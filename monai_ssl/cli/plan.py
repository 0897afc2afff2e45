"""``plan``: window, batch, network size and accumulation that fit a store and a GPU, as settings of a bundle."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

from monai_ssl.cli.outputs import output

_EXAMPLES = """example:
  python -m monai_ssl plan store --bundle mae --gpu-memory 24 --out plan.json
  python -m monai.bundle run pretrain --config_file bundles/mae/configs/pretrain.json --bundle_root bundles/mae \\
      --args_file plan.json --output_dir runs/mae

Anything else overrides the bundle as MONAI does: --lr 0.001 --encoder "{'_target_': ...}"
"""
_GIGABYTE = 1e9


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "plan",
        help="propose window, batch and network size for a store and a GPU",
        description="Propose spacing, window, batch, accumulation and network size of a pre-training, from the scans "
        "of a store and the memory of a training step, counted without computing it; write them as settings.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("store", metavar="STORE", help="folder written by `prepare`, or URL by `upload`")
    parser.add_argument("--bundle", default="mae", help="its name, as mae (default), or its folder")
    parser.add_argument(
        "--gpu-memory", type=float, metavar="GB", help="of one GPU; default: that of the one here, or 24"
    )
    parser.add_argument("--out", type=output, default=Path("plan.json"), metavar="JSON", help="default: plan.json")
    parser.add_argument("--json", action="store_true", help="print the settings and what they need as JSON")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Print the proposal with its reasons, and write the settings; with ``--json`` reasons go to standard error."""
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        settings, need = _propose(args)
    if args.json:
        print(json.dumps({"settings": settings, "bytes": need}, indent=1))
    return 0


def _propose(args: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Write and return the settings, and the bytes of a step with them."""
    from monai_ssl.bundle_folders import bundle_folder, config_file
    from monai_ssl.cli.preview import build, parse_overrides, read_bundle
    from monai_ssl.config_texts import literal
    from monai_ssl.engines.memory import RESERVE, step_memory
    from monai_ssl.files import write_json
    from monai_ssl.stock_runs import pretraining_config
    from monai_ssl.store.store import Store

    memory = args.gpu_memory or _memory_here()
    if memory <= 0:
        raise ValueError(f"--gpu-memory must be more than 0, got {memory}.")
    store = Store(args.store)
    config = config_file(bundle_folder(args.bundle), pretraining_config(args.store))
    given = {"dataset_dir": str(args.store), **parse_overrides(args.overrides)}
    parser = read_bundle([config], given)
    if not isinstance(parser.get("roi_size"), list) or parser.get("batch_size") is None:
        raise ValueError(
            f"{args.bundle} cuts its windows by more than one size: `plan` is for bundles with `roi_size`."
        )
    scans = store.select(spatial_dims=len(parser["roi_size"]))
    encoder = build(parser, "encoder")
    batch = int(build(parser, "batch_size"))
    window = fitting_window(build(parser, "roi_size"), [scan.shape[1:] for scan in scans], encoder)
    print("\n".join(_about_spacing([scan.spacing for scan in scans], args.store)))
    plans = proposals(window, batch, parser.get("widths"), encoder)
    room = RESERVE * memory * _GIGABYTE
    for settings in plans:
        need = step_memory(*first_step(config, given | settings), amp=True)
        print(f"{_told(settings):70s} {need / _GIGABYTE:7.1f} GB{'' if need <= room else ', too much'}")
        if need <= room:
            break
    else:
        raise ValueError(f"Nothing fits {memory:g} GB: give a smaller `--encoder`, or a GPU with more memory.")
    found = {key: literal(value) for key, value in {**given, **settings}.items()}
    write_json(args.out, found)
    print(f"Written: {args.out}, for `--args_file {args.out}` of the stock command. Tensors of a step in bfloat16 fill")
    print(f"{RESERVE:.0%} of {memory:g} GB at most; workspaces and the allocator have the rest.")
    if (parts := settings.get("train#trainer#accumulation_steps", 1)) > 1:
        print(
            f"{parts} batches of {settings['batch_size']} make one optimizer step. A method that compares the samples"
        )
        print("of a batch sees fewer at once: prefer more GPUs, or a method with a queue or a memory bank.")
    return found, need


def fitting_window(size: Sequence[int], shapes: Sequence[Sequence[int]], encoder: Any) -> tuple[int, ...]:
    """Return the bundle's window, no larger than half of the scans are along an axis, as the network takes it.

    Args:
        size: of the bundle.
        shapes: of the scans.
        encoder: has ``strides`` and ``nearest_size``.

    Raises:
        ValueError: when there are no scans of these dimensions.
    """
    import numpy as np

    if not shapes:
        raise ValueError(f"The store has no {len(size)}-D scans.")
    median = np.median(np.asarray(shapes), axis=0)
    stride = encoder.strides[-1]
    sides = [max(stride, int(min(side, room)) // stride * stride) for side, room in zip(size, median, strict=True)]
    return tuple(encoder.nearest_size(sides))


def proposals(
    window: Sequence[int], batch: int, widths: Sequence[int] | None, encoder: Any
) -> Iterator[dict[str, Any]]:
    """Yield settings, the bundle's own first, each wanting less memory than those that give up as much as it.

    First the batch is split (accumulation), then blocks are computed again in the backward pass, then the window
    shrinks, at last the network: what a paper's recipe loses least by comes first.
    """
    for scale in (1.0, 0.75, 0.5) if widths else (1.0,):
        narrower = {} if scale == 1 else {"widths": [max(2, round(scale * width / 2) * 2) for width in widths or ()]}
        for sides in _shrinking(tuple(window), encoder):
            for recompute in (False, True):
                for part in _parts(batch):
                    yield {
                        "roi_size": list(sides),
                        "batch_size": part,
                        **narrower,
                        **({"train#trainer#accumulation_steps": batch // part} if part < batch else {}),
                        **({"train#trainer#checkpoint_activations": True} if recompute else {}),
                    }


def _parts(batch: int) -> list[int]:
    """The batch, and what it can be split into; two samples at least."""
    return [part for part in range(batch, 1, -1) if batch % part == 0]


def _shrinking(window: tuple[int, ...], encoder: Any) -> Iterator[tuple[int, ...]]:
    """The window, its longest axes made a stride shorter each time, to about half of it."""
    stride, least = encoder.strides[-1], max(window) // 2
    while True:
        yield window
        smaller = tuple(side - stride if side == max(window) else side for side in window)
        if max(smaller) < max(least, stride) or tuple(encoder.nearest_size(smaller)) != smaller:
            return
        window = smaller


def first_step(config: Path, settings: Mapping[str, Any]) -> tuple[SSLTrainer, dict[Any, Any]]:
    """Return the trainer of a bundle with these settings before its first step, and windows for that step.

    It writes neither pictures nor checkpoints, and no record; :func:`~monai_ssl.engines.memory.step_memory` takes both.
    """
    from monai_ssl.cli.preview import build, read_bundle
    from monai_ssl.data import collate_views

    parser = read_bundle([config], settings)
    build(parser, "initialize")
    parser["train#handlers"] = []
    trainer: SSLTrainer = build(parser, "train#trainer")
    dataset = build(parser, "train#dataset")
    batch = int(build(parser, "batch_size"))
    return trainer, collate_views([dataset[i % len(dataset)] for i in range(batch)])


def _memory_here() -> float:
    import torch

    return torch.cuda.get_device_properties(0).total_memory / _GIGABYTE if torch.cuda.is_available() else 24.0


def _about_spacing(spacings: Sequence[Sequence[float]], store: str | Path) -> list[str]:
    import numpy as np

    low, median, high = np.percentile(np.asarray(spacings, float), (10, 50, 90), axis=0)
    lines = [f"spacing: {' x '.join(f'{size:.2f}' for size in median)} mm, the median of {len(spacings)} scans"]
    if (high > 1.05 * low).any():
        wanted = " ".join(f"{size:.2g}" for size in median)
        lines.append(
            f"It varies ({low.round(2).tolist()} to {high.round(2).tolist()} mm in 80 % of them): prepare them alike,"
        )
        lines.append(f"  python -m monai_ssl prepare SOURCE {store}_alike --spacing {wanted}")
    return lines


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.rsplit('#', 1)[-1]} {value}" for key, value in settings.items())


__all__ = ["add_parser", "first_step", "fitting_window", "proposals", "run"]
