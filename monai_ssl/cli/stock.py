"""The stock MONAI command of a bundle: printed, so that it can be copied, and run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

from monai_ssl.bundle_folders import is_shipped
from monai_ssl.config_texts import as_path, path_text
from monai_ssl.stock_runs import StockRun

# MONAI asks whether the author of a configuration is to be trusted; of a bundle of this package that is settled
_TRUSTED = ("-W", "ignore:parsing config_file")


def run_stock(stock: StockRun, overrides: Sequence[str]) -> int:
    """Print and run ``python -m monai.bundle run``; return its exit code.

    Args:
        stock: what is run.
        overrides: further options as the user wrote them.
    """
    config = stock.files[0] if len(stock.files) == 1 else str(stock.files)
    words = ["-m", "monai.bundle", "run", stock.run_id, "--config_file", config]
    words += ["--bundle_root", path_text(stock.bundle)]
    words += [word for key, value in stock.settings.items() for word in (f"--{key}", str(value))]
    words += [_literal(word) for word in overrides]
    print(f"+ python {' '.join(map(quoted, words))}", flush=True)
    trusted = _TRUSTED if is_shipped(stock.bundle) else ()
    return subprocess.run([sys.executable, *trusted, *words], check=False).returncode


def _literal(word: str) -> str:
    # MONAI takes `%x` for a macro before it loads anything of this package
    key, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{key}{equals}{as_path(value)}"


def quoted(word: str) -> str:
    """Return a word as a shell takes it, readable where it has single quotes itself, as settings of bundles do.

    >>> print(quoted("{'liver': 1}"), quoted("a b"), quoted("it's $5"))
    "{'liver': 1}" 'a b' 'it'"'"'s $5'
    """
    plain = "'" in word and not re.search(r'["$`\\!]', word)
    return f'"{word}"' if plain else shlex.quote(word)


__all__ = ["quoted", "run_stock"]
