"""``advise``: which pre-training for a task, how to transfer it, and on what evidence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_ssl.study.advice import Advice

_STRENGTHS = {"S1": "weak", "S2": "weak", "S3": "medium", "S4": "medium", "S5": "strong", "S6": "strong"}


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "advise",
        help="say which pre-training suits a task, and on what evidence",
        description="Recommend methods, transfer and warnings for a task: from your own study, then from what was "
        "measured here (docs/evidence.md), then from papers. What is not told counts as unknown.",
        epilog="examples:\n"
        "  python -m monai_ssl advise --task segmentation --modality ct --labels 12 --imbalance 0.05\n"
        "  python -m monai_ssl advise --task segmentation --domain-gap large --results studies/out --labels 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", choices=("classification", "segmentation"))
    parser.add_argument("--modality", help="ct, mr, xray, ...")
    parser.add_argument("--dims", type=int, choices=(2, 3), help="of the images")
    parser.add_argument("--domain-gap", choices=("none", "small", "large"), help="from pre-training to the task")
    parser.add_argument("--symmetry", choices=("rotation_invariant", "oriented"), help="of what is to be found")
    parser.add_argument("--labels", type=int, help="labeled patients or images")
    parser.add_argument("--available", type=int, help="patients or images that could be labeled")
    parser.add_argument("--imbalance", type=float, help="images of the rare class over those of the frequent one")
    parser.add_argument("--minority", type=int, help="images of the rare class")
    parser.add_argument("--resampling", action=argparse.BooleanOptionalAction, help="of classes in training")
    strengths = ("none", "weak", "medium", "strong", *_STRENGTHS)
    parser.add_argument("--augmentation", choices=strengths, help="strength, or level S1 to S6")
    parser.add_argument("--crop", type=int, nargs="+", help="patch of the task, e.g. 64 64 32")
    parser.add_argument("--results", type=Path, metavar="STUDY_DIR", help="folder of your own study, to learn from")
    parser.add_argument("--study-task", help="task of that study; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the advice.

    Raises:
        ValueError: when the task is described by impossible values, or the study cannot be used.
    """
    from monai_ssl.study.advice import advise
    from monai_ssl.study.measured import Measured, measured_here
    from monai_ssl.study.situation import Situation

    situation = Situation(
        task=args.task,
        modality=None if args.modality is None else args.modality.lower(),
        spatial_dims=args.dims,
        domain_gap=args.domain_gap,
        symmetry=args.symmetry,
        labels=args.labels,
        available=args.available,
        imbalance=args.imbalance,
        minority=args.minority,
        resampling=args.resampling,
        augmentation=_STRENGTHS.get(args.augmentation, args.augmentation),
        crop=None if args.crop is None else tuple(args.crop),
    )
    if args.results is None and args.study_task is not None:
        raise ValueError("`--study-task` names a task of a study: give its folder by `--results`, too.")
    own: list[Measured] = []
    if args.results is not None:
        # needs torch and SciPy, which take seconds to import
        from monai_ssl.study.own_results import own_results

        own = own_results(args.results, args.labels, args.study_task)
    asked = {result.method for result in own}
    here = [result for result in measured_here(situation) if result.method not in asked]
    advice = advise(situation, [*own, *here])
    print(json.dumps(advice.to_dict(), indent=1) if args.json else in_words(advice))
    return 0


def in_words(advice: Advice) -> str:
    """Return the advice as lines of text."""
    lines = [f"try             {_method(item)}  [{', '.join(item.evidence)}]" for item in advice.ranked]
    lines += [f"avoid           {item.method}  [{', '.join(item.evidence)}]" for item in advice.avoid]
    for name, choice in advice.choices.items():
        value = " and ".join(choice.value) if name == "imbalance" else choice.value
        lines.append(f"{name.replace('_', ' '):<15} {value}  [{', '.join(choice.evidence)}]")
    lines += [f"note            {warning.value}  [{', '.join(warning.evidence)}]" for warning in advice.warnings]
    lines += [f"OUTSIDE         {reason}" for reason in advice.outside]
    if advice.unknown:
        lines.append(f"unknown         {', '.join(advice.unknown)}: tell them for closer advice")
    lines += [f"confidence      {advice.confidence}", "", "evidence"]
    lines += [f"  {item.source}: {item.id:<4} ({item.confidence}) {item.why}" for item in advice.evidence]
    return "\n".join([*lines, f"limits of the papers: {advice.limits}"])


def _method(item: Any) -> str:
    options = " ".join(f"--{key} {json.dumps(value)}" for key, value in item.overrides.items())
    return f"{item.method} {options}".rstrip()
