"""How a bundle's run begins: device, precision, seeds, processes, console log."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import MutableMapping
from typing import Any

import torch
from ignite import distributed as idist
from monai.utils import set_determinism

from monai_ssl.bundle.command_line import refuse_unknown_keys, typed, understand_words
from monai_ssl.bundle.orphans import end_with_torchrun
from monai_ssl.errors import explain_mistakes


def device() -> torch.device:
    """The GPU of this process under ``torchrun``, else the first GPU, else the CPU.

    Raises:
        ValueError: when ``torchrun`` started more processes than there are GPUs.

    >>> device().type in ("cpu", "cuda")
    True
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= count:
        raise ValueError(
            f"`torchrun` started a process number {number + 1} here, but this machine has {count} GPU"
            f"{'s' if count > 1 else ''}: give `--nproc_per_node={count}`."
        )
    return torch.device("cuda", number)


def has_fast_half(device: torch.device | str) -> bool:
    """Whether half precision pays on a device: on every GPU, and on CPUs with matrix instructions for bfloat16.

    >>> has_fast_half("cuda")
    True
    """
    if torch.device(device).type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported())
    return True


def setup(seed: int, references: MutableMapping[str, Any] | None = None) -> None:
    """Begin a run: refuse unknown keys, join the other processes of ``torchrun``, seed everything.

    Args:
        seed: of Python, NumPy and PyTorch.
        references: ``__local_refs``, by which MONAI gives an expression what it has resolved; with it, typed paths
            and words of JSON mean what the user meant.

    Raises:
        ValueError: when nothing reads a key that the user typed, as a misspelled one.

    >>> setup(seed=3)
    >>> drawn = torch.rand(4)
    >>> setup(seed=3)
    >>> torch.equal(torch.rand(4), drawn)
    True
    >>> set_determinism(None)
    """
    explain_mistakes()
    words = typed()
    refuse_unknown_keys(words)
    if references is not None:
        understand_words(words, references)
    # a packed bundle has a file for it; does nothing where somebody has configured the log
    logging.basicConfig(level=logging.INFO, format="%(asctime)s - %(levelname)s - %(message)s")
    for engine in ("SSLTrainer", "SupervisedTrainer", "SupervisedEvaluator"):
        logging.getLogger(f"ignite.engine.engine.{engine}").addFilter(_is_news)
    # of every picture: MONAI turns it by the first two letters of RAS, which is what is wanted
    warnings.filterwarnings("ignore", r"axcodes \(.*\) length is smaller than number of input spatial dimensions D=2")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and idist.get_world_size() == 1:
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        idist.initialize("nccl" if torch.cuda.is_available() else "gloo")
        end_with_torchrun()
    set_determinism(seed)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is not Ignite's "resuming from iteration 0", said of every run that MONAI's engines begin."""
    return not str(record.msg).startswith("Engine run resuming from iteration 0,")


def scaled_lr(base_lr: float, batch_size: int) -> float:
    """The learning rate for the batch of all processes, in proportion to that for 256 samples (Goyal et al., 2017).

    >>> scaled_lr(0.3, batch_size=512)
    0.6
    """
    return base_lr * batch_size * idist.get_world_size() / 256


def root_scaled_lr(base_lr: float, batch_size: int) -> float:
    """The learning rate for the batch of all processes, that for 1024 samples times the root of its share (DINOv2).

    >>> root_scaled_lr(0.002, batch_size=256)
    0.001
    """
    return float(base_lr * (batch_size * idist.get_world_size() / 1024) ** 0.5)
