"""``embed``: feature vectors of images by pre-trained weights, as a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.weights import weights
from monai_ssl.errors import counted

_EXAMPLES = """examples:
  python -m monai_ssl embed --weights RUN/encoder.safetensors --data /data/ct --out features.csv
      a vector for each scan below /data/ct: DICOM, NIfTI, pictures, whatever `prepare` reads, or a store
  python -m monai_ssl embed --weights RUN --data labeled --regions label --out organs.parquet
      a vector for each structure of each scan, where `labeled` has imagesTr and labelsTr or a datalist
  python -m monai_ssl embed --weights RUN --data store --regions window --out windows.npy
      a vector for each window; windows.rows.csv says where it lies

Images get the spacing, intensities, channels and normalization that stand in the model card of the weights."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "embed",
        help="feature vectors of scans, windows or labeled regions, as a table",
        description="Write the features of images by a pre-trained or fine-tuned encoder.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--weights",
        type=weights,
        required=True,
        metavar="FILE|RUN",
        help="`encoder.safetensors`, a run's folder, or the name of an encoder that comes along: simclr/headneck_ct",
    )
    add(
        "--data",
        required=True,
        metavar="DATA",
        help="a store or its URL, a tree of scans, or a list",
    )
    add("--out", type=output, required=True, metavar="FILE", help="features.csv, .npy or .parquet")
    add("--regions", choices=("scan", "window", "label"), default="scan", help="a vector for each; default: scan")
    add("--window", type=int, nargs="+", metavar="N", help="voxels along each axis; default: as in training")
    add("--strict", action="store_true", help="exit with 1 if any image was left out, after the others are done")
    add("--device", help="default: the GPU if there is one")


def run(args: argparse.Namespace) -> int:
    """Write the table and say what was left out; return 1 if that was everything, or anything under ``--strict``."""
    import torch

    from monai_ssl.analysis.embed import embed_data
    from monai_ssl.analysis.feature_files import check_ending, write_features
    from monai_ssl.analysis.trained_run import read_run

    check_ending(args.out)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    trained = read_run(args.weights, device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # a raw tree is prepared first, on the disk of the result and not into a small /tmp
    with tempfile.TemporaryDirectory(prefix=".embed-", dir=args.out.parent) as folder:
        table = embed_data(trained, args.data, Path(folder), regions=args.regions, window=args.window)
    for name, reason in table.left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if not table.rows:
        print("error: no image could be embedded; the reasons stand above.", file=sys.stderr)
        return 1
    written = write_features(table, args.out)
    images = len({row["image"] for row in table.rows})
    print(
        f"Written: {', '.join(map(str, written))}: {counted(len(table.rows), 'vector')} of {table.features.shape[1]} "
        f"numbers, {counted(images, 'image')}" + (f", {len(table.left_out)} left out" if table.left_out else "")
    )
    return int(args.strict and bool(table.left_out))


__all__ = ["add_parser", "run"]
