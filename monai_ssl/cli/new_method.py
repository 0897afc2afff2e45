"""``python -m monai_ssl new-method``: the files of a new method, which train as they are."""

from __future__ import annotations

import argparse
from typing import Any

from monai_ssl.places import on_disk

NEXT = """
It trains as it is: {place}python -m monai_ssl pretrain {bundle} --data STORE --max_epochs 1

1. The objective of the paper goes into `{title}.losses`, its equations into the docstring.
2. Crops, views, network and optimizer stand in `bundles/{name}/configs/pretrain.json`.
3. The test holds closed forms and properties of the paper; all bundles' tests read its `SMALL` and `MOVES`.
4. Replace the paper's name in `metadata.json`, `docs/README.md` and the row of `bundles/README.md`.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "new-method",
        help="scaffold a method: its file, bundle, test and row in the docs",
        description="Write the files of a new method, which train as they are.",
    )
    parser.add_argument("name", metavar="NAME", help="of the file and the bundle, e.g. context_restoration")
    parser.add_argument("--root", default=".", metavar="DIR", help="a checkout, or your own project; default: here")
    parser.add_argument("--package", metavar="PACKAGE", help="dotted name of where the file goes")


def run(args: argparse.Namespace) -> int:
    """Write the files and say what comes next."""
    from monai_ssl.cli.stock import quoted
    from monai_ssl.zoo import new_method
    from monai_ssl.zoo.scaffold import class_name

    on_disk(args.root, "--root")
    for path in new_method(args.name, args.root, args.package):
        print(path)
    # a bundle is a path when it has a slash
    bundle = f"{args.root.rstrip('/') or '/'}/bundles/{args.name}"
    place = f"PYTHONPATH={quoted(args.root)} " if args.package else ""
    print(NEXT.format(name=args.name, title=class_name(args.name), bundle=quoted(bundle), place=place))
    return 0
