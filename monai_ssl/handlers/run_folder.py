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
from monai_ssl.handlers.failure import at_failure
from monai_ssl.handlers.pictures import PICTURES
from monai_ssl.places import on_disk
from monai_ssl.process_lock import acquire, release
from monai_ssl.transfer.sharded_state import SHARDS

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
"""Name of the newest state of a run, from which it continues."""
_LOCK = ".lock"
_EARLIER = "earlier"
_RESULTS = (
    # first, so that nobody continues a run of which a part is already elsewhere
    CHECKPOINT,
    "best.pt",
    f"{SHARDS}*",
    "model.pt",
    "model.json",
    "encoder.safetensors*",
    "unet.safetensors*",
    "monai_network.safetensors",
    "MODEL_CARD.md",
    PICTURES,
    "mlflow_run.txt",
    "metrics.csv",
    "*_raw.csv",
    "*_summary.csv",
    "cases.csv",
    "predictions",
)
"""What a run and its evaluation leave; prepared data, words and MLflow's database serve several runs and stay."""


class RunFolder:
    """Ignite handler that makes a folder that of one run, before anything is written there; put it first.

    A second process is refused while the first one lives. What a killed run was writing is removed. All results of an
    earlier run that is not continued are moved to ``earlier/<time>``. Active on rank 0 only.

    Args:
        output_dir: folder of the run.
        resume: continue from ``checkpoint.pt`` if it is there, or from a given file.
        overwrite: when ``False``, results that are not continued are no reason to move them, but to stop.

    Raises:
        ValueError: when the folder is a URL; in training, when another process trains into it, or it holds what may
            not be moved.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "best.pt").touch()
    ...     _ = RunFolder(folder).claim()
    ...     [path.parts[-3] for path in Path(folder).rglob("best.pt")]
    ['earlier']
    """

    def __init__(self, output_dir: str | Path, resume: bool | str | Path = False, *, overwrite: bool = True) -> None:
        self.root, self.resume, self.overwrite = on_disk(output_dir, "output_dir"), resume, overwrite

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
            at_failure(engine, lambda error: self.free())

    def claim(self) -> Path | None:
        """Hold the folder, and clear it for this run; return where an earlier run was moved to."""
        self.root.mkdir(parents=True, exist_ok=True)
        # of a run of this process that was broken off where no handler could see it
        release(self.root / _LOCK)
        acquire(
            self.root / _LOCK,
            f"Another run ({{holder}}) is training into {self.root}: wait until it ends, or give another `output_dir`.",
        )
        sweep(self.root, self.root / PICTURES)
        left = [] if self.continues else list(self.results())
        if left and not (self.overwrite or self.resume):
            self.free()
            raise ValueError(
                f"{self.root} holds the results of an earlier run ({', '.join(path.name for path in left[:3])}): "
                "`--resume true` continues it, `--overwrite true` begins anew and keeps them in `earlier`; or give "
                "another `output_dir`."
            )
        return self._move_aside(left) if left else None

    def free(self) -> None:
        """Let others have the folder."""
        release(self.root / _LOCK)

    def results(self) -> Iterator[Path]:
        """Yield what a run left here, what it is continued from first."""
        for pattern in _RESULTS:
            yield from sorted(self.root.glob(pattern))

    def place_for_earlier(self) -> Path:
        """Make a new folder for what an earlier run left."""
        kept = self.root / _EARLIER / f"{time.strftime('%Y%m%d_%H%M%S')}_{os.getpid()}"
        while kept.exists():
            kept = kept.with_name(f"{kept.name}_")
        kept.mkdir(parents=True)
        return kept

    def _move_aside(self, results: list[Path]) -> Path:
        kept = self.place_for_earlier()
        for path in results:
            path.rename(kept / path.name)
        logger.warning(
            "%s holds an earlier run, whose results were moved to %s; `--resume true` would have continued it.",
            self.root,
            kept,
        )
        return kept


__all__ = ["CHECKPOINT", "RunFolder"]
