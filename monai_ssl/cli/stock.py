"""The stock MONAI command of a bundle: printed, so that it can be copied, and run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from monai_ssl.config_texts import as_path, path_text
from monai_ssl.stock_runs import StockRun


def run_stock(stock: StockRun, overrides: Sequence[str]) -> int:
    """Print and run ``python -m monai.bundle run``; return its exit code.

    Args:
        stock: what is run.
        overrides: further options as the user wrote them.
    """
    config = stock.files[0] if len(stock.files) == 1 else str(stock.files)
    words = [
        "-m",
        "monai.bundle",
        "run",
        stock.run_id,
        "--config_file",
        config,
        "--bundle_root",
        path_text(stock.bundle),
    ]
    words += [word for key, value in stock.settings.items() for word in (f"--{key}", str(value))]
    words += [_literal(word) for word in overrides]
    print(f"+ python {shlex.join(words)}", flush=True)
    return subprocess.run([sys.executable, *words], check=False).returncode


def _literal(word: str) -> str:
    # MONAI takes `%x` for a macro before it loads anything of this package
    key, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{key}{equals}{as_path(value)}"


__all__ = ["run_stock"]
