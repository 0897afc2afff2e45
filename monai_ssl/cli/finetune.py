"""``finetune``: train a downstream bundle on labels, from pre-trained weights or from scratch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.stock import run_stock
from monai_ssl.cli.weights import weights
from monai_ssl.stock_runs import finetuning

_EXAMPLES = """examples:
  python -m monai_ssl finetune segmentation --data labeled --weights runs/pcrlv2 --labels "{'liver': 1}"
      into finetuned/segmentation; `labeled` has imagesTr and labelsTr, or a datalist
  python -m monai_ssl finetune segmentation --data labeled --weights runs/pcrlv2 --part none --out scratch \
      --labels "{'liver': 1}"
      the same network from random weights, to see whether pre-training helped
  python -m monai_ssl finetune classification --data xray --weights runs/simclr --classes "['normal', 'pneumonia']"

The stock command `python -m monai.bundle run` is printed and run. Then: `evaluate RUN --data DATA`."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "finetune",
        help="train on labels, from pre-trained weights or from scratch",
        usage="%(prog)s TASK --data DATA [options] [--key value ...]",
        description="Train a task on labels, from pre-trained weights or from scratch.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("task", metavar="TASK", help="segmentation, classification, regression, or the folder of another bundle")
    add("--data", type=Path, required=True, metavar="DATA", help="labeled images, see the page of the bundle")
    add("--weights", type=weights, metavar="FILE|RUN", help="of a pre-training; from scratch without")
    add("--out", type=output, metavar="DIR", help="folder of the run; default: finetuned/TASK")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the bundle; return its exit code."""
    return run_stock(finetuning(args.task, args.data, args.out, args.weights), args.overrides)


__all__ = ["add_parser", "run"]
