"""``handoff``: pre-trained weights as a bundle for MONAI Label, or as a checkpoint for nnU-Net."""

from __future__ import annotations

import argparse
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.weights import weights

_EXAMPLES = """examples:
  monailabel apps --download --name monaibundle --output apps
  python -m monai_ssl handoff --weights RUN/encoder.safetensors --labels liver,tumor --name liver apps/monaibundle/model
      -> apps/monaibundle/model/liver, where liver is 1 and tumor 2 in label files
  monailabel start_server --app apps/monaibundle --studies STUDIES --conf models liver --conf zoo_source local \\
      --conf sam2 false

  python -m monai_ssl handoff --to nnunet --weights RUN pretrained.pth
      -> a checkpoint of a residual encoder (ResEnc) for nnU-Net's master branch:
  nnUNetv2_preprocess_like_nnssl -d 4 -n ours -pc pretrained.pth -am like_pretrained
  nnUNetv2_train_pretrained 4 3d_fullres 0 -p PLAN -tr PretrainedTrainer
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "handoff",
        help="make a bundle for MONAI Label, or a checkpoint for nnU-Net, from pre-trained weights",
        description="Write a segmentation bundle with a pre-trained encoder, which MONAI Label serves and trains; or, "
        "with `--to nnunet`, a checkpoint that nnU-Net fine-tunes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--to", choices=tuple(_WRITERS), default="monailabel", help="who takes the weights; default: monailabel")
    add("--weights", type=weights, required=True, metavar="FILE", help="`encoder.safetensors` of a pre-training run")
    label = parser.add_argument_group("for MONAI Label")
    add = label.add_argument
    add("--labels", help="structures in the order of their values, from 1: liver,tumor")
    add("--name", help="of the bundle; MONAI Label shows it as the model")
    add("--modality", help="of the images, when the weights saw several: ct or mr")
    add("--roi-size", type=int, nargs=3, default=[64, 64, 32], metavar="N", help="of a patch; default: 64 64 32")
    parser.add_argument("target", type=output, metavar="OUT", help="MONAI Label's APP/model; a new `.pth` for nnU-Net")


def run(args: argparse.Namespace) -> int:
    """Write for the one who takes the weights, and say how to go on."""
    return _WRITERS[args.to](args)


def _to_monailabel(args: argparse.Namespace) -> int:
    from monai_ssl.zoo import hand_off

    if not (args.labels and args.name):
        args.parser.error("MONAI Label needs `--labels` and `--name`")
    options = {"name": args.name, "modality": args.modality, "roi_size": args.roi_size}
    path = hand_off(args.weights, args.labels.split(","), args.target, **options).resolve()
    print(f"Written: {path}, an untrained decoder on the encoder of {args.weights}")
    print(
        f"Serve:   monailabel start_server --app {path.parents[1]} --studies STUDIES --conf models {path.name} "
        "--conf zoo_source local --conf sam2 false"
    )
    return 0


def _to_nnunet(args: argparse.Namespace) -> int:
    from monai_ssl.zoo import hand_off_to_nnunet

    if args.labels or args.name or args.modality:
        args.parser.error("`--labels`, `--name` and `--modality` are for MONAI Label")
    done = hand_off_to_nnunet(args.weights, args.target)
    print(f"Written: {done.path}, and loaded again by nnU-Net's rule: {done.entries}/{done.entries} entries,", end=" ")
    print(f"two for each of the {done.tensors} tensors of encoder and stem")
    for warning in done.warnings:
        print(f"Mind:    {warning}")
    print("         Images must be oriented alike: nnU-Net's `NibabelIOWithReorient` reads them as RAS, as here.")
    print(
        "         A plan whose `transpose_forward` is not [0, 1, 2] (thick sagittal or coronal slices) turns the axes:"
    )
    print("         set it to that, and `transpose_backward` too, before preprocessing.")
    name, path = done.path.stem, done.path.resolve()
    print(f"Then:    nnUNetv2_preprocess_like_nnssl -d ID -n {name} -pc {path} -am like_pretrained")
    print("         nnUNetv2_train_pretrained ID 3d_fullres FOLD -p PLAN -tr PretrainedTrainer")
    print("         (of nnU-Net's master branch; no release up to 2.8.1 has them)")
    return 0


_WRITERS = {"monailabel": _to_monailabel, "nnunet": _to_nnunet}

__all__ = ["add_parser", "run"]
