"""``pretrain``: run the pre-training bundle of a method."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.cli.stock import options, run_stock, stock_command

_EXAMPLES = """examples:
  python -m monai_ssl pretrain pcrlv2 --data store
      into runs/pcrlv2; pictures and 2-D scans take the bundle's pretrain_2d.json
  python -m monai_ssl pretrain simclr --data /data/xray --out runs/a --batch_size 64 --max_epochs 200
      any key of the bundle's JSON, as the stock command takes it; `--resume true` goes on

The stock command `python -m monai.bundle run` is printed and run."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "pretrain",
        help="pre-train a method on unlabeled scans",
        usage="%(prog)s METHOD --data DATA [options] [--key value ...]",
        description="Pre-train a method without labels.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("method", metavar="METHOD", help="a bundle that comes with this package, or the folder of one")
    add("--data", type=Path, required=True, metavar="DATA", help="a store, or any tree of scans")
    add("--out", type=Path, metavar="DIR", help="folder of the run; default: runs/METHOD")
    add("--config", metavar="NAME", help="configuration of the bundle; default: pretrain, or pretrain_2d for pictures")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the bundle; return its exit code."""
    folder = bundle_folder(args.method)
    out = args.out or Path("runs") / folder.name
    config = args.config or pretraining_config(args.data)
    words = options(args, dataset_dir=args.data, output_dir=out)
    return run_stock(stock_command("pretrain", folder, [config], words))


def pretraining_config(data: Path) -> str:
    """Return ``"pretrain_2d"`` for a store without volumes or a folder whose first image is a picture.

    Raises:
        FileNotFoundError: when there is no such data.
    """
    from monai_ssl.io.formats import format_of
    from monai_ssl.io.walk import visible_files
    from monai_ssl.store import Store

    if not data.exists():
        raise FileNotFoundError(f"There is no data {data}: give a store or a folder of scans.")
    if Store.is_store(data):
        flat = all(scan.spatial_dims == 2 for scan in Store(data))
    else:
        formats = (format_of(path.name) for path in visible_files(data, []))
        first = next((entry for entry in formats if entry is not None), None)
        flat = first is not None and first.is_picture
    return "pretrain_2d" if flat else "pretrain"


__all__ = ["add_parser", "pretraining_config", "run"]
