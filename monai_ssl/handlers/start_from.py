"""Initialize a stage of pre-training from the checkpoint of an earlier one (warm start)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ssl.transfer import load_weights, read_card
from monai_ssl.transfer.weights_file import read_checkpoint

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

    >>> from tempfile import TemporaryDirectory
    >>> from types import SimpleNamespace
    >>> import torch
    >>> from monai_ssl.methods import SimCLR
    >>> from monai_ssl.networks import ConvEncoder
    >>> earlier, method = (SimCLR(ConvEncoder(2, widths=(4, 8)), hidden=8, dim=4) for _ in range(2))
    >>> with TemporaryDirectory() as folder:
    ...     torch.save(earlier.state_dict(), f"{folder}/model.pt")
    ...     StartFrom(f"{folder}/model.pt").attach(SimpleNamespace(method=method, data_seen=[]))
    >>> all(torch.equal(own, other) for own, other in zip(method.parameters(), earlier.parameters()))
    True
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = path

    def attach(self, engine: SSLTrainer) -> None:
        """Copy at once, before any handler that resumes."""
        if not self.path:
            return
        load_weights(engine.method, self.path, "encoder")
        account = load_weights(engine.method, self.path, "method", strict=False)
        engine.method.after_start()
        logger.info("Starting from an earlier stage.\n%s", account.table())
        engine.data_seen += _data_seen_by(Path(self.path))


def _data_seen_by(weights: Path) -> list[str]:
    """Return the fingerprints of the data that the weights of a run have seen."""
    beside = weights.with_name("encoder.safetensors")
    card = read_card(beside) if beside.is_file() else None
    if card is not None:
        return [*card.earlier_data, card.data_fingerprint]
    return list(read_checkpoint(weights).get("data_seen", []))


__all__ = ["StartFrom"]
