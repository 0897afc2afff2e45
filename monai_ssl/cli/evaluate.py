"""``evaluate``: score a fine-tuned model on the test section of a data list."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.stock import run_stock
from monai_ssl.stock_runs import evaluation

_EXAMPLES = """examples:
  python -m monai_ssl evaluate finetuned/segmentation --data labeled
      scores of the test section, into finetuned/segmentation/test
  python -m monai_ssl evaluate finetuned/segmentation --data labeled --section validation

What the model was trained for and how its images look is read from `model.json` of the run. The stock command
`python -m monai.bundle run` is printed and run."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a fine-tuned model on test data",
        usage="%(prog)s RUN --data DATA [options] [--key value ...]",
        description="Score a fine-tuned model, overall and by case.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run_dir", type=Path, metavar="RUN", help="output folder of a fine-tuning")
    add("--data", type=Path, required=True, metavar="DATA", help="labeled images")
    add("--section", default="test", help="of the data list; default: test")
    add("--out", type=output, metavar="DIR", help="folder of the scores; default: RUN/SECTION")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the bundle; return its exit code."""
    return run_stock(evaluation(args.run_dir, args.data, args.out, args.section), args.overrides)


__all__ = ["add_parser", "run"]
