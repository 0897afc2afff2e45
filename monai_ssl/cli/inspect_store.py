"""``inspect``: say and show what is in a store."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "inspect",
        help="say and show what is in a store",
        description="Print counts, modalities, sizes, spacings and problems of a store; write a sheet of pictures.",
        epilog="example:\n  python -m monai_ssl inspect store --scans 40\n      the sheet is store/sheet.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help="folder written by `prepare`, or URL by `upload`")
    parser.add_argument("--scans", type=int, default=24, help="scans on the sheet at most; 0: no sheet; default: 24")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Inspect; also list what the last preparation could not read, on the console only."""
    from monai_ssl.files import read_json
    from monai_ssl.store.inspection import inspect_store
    from monai_ssl.store.layout import PRIVATE, REPORT
    from monai_ssl.store.sheet import write_sheet
    from monai_ssl.store.store import Store

    if args.scans < 0:
        raise ValueError(f"--scans must be 0 or more, got {args.scans}.")
    store = Store(args.store)
    inspection = inspect_store(store)
    failed = (read_json(store.path / PRIVATE / REPORT) or {}).get("failed", [])
    if args.json:
        print(json.dumps({**inspection.to_dict(), "failed": failed}, indent=1))
    else:
        print(inspection.table())
        for name, reason in failed:
            print(f"FAILED          {name}: {reason}")
    if args.scans and not store.read_only:
        shown = write_sheet(store.scans, store.path / "sheet.png", args.scans)
        if shown and not args.json:
            print(f"pictures        {store.path / 'sheet.png'} ({shown} scans)")
    return 0
