"""The stock MONAI command of a bundle: built from a short one, printed, and run."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def stock_command(run_id: str, folder: Path, configs: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return ``python -m monai.bundle run ...`` as a list of words.

    Args:
        run_id: what the bundle is to run.
        folder: of the bundle.
        configs: names of its configurations, each laid over those before it.
        words: options, which the configurations must have.
    """
    paths = [str(folder / "configs" / f"{name}.json") for name in configs]
    files = paths[0] if len(paths) == 1 else str(paths)
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", files]
    return [*command, "--bundle_root", str(folder), *words]


def run_stock(command: Sequence[str]) -> int:
    """Print a command so that it can be copied, and run it; return its exit code."""
    print(f"+ python {shlex.join(command[1:])}", flush=True)
    return subprocess.run(command, check=False).returncode


def options(args: argparse.Namespace, **named: object) -> list[str]:
    """Return named options that were given, and after them what the user wrote for the bundle as it stands."""
    given = [word for name, value in named.items() if value is not None for word in (f"--{name}", str(value))]
    return [*given, *args.overrides]


__all__ = ["options", "run_stock", "stock_command"]
