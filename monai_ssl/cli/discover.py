"""``discover``: find visual words, for TransVW."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.outputs import output
from monai_ssl.cli.weights import weights

_EXAMPLES = """examples:
  python -m monai_ssl discover STORE --weights AE/encoder.safetensors --words 45 --out words.json
      patients compared by an encoder, as in the paper; any weights of this package will do
  python -m monai_ssl discover STORE --out words.json --size 32 32 32
      compared by the intensity profile of the body, smaller windows
  python -m monai_ssl discover XRAYS --out words.json --size 224 224 --common-size 448 448 --background none
      2-D: all images count as 448 x 448

Then: --words words.json --num_words 45 --roi_size "[64,64,32]" in bundles/transvw, with the same seed, validation and
exclude.
"""
_WHOLE = {2: (256, 256), 3: (128, 128, 64)}
"""Voxels that a scan is resized to for the encoder; those of TransVW in 3-D."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "discover",
        help="find visual words for TransVW",
        description="Find places in the body and cut them from patients who look alike: the classes of TransVW.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("store", metavar="STORE", help="folder written by `prepare`, or URL by `upload`")
    add("--out", type=output, required=True, metavar="JSON", help="the list to write")
    add("--weights", type=weights, help="encoder that compares patients; default: none, their intensity profile")
    add("--words", type=int, default=45, help="classes; default: 45")
    add("--size", type=int, nargs="+", default=[64, 64, 32], help="voxels of a window; default: 64 64 32")
    add("--common-size", type=int, nargs="+", help="voxels that all scans count as having; default: their own")
    add("--whole-size", type=int, nargs="+", help="voxels of a scan for the encoder; default: 128 128 64 or 256 256")
    add("--patients", type=int, help="that a word is cut from; default: 200, or all where fewer")
    add("--words-per-reference", type=int, help="words of one patient at most; default: as few as suffice")
    add("--min-distance", type=float, default=5.0, help="voxels between any two words; default: 5")
    add(
        "--background", choices=("paper", "reference", "none"), default="paper", help="rule for windows; default: paper"
    )
    add("--validation", type=float, default=0.1, help="fraction of patients not trained on; default: 0.1")
    add("--exclude", type=Path, metavar="SPLIT", help="split whose test patients are left out")
    add("--seed", type=int, default=0, help="default: 0")


def run(args: argparse.Namespace) -> int:
    """Write the list and say what is in it."""
    from monai_ssl.data import PretrainingScans
    from monai_ssl.store import Store
    from monai_ssl.transforms.crops.background import BackgroundRule
    from monai_ssl.words import WordList, WordOptions, discover_words
    from monai_ssl.words.visual_words import acceptance, request_of

    options = WordOptions(
        num_words=args.words,
        size=args.size,
        common_size=args.common_size,
        patients=args.patients,
        words_per_reference=args.words_per_reference,
        min_distance=args.min_distance,
        seed=args.seed,
    )
    dims = len(args.size)
    Store(args.store)  # a tree of scans is not prepared on the way
    scans = PretrainingScans(
        args.store, args.out.parent, dims, validation=args.validation, exclude=args.exclude, seed=args.seed
    )
    background = None if args.background == "none" else BackgroundRule(args.background, 0.425, 0.85, 0.15)
    train, validation, features = describe(scans, args.weights, args.whole_size or _WHOLE[dims])
    found = discover_words(train, options, validation, acceptance(background))
    WordList(found.words, request_of(scans, options, features, background)).save(args.out)
    first = found.words[0]
    print(
        f"{len(found.words)} words of {len(first.windows)} training and {len(first.validation)} validation patients, "
        f"compared by the {features}.\nWritten: {args.out}"
    )
    return 0


def describe(scans: Any, weights: Path | None, whole_size: Any) -> tuple[Any, Any, str]:
    """Return training and validation scans with their features, and what these are.

    Args:
        scans: with ``train`` and ``validation``.
        weights: of an encoder, with its card; ``None`` for the intensity profile.
        whole_size: voxels of a scan for the encoder.
    """
    from monai_ssl.store.scan_profile import scan_profiles
    from monai_ssl.transfer import scan_features, trained_encoder
    from monai_ssl.words import Described
    from monai_ssl.words.visual_words import PROFILE

    parts = (scans.train, scans.validation)
    if weights is None:
        vectors, name = [scan_profiles(part) if part else None for part in parts], PROFILE
    else:
        encoder, card = trained_encoder(weights, len(whole_size), scans.train[0].shape[0])
        vectors = [scan_features(encoder, part, whole_size, card) if part else None for part in parts]
        name = f"encoder of {weights}"
    train, validation = (None if v is None else Described(p, v) for p, v in zip(parts, vectors, strict=True))
    return train, validation, name


__all__ = ["add_parser", "describe", "run"]
