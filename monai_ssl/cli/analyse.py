"""``analyse``: look into a trained run, one page with pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output

_EXAMPLES = """examples:
  python -m monai_ssl analyse RUN
      what can be said without data: the model card and the curves of the training
  python -m monai_ssl analyse RUN --embedding IMAGES --probes IMAGES
      features in the plane and what they tell, beside those of the untrained network
  python -m monai_ssl analyse FINETUNED --cka PRETRAINED --data IMAGES --gradcam IMAGES --localize boxes.csv
      which stages fine-tuning reused, where the classifier looks, and whether that is the finding

DATA is a store, any tree of scans, one folder of images a class, a table (datalist.csv) or datalist (JSON) as the
downstream bundles read them. BOXES is a table with the columns image, x0, y0, x1, y1 (in 3-D z0 and z1, too), perhaps
label and patient, or images with label maps."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "analyse",
        help="look into a trained run: CKA, Grad-CAM, embedding, probes, localization",
        description="Write one page with pictures, and JSON, about what a pre-training or a fine-tuning has learned.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run_dir", type=Path, metavar="RUN", help="output folder of a training")
    add("--cka", type=Path, metavar="OTHER", help="run or weights to compare with, stage by stage")
    add("--gradcam", type=Path, metavar="DATA", help="show where the classifier looks")
    add("--embedding", type=Path, metavar="DATA", help="draw features by PCA and t-SNE")
    add("--probes", type=Path, metavar="DATA", help="ask frozen features for classes, labels, rotation and position")
    add("--localize", type=Path, metavar="BOXES", help="compare where the classifier looks with boxes")
    add("--data", type=Path, metavar="DATA", help="images for --cka and batch norm; default: those of another option")
    add("--out", type=output, metavar="DIR", help="folder of the page; default: RUN/analysis")
    add("--images", type=int, default=100, metavar="N", help="images of each DATA at most; default: 100")
    add("--size", type=int, nargs="+", help="voxels that images are resized to; default: what suits the run")
    add("--seed", type=int, default=0, help="default: 0")
    add("--device", help="default: the GPU if there is one")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    import torch

    from monai_ssl.analysis.analyse import Request, analyse

    request = Request(
        cka=args.cka,
        gradcam=args.gradcam,
        embedding=args.embedding,
        probes=args.probes,
        localize=args.localize,
        data=args.data,
        limit=args.images,
        size=None if args.size is None else tuple(args.size),
        seed=args.seed,
    )
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    beside = args.run_dir if args.run_dir.is_dir() else args.run_dir.parent
    page = analyse(args.run_dir, args.out or beside / "analysis", request, device)
    print(f"Written: {page}")
    return 0


__all__ = ["add_parser", "run"]
