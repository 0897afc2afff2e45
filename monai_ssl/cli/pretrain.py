"""``pretrain``: run the pre-training bundle of a method."""

from __future__ import annotations

import argparse
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.stock import run_stock
from monai_ssl.stock_runs import pretraining

_EXAMPLES = """examples:
  python -m monai_ssl pretrain pcrlv2 --data store
      into runs/pcrlv2; pictures and 2-D scans take the bundle's pretrain_2d.json
  python -m monai_ssl pretrain simclr --data /data/xray --out runs/a --batch_size 64 --max_epochs 200
      any key of the bundle's JSON, as the stock command takes it; `--resume true` goes on
  python -m monai_ssl pretrain pcrlv2 --data store --config cpu
      the bundle's settings for two CPU cores, laid over its others

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
    add("--data", required=True, metavar="DATA", help="a store, its URL, or any tree of scans")
    add("--out", type=output, metavar="DIR", help="folder of the run; default: runs/METHOD")
    add("--config", metavar="NAME", help="of the bundle: pretrain, pretrain_2d (default for pictures), cpu, ...")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the bundle; return its exit code."""
    return run_stock(pretraining(args.method, args.data, args.out, args.config), args.overrides)


__all__ = ["add_parser", "run"]
