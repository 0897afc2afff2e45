"""``adopt``: weights that others published, with a model card, to start from or to compare with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output

_EXAMPLES = """examples:
  python -m monai_ssl adopt resnet50.pth imagenet.safetensors --license "ImageNet, research only"
      then in a study:  "pretraining": {"imagenet": {"weights": "imagenet.safetensors"}, ...}
  python -m monai_ssl adopt model_swinvit.pt swin.safetensors --release swin-unetr-ssl
  python -m monai_ssl adopt ResEncL-OpenMind-MAE/checkpoint_final.pth openmind.safetensors --release openmind
      then `--weights swin.safetensors` fine-tunes it, `--init_weights swin.safetensors` pre-trains it further

releases: imagenet, swin-unetr-ssl, suprem, voco, ct-fm, genesis, openmind; see docs/public_weights.md for licenses
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "adopt",
        help="give published weights a model card, to start from them or to compare with them",
        description="Write the encoder of published weights, whose layout is recognized, as weights with a model card.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", type=Path, metavar="FILE", help="checkpoint or state dict, as .pt, .pth, .safetensors"
    )
    parser.add_argument("target", type=output, metavar="OUT", help="file to write, ends in .safetensors")
    parser.add_argument("--release", metavar="NAME", help="whose weights: the card then says what images they saw")
    parser.add_argument("--name", help="of the method in the card; default: the release")
    parser.add_argument("--license", help="of the images or weights; default: that of the release")


def run(args: argparse.Namespace) -> int:
    """Write the weights, and say where they are."""
    from monai_ssl.transfer import adopt

    options = {"release": args.release, "method": args.name, "data_license": args.license}
    print(f"Written: {adopt(args.source, args.target, **options)}")
    return 0
