"""What makes a fine-tuning the run that it is: settings, weights, cases; compared when it is continued."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from monai_ssl.data.cases import Case
from monai_ssl.data.fingerprint import cases_fingerprint
from monai_ssl.errors import AnotherRunError
from monai_ssl.store.conversion.convert import content_hash

logger = logging.getLogger(__name__)
_MAY_CHANGE = ("max_epochs", "lr", "head_lr", "lr_warmup_epochs")
"""What steers the learning rate, which can be computed anew for the epoch that is reached."""


def identity(
    settings: Mapping[str, Any],
    optimizer: Optimizer,
    lr_scheduler: LRScheduler | ReduceLROnPlateau,
    weights: Mapping[str, str | None],
    cases: Mapping[str, Sequence[Case]],
) -> dict[str, Any]:
    """Return what two runs must share to be one, as plain values and without names of files.

    Args:
        settings: plain values by the name of the option.
        optimizer: its kind and options; the learning rate stands in ``settings``.
        lr_scheduler: its kind.
        weights: files by the name of the option.
        cases: by the name of their section.
    """
    options = {name: value for name, value in optimizer.defaults.items() if name != "lr"}
    return {
        **_plain({name: value for name, value in settings.items() if name not in weights}),
        "optimizer": _plain({"kind": type(optimizer).__name__, **options}),
        "lr_scheduler": type(lr_scheduler).__name__,
        **{name: _file(path) for name, path in weights.items()},
        **{f"{name} cases": f"{len(of)} with fingerprint {cases_fingerprint(of)}" for name, of in cases.items()},
    }


def check_same_run(saved: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> list[str]:
    """Return the options that differ and may; they are told.

    Args:
        saved: :func:`identity` of the checkpoint.
        now: that of this run.
        path: of the checkpoint, for messages.

    Raises:
        AnotherRunError: when anything else differs, naming both values.
    """
    changed = [name for name in saved if name in now and saved[name] != now[name]]
    said = [f"`{name}` was {_word(saved[name])} and is now {_word(now[name])}" for name in changed]
    refused = [text for name, text in zip(changed, said, strict=True) if name not in _MAY_CHANGE]
    if refused:
        raise AnotherRunError(
            f"{path} is that of another run: {'; '.join(refused)}. Give what it was to continue, or begin a run of its "
            "own in another `output_dir`, or with `--overwrite true`."
        )
    for text in said:
        logger.warning("%s: the run continues with a learning rate that follows the new plan, not bit for bit.", text)
    return changed


def _file(path: str | None) -> str:
    return f"a file with sha256 {content_hash((Path(path),))[:12]}" if path else "not given"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON keeps, so that a list equals the tuple that it was."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=str))
    return plain


def _word(value: Any) -> str:
    return value if isinstance(value, str) and " " in value else json.dumps(value)


__all__ = ["check_same_run", "identity"]
