"""Initialize pre-training from published weights, or a stage from the checkpoint of an earlier one (warm start)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ssl.networks.momentum import MomentumNetwork
from monai_ssl.transfer import load_weights, read_card
from monai_ssl.transfer.weights_file import part_shapes, read_checkpoint

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer
    from monai_ssl.methods import Method

logger = logging.getLogger(__name__)


class StartFrom:
    """Copy into the method all that fits of an earlier run: networks, momentum networks, queues.

    The whole encoder must be there. Of the rest, tensors with the same name and shape are taken; the log accounts for
    every one. A file that holds an encoder alone, such as a published one, gives it to momentum copies, too. Optimizers
    and schedules begin anew. A run that resumes overwrites all of it with its own checkpoint.

    Args:
        path: ``model.pt`` or ``checkpoint.pt`` of the earlier run, or any file of weights whose encoder is built like
            that of this run, see :func:`monai_ssl.transfer.load_weights`; nothing happens when ``None``.

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
        method, path = engine.method, Path(self.path)
        accounts = [load_weights(method, path, "encoder")]
        _give_to_copies(method)
        if path.suffix == ".safetensors":
            if method.decoder is not None and part_shapes(path, "decoder"):
                accounts.append(load_weights(method, path, "decoder"))
        else:
            rest = load_weights(method, path, "method", strict=False)
            accounts = [rest] if len(rest.loaded) > len(accounts[0].loaded) else accounts
        method.after_start()
        logger.info("Starting from earlier weights.\n%s", "\n".join(account.table() for account in accounts))
        engine.data_seen += _data_seen_by(path)


def _give_to_copies(method: Method) -> None:
    """Momentum networks begin as their online ones do; what the file has of them itself is loaded afterwards."""
    state, kind = method.encoder.state_dict(), type(method.encoder)
    followers = [module for module in method.modules() if isinstance(module, MomentumNetwork)]
    for copy in (inner for follower in followers for inner in follower.modules() if type(inner) is kind):
        if copy.state_dict().keys() == state.keys():
            copy.load_state_dict(state)


def _data_seen_by(weights: Path) -> list[str]:
    """Return the fingerprints of the data that the weights of a run have seen."""
    own = weights if weights.suffix == ".safetensors" else weights.with_name("encoder.safetensors")
    card = read_card(own) if own.is_file() else None
    if card is not None:
        return [data for data in (*card.earlier_data, card.data_fingerprint) if data]
    return [] if own == weights else list(read_checkpoint(weights).get("data_seen", []))


__all__ = ["StartFrom"]
