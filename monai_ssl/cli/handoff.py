"""``handoff``: pre-trained weights as a bundle for MONAI Label."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  monailabel apps --download --name monaibundle --output apps
  python -m monai_ssl handoff --weights RUN/encoder.safetensors --labels liver,tumor --name liver apps/monaibundle/model
      -> apps/monaibundle/model/liver, where liver is 1 and tumor 2 in label files
  monailabel start_server --app apps/monaibundle --studies STUDIES --conf models liver --conf zoo_source local \\
      --conf sam2 false
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "handoff",
        help="make a bundle for MONAI Label from pre-trained weights",
        description="Write a segmentation bundle with a pre-trained encoder, which MONAI Label serves and trains.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="FILE", help="`encoder.safetensors` of a pre-training run")
    add("--labels", required=True, help="structures in the order of their values, from 1: liver,tumor")
    add("--name", required=True, help="of the bundle; MONAI Label shows it as the model")
    add("--modality", help="of the images, when the weights saw several: ct or mr")
    add("--roi-size", type=int, nargs=3, default=[64, 64, 32], metavar="N", help="of a patch; default: 64 64 32")
    add("folder", type=Path, metavar="APP/model", help="folder of bundles in MONAI Label's app")


def run(args: argparse.Namespace) -> int:
    """Write the bundle, and say how it is served."""
    from monai_ssl.zoo import hand_off

    options = {"name": args.name, "modality": args.modality, "roi_size": args.roi_size}
    path = hand_off(args.weights, args.labels.split(","), args.folder, **options).resolve()
    print(f"Written: {path}, an untrained decoder on the encoder of {args.weights}")
    print(
        f"Serve:   monailabel start_server --app {path.parents[1]} --studies STUDIES --conf models {path.name} "
        "--conf zoo_source local --conf sam2 false"
    )
    return 0
