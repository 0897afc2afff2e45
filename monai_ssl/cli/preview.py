"""``python -m monai_ssl preview``: a picture of what the network will see, before any training."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.errors import nearest


def add_parser(subparsers: Any) -> None:
    """Add the command to ``python -m monai_ssl``."""
    parser = subparsers.add_parser(
        "preview",
        help="draw what the network will see",
        description="Run the crops and views of a pre-training bundle on a few scans and write one PNG sheet.",
        epilog="Anything else overrides the bundle as MONAI does: --dataset_dir D --lr 0.01 --crops#0#num_locals 4",
        allow_abbrev=False,
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--bundle", help="its name, as pcrlv2, or its folder")
    chosen.add_argument("--config_file", nargs="+", type=Path, metavar="JSON", help="its configurations")
    parser.add_argument("--config", metavar="NAME", help="pretrain, pretrain_2d (default for pictures), cpu, ...")
    parser.add_argument("--out", type=output, default=Path("preview.png"), metavar="PNG", help="default: preview.png")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="rows of the sheet, default 4")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Write the sheet ``args.out`` and print its path and the value range of each image."""
    from monai_ssl.cli.preview_sheet import draw_sheet, images_of

    overrides = parse_overrides(args.overrides)
    configs = args.config_file or config_files(args.bundle, args.config, overrides.get("dataset_dir"))
    parser = read_bundle(configs, overrides)
    batch, account = make_batch(parser, args.samples)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(batch, args.out)
    for key, x in images_of(batch).items():
        low, high, mean, std = x.min(), x.max(), x.mean(), x.std()
        print(f"{key:12s} {tuple(x.shape)!s:24s} {low:8.3f} to {high:7.3f}, mean {mean:7.3f}, deviation {std:6.3f}")
    print(account)
    print(f"Written: {args.out}")
    return 0


def config_files(bundle: str, config: str | None, data: str | None) -> list[Path]:
    """Return the files of a bundle's configurations, see :func:`monai_ssl.stock_runs.pretraining_configs`."""
    from monai_ssl.bundle_folders import bundle_folder, config_file
    from monai_ssl.stock_runs import pretraining_configs

    folder = bundle_folder(bundle)
    return [config_file(folder, name) for name in pretraining_configs(folder, config, data)]


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Return the overrides in ``--key value`` and ``--key=value`` by key, with values read as MONAI reads them.

    Raises:
        ValueError: when a word is neither.
    """
    from fire.parser import DefaultParseValue

    overrides: dict[str, Any] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or not (equals or rest):
            raise ValueError(f"Overrides of the bundle look like `--key value`, got {name!r} without its other half.")
        word = value if equals else rest.pop(0)
        # a folder is a text, of which Python would read `#` as the begin of a comment
        is_folder = name.endswith("_dir") and word[:1] not in ("'", '"')
        overrides[name[2:]] = word if is_folder else DefaultParseValue(word)
    return overrides


def read_bundle(configs: Sequence[Path], overrides: Mapping[str, Any]) -> Any:
    """Return a MONAI ``ConfigParser`` of the bundle with the overrides in place.

    The bundle's root is the folder above ``configs`` unless overridden.

    Raises:
        FileNotFoundError: when the configuration does not exist.
        ValueError: when an override changes nothing that the bundle has.
    """
    from monai.bundle import ConfigParser

    from monai_ssl.bundle_folders import bundle_of
    from monai_ssl.config_texts import literal

    for path in configs:
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; correct `--config` or `--config_file`.")
    parser = ConfigParser()
    parser.read_config([str(path) for path in configs])
    known = [k for k in parser.get() if not k.startswith("_")]
    for key in overrides:
        if key.split("#")[0] not in known:
            near = nearest(key.split("#")[0], known)
            hint = f" Did you mean `{near}`?" if near else ""
            raise ValueError(f"The bundle has no `{key}` to override.{hint} It has: {', '.join(known)}.")
    if "bundle_root" in known:
        parser["bundle_root"] = str(bundle_of(configs[0]))
    for key, value in overrides.items():
        parser[key] = literal(value)
    return parser


def make_batch(parser: Any, samples: int) -> tuple[dict[str, Any], str]:
    """Return a batch as the trainer would get it, on the CPU, and a sentence on the time that it took.

    Raises:
        ValueError: when the bundle lacks an id, or ``samples`` is not positive.
    """
    import torch

    from monai_ssl.data import collate_views

    for name in ("train#dataset", "views"):
        if parser.get(name) is None:
            raise ValueError(f"The bundle has no `{name}`, so there is nothing to preview: is it one for pre-training?")
    dataset = build(parser, "train#dataset")
    views = build(parser, "views")
    count = min(samples, len(dataset))
    if count < 1:
        raise ValueError(f"`--samples` must be at least 1, got {samples}.")
    start = time.perf_counter()
    crops = collate_views([dataset[i] for i in range(count)])
    cropping = time.perf_counter() - start
    views(crops)  # the first call of many operations is slow, and would spoil the time
    views.set_random_state(int(parser.get("seed") or 0))
    start = time.perf_counter()
    batch = views(crops)
    viewing = time.perf_counter() - start
    account = (
        f"On this CPU ({torch.get_num_threads()} threads) the crops took {1000 * cropping / count:.0f} ms a sample, "
        f"the views {1000 * viewing / count:.0f} ms a sample."
    )
    return {str(key): value for key, value in batch.items()}, account


def build(parser: Any, name: str) -> Any:
    """Return a part of the bundle; what is wrong with it is said by its own error."""
    try:
        return parser.get_parsed_content(name)
    except RuntimeError as error:
        # MONAI wraps what its parts raise; the user needs the innermost sentence
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise cause from None
