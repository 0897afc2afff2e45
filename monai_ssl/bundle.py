"""What the bundles' JSON names: the parts that never vary between methods."""

from __future__ import annotations

import difflib
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite import distributed as idist
from monai.bundle import ConfigParser
from monai.utils import set_determinism

_READ_BY_MONAI = {
    "imports",
    "bundle_root",
    "initialize",
    "finalize",
    "run",
    "pretrain",
    "evaluate",
    "name",
    "workflow_type",
    "tracking_uri",
    "experiment_name",
    "run_name",
    "save_execute_config",
    "is_not_rank0",
    "displayable_configs",
    "train",
    "validate",
    "evaluator",
}
_REFERENCE = re.compile(r"[@%](\w+)")


def device() -> torch.device:
    """The GPU of this process under ``torchrun``, else the first GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def setup(seed: int) -> None:
    """Begin a run: refuse unknown keys, join the other processes of ``torchrun``, seed everything.

    Raises:
        ValueError: when a top-level key of the configuration is read by nothing, as a misspelt override is.
    """
    config = _running_config()
    if config is not None:
        refuse_unknown_keys(config)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and idist.get_world_size() == 1:
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        idist.initialize("nccl" if torch.cuda.is_available() else "gloo")
    set_determinism(seed)


def refuse_unknown_keys(config: Mapping[str, Any]) -> None:
    """Raise unless every top-level key is referred to by another, or is one that MONAI itself reads.

    MONAI adds an override that it does not know to the configuration, where nothing reads it: ``--epoch 3`` trains
    the default number of epochs without a word.

    Raises:
        ValueError: naming the unknown keys and the nearest known ones.
    """
    referred = set(_REFERENCE.findall(str({k: v for k, v in config.items() if k != "_meta_"})))
    known = sorted(k for k in config if k in referred)
    unknown = [k for k in config if k not in referred and k not in _READ_BY_MONAI and not k.startswith("_")]
    if not unknown:
        return
    hints = []
    for key in unknown:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or [k for k in known if key in k][:1]
        hints.append(f"`{key}`" + (f" (did you mean `{near[0]}`?)" if near else ""))
    raise ValueError(
        f"Nothing in this bundle reads {', '.join(hints)}. Keys that can be set: {', '.join(known)}; "
        "parts of them with `#`, as in `--optimizer#lr`."
    )


def _running_config() -> Mapping[str, Any] | None:
    # MONAI gives an expression no access to the parser that evaluates it, except that it is the caller
    frame = sys._getframe(1)
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            config: Mapping[str, Any] = parser.get()
            return config
        frame = frame.f_back  # type: ignore[assignment]
    return None
