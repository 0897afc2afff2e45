"""``evaluate``: score a fine-tuned model on the test section of a data list."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.bundle_folders import bundle_folder, shipped_bundles
from monai_ssl.cli.stock import options, run_stock, stock_command

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
    add("--out", type=Path, metavar="DIR", help="folder of the scores; default: RUN/SECTION")
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the bundle; return its exit code."""
    folder = bundle_of_run(args.run_dir)
    out = args.out or args.run_dir / args.section
    words = options(args, dataset_dir=args.data, ckpt_dir=args.run_dir, output_dir=out, section=args.section)
    return run_stock(stock_command("run", folder, ["train", "evaluate"], words))


def bundle_of_run(run_dir: Path) -> Path:
    """Return the folder of the bundle that trained a run.

    Raises:
        FileNotFoundError: when the folder holds no fine-tuned model.
        ValueError: when its task is none of the bundles that come with this package.
    """
    from monai_ssl.files import read_json

    described = read_json(run_dir / "model.json", {})
    if not (run_dir / "model.pt").is_file() or not isinstance(described, dict) or "task" not in described:
        raise FileNotFoundError(
            f"{run_dir} holds no fine-tuned model (`model.pt` and its `model.json`): give the output folder of a "
            "fine-tuning."
        )
    name = str(described["task"].get("name", "")).lower()
    if name not in shipped_bundles():
        raise ValueError(f"{run_dir} was trained for {name!r} by a bundle of your own: run its stock command.")
    return bundle_folder(name)


__all__ = ["add_parser", "bundle_of_run", "run"]
