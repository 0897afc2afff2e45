"""``adopt``: weights of a published ResNet, supervised on ImageNet for example, with a model card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  python -m monai_ssl adopt resnet50.pth imagenet.safetensors --license "ImageNet, research only"
      then in a study:  "pretraining": {"imagenet": {"weights": "imagenet.safetensors"}, ...}
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "adopt",
        help="give a published ResNet a model card, to start from it or to compare with it",
        description="Write the encoder of a ResNet-18 or ResNet-50 with torchvision's names as weights with a card.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="FILE", help="state dict, as .pth or .safetensors")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write, ends in .safetensors")
    parser.add_argument("--name", default="imagenet", help="of the method in the card; default: imagenet")
    parser.add_argument("--license", default="not stated", help="of the images that it was trained on")


def run(args: argparse.Namespace) -> int:
    """Write the weights, and say where they are."""
    from monai_ssl.transfer import adopt_resnet

    print(f"Written: {adopt_resnet(args.source, args.target, method=args.name, data_license=args.license)}")
    return 0
