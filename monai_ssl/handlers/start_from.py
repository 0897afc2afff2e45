"""Initialize a stage of pre-training from the checkpoint of an earlier one (warm start)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ssl.transfer import load_weights

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

logger = logging.getLogger(__name__)


class StartFrom:
    """Copy into the method all that fits of an earlier run: networks, momentum networks, queues.

    The whole encoder must be there. Of the rest, tensors with the same name and shape are taken; the log accounts for
    every one. Optimizers and schedules begin anew. A run that resumes overwrites all of it with its own checkpoint.

    Args:
        path: ``model.pt`` or ``checkpoint.pt`` of the earlier run; nothing happens when ``None``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file holds another encoder, or more than tensors.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = path

    def attach(self, engine: SSLTrainer) -> None:
        """Copy at once, before any handler that resumes."""
        if not self.path:
            return
        load_weights(engine.method, self.path, "encoder")
        account = load_weights(engine.method, self.path, "method", strict=False)
        logger.info("Starting from an earlier stage.\n%s", account.table())


__all__ = ["StartFrom"]
