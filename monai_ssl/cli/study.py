"""``python -m monai_ssl study``: methods x tasks x labels x schemes x seeds, from pre-training to a page of results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ssl.cli.preview import parse_overrides

_SOME_FAILED = 1


def add_parser(subparsers: Any) -> None:
    """Add the command to ``python -m monai_ssl``."""
    parser = subparsers.add_parser(
        "study",
        help="compare methods on your tasks, with scratch beside them",
        description="Run a study file: pre-train, fine-tune on few and many labels, test, report. The same command "
        "continues a study that was stopped, and repeats what failed.",
        epilog="Anything else changes the study file: --tasks#liver#dataset_dir /data/liver --seeds '[0,1,2]'",
        allow_abbrev=False,
    )
    parser.add_argument("study", type=Path, metavar="STUDY.json")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="jobs at once, default 1; one GPU each")
    parser.add_argument(
        "--backend",
        choices=("processes", "dask"),
        default="processes",
        help="dask: the cluster of DASK_SCHEDULER_ADDRESS, with a shared file system",
    )
    parser.add_argument("--dry-run", action="store_true", help="check the study file; show the matrix and the data")
    parser.add_argument("--report-only", action="store_true", help="write the report of what is there")
    parser.add_argument(
        "--pack",
        type=Path,
        metavar="FILE",
        help="write the results that are there, without patients, data and weights, for `results` of a study file",
    )
    parser.set_defaults(takes_overrides=True)


def run(args: argparse.Namespace) -> int:
    """Run the study; return 1 when a job failed, or would for want of data.

    Raises:
        ValueError: when ``--workers`` is below 1 or the study file is wrong.
    """
    from monai_ssl.study.folder import StudyFolder
    from monai_ssl.study.packed_results import pack_results
    from monai_ssl.study.plan import read_study
    from monai_ssl.study.report.report import write_report
    from monai_ssl.study.report.tables import summary_text
    from monai_ssl.study.run_study import run_study, table_of
    from monai_ssl.study.study_data import look_at_data

    if args.workers < 1:
        raise ValueError(f"`--workers` must be at least 1, got {args.workers}.")
    study = read_study(args.study, parse_overrides(args.overrides))
    folder = StudyFolder(study.output_dir)
    if args.dry_run:
        found, missing = look_at_data(study)
        print(table_of(study), *found, *missing, sep="\n")
        return _SOME_FAILED if missing else 0
    if args.report_only:
        report = write_report(folder.root)
        print(summary_text(folder.summary), f"Report: {report}", sep="\n")
        return 0
    if args.pack is not None:
        print(f"{pack_results(folder, args.pack)} results: {args.pack}")
        return 0
    summary = run_study(study, workers=args.workers, backend=args.backend, say=lambda line: print(line, flush=True))
    for title, reason in summary.failed:
        print(f"FAILED {title}: {reason}")
    print(f"{summary.done} cells done, {len(summary.failed)} jobs failed; results in {study.output_dir}")
    print(summary_text(folder.summary), f"Report: {summary.report}", sep="\n")
    return _SOME_FAILED if summary.failed else 0
