"""``predict``: label maps or tables of a fine-tuned model for new images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.stock import run_stock
from monai_ssl.stock_runs import prediction

_EXAMPLES = """examples:
  python -m monai_ssl predict finetuned/segmentation --data /data/new --out predictions
      a label map for each image below /data/new, on the image's own grid
  python -m monai_ssl predict finetuned/classification --data /data/new --out predictions

How images look and what the labels mean is read from `model.json` of the run. The stock command
`python -m monai.bundle run` is printed and run."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "predict",
        help="label maps or tables for new images, by a fine-tuned model",
        usage="%(prog)s RUN --data DATA --out DIR [--key value ...]",
        description="Predict for new images by a fine-tuned model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run_dir", type=Path, metavar="RUN", help="output folder of a fine-tuning")
    add("--data", type=Path, required=True, metavar="DATA", help="a folder of images, or one")
    add("--out", type=output, required=True, metavar="DIR", help="folder of the predictions")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the bundle; return its exit code."""
    return run_stock(prediction(args.run_dir, args.data, args.out), args.overrides)


__all__ = ["add_parser", "run"]
