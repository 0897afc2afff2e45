"""Folder of a training run: held by one process; results of an earlier run are moved aside."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ignite import distributed as idist
from ignite.engine import Engine, Events

from monai_ssl.files import sweep
from monai_ssl.handlers.pictures import PICTURES
from monai_ssl.process_lock import acquire, release

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
"""Name of the newest state of a run, from which it continues."""
_LOCK = ".lock"
_EARLIER = "earlier"
_RESULTS = (
    # first, so that nobody continues a run of which a part is already elsewhere
    CHECKPOINT,
    "best.pt",
    "model.pt",
    "model.json",
    "encoder.safetensors*",
    "unet.safetensors*",
    "MODEL_CARD.md",
    PICTURES,
    "mlflow_run.txt",
    "metrics.csv",
    "*_raw.csv",
    "*_summary.csv",
    "cases.csv",
)
"""What a run and its evaluation leave; prepared data, words and MLflow's database serve several runs and stay."""


class RunFolder:
    """Ignite handler that makes a folder that of one run, before anything is written there; put it first.

    A second process is refused while the first one lives. What a killed run was writing is removed. All results of an
    earlier run that is not continued are moved to ``earlier/<time>``. Active on rank 0 only.

    Args:
        output_dir: folder of the run.
        resume: continue from ``checkpoint.pt`` if it is there, or from a given file.

    Raises:
        ValueError: in training, when another process trains into the folder.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "best.pt").touch()
    ...     _ = RunFolder(folder).claim()
    ...     [path.parts[-3] for path in Path(folder).rglob("best.pt")]
    ['earlier']
    """

    def __init__(self, output_dir: str | Path, resume: bool | str | Path = False) -> None:
        self.root, self.resume = Path(output_dir), resume

    @property
    def source(self) -> Path | None:
        """The checkpoint to continue from; ``None`` for a new run."""
        own = self.root / CHECKPOINT
        if self.resume in (True, False):
            return own if self.resume and own.is_file() else None
        return Path(str(self.resume))

    @property
    def continues(self) -> bool:
        """Whether the run that the folder holds goes on."""
        return self.source is not None and self.source.resolve().parent == self.root.resolve()

    def attach(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.STARTED, self.claim)
            engine.add_event_handler(Events.COMPLETED, self.free)

    def claim(self) -> None:
        """Hold the folder, and clear it for this run."""
        self.root.mkdir(parents=True, exist_ok=True)
        # of an earlier run of this process that ended in an exception
        release(self.root / _LOCK)
        acquire(
            self.root / _LOCK,
            f"Another run ({{holder}}) is training into {self.root}: wait until it ends, or give another `output_dir`.",
        )
        sweep(self.root, self.root / PICTURES)
        left = [] if self.continues else list(self.results())
        if left:
            self._move_aside(left)

    def free(self) -> None:
        """Let others have the folder."""
        release(self.root / _LOCK)

    def results(self) -> Iterator[Path]:
        """Yield what a run left here, what it is continued from first."""
        for pattern in _RESULTS:
            yield from sorted(self.root.glob(pattern))

    def _move_aside(self, results: list[Path]) -> None:
        kept = self.root / _EARLIER / f"{time.strftime('%Y%m%d_%H%M%S')}_{os.getpid()}"
        while kept.exists():
            kept = kept.with_name(f"{kept.name}_")
        kept.mkdir(parents=True)
        for path in results:
            path.rename(kept / path.name)
        logger.warning(
            "%s holds an earlier run, whose results were moved to %s; `--resume true` would have continued it.",
            self.root,
            kept,
        )


__all__ = ["CHECKPOINT", "RunFolder"]
