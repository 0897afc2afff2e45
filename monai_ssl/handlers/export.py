"""Export: encoder and decoder as safetensors with their model card, and the whole method for inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite import distributed as idist
from ignite.engine import Events
from torch import Tensor

from monai_ssl.engines.ssl_trainer import SSLTrainer
from monai_ssl.files import atomic, write_json
from monai_ssl.handlers.checkpoint import save_atomically
from monai_ssl.methods import Method
from monai_ssl.networks import MonaiEncoder, recipe_of
from monai_ssl.transfer import ModelCard, read_card
from monai_ssl.transfer.export import collect_weights, write_weights
from monai_ssl.transfer.shards import gathered, whole_state

_logger = logging.getLogger(__name__)
_NETWORK = "monai_network.safetensors"
_ENCODER, _UNET, _METHOD, _DESCRIPTION = "encoder.safetensors", "unet.safetensors", "model.pt", "model.json"


class Export:
    """Write ``encoder.safetensors`` with its model card, and ``model.pt``, whenever some epochs have ended.

    When the run ends, or has been at its end and is continued, what is missing or of an earlier epoch is written again.

    The encoder is what the downstream bundles load by ``--weights``. A method that trains a decoder leaves both in
    ``unet.safetensors``, for ``--weights`` with ``--part both`` or ``decoder``. A network of MONAI is also in
    ``monai_network.safetensors``, by MONAI's own names, for scripts without this package. ``model.pt`` is the state of
    the whole method, which ``inference.json`` loads; ``model.json`` says how it is built and what it expects of images.

    Args:
        output_dir: where the files go.
        method: name of the method, e.g. ``"pcrlv2"``.
        preset: of the method.
        encoder: how to build the encoder again: ``_target_`` and its arguments.
        facts: what the card says of the data, see ``PretrainingScans.facts``.
        every_epochs: epochs between two exports; the last epoch always makes one.
        data_license: of the data, in the user's words.
        window_size: voxels of a window, for inference.
    """

    def __init__(
        self,
        output_dir: str | Path,
        method: str,
        preset: str,
        encoder: Mapping[str, Any],
        facts: Mapping[str, Any],
        *,
        every_epochs: int = 10,
        data_license: str = "not stated",
        window_size: Sequence[int] = (),
    ) -> None:
        self.directory = Path(output_dir)
        self.method, self.preset, self.encoder = method, preset, encoder
        self.facts, self.every_epochs, self.data_license = facts, every_epochs, data_license
        self.window_size = window_size

    def attach(self, engine: SSLTrainer) -> None:
        if engine.takes_part:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._write_in_turn)
            engine.add_event_handler(Events.COMPLETED, self._write_missing)
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.COMPLETED, self._tell)

    def _write_in_turn(self, trainer: SSLTrainer) -> None:
        if trainer.state.epoch % self.every_epochs == 0 or trainer.state.epoch == trainer.state.max_epochs:
            self(trainer)

    def _write_missing(self, trainer: SSLTrainer) -> None:
        if trainer.state.epoch and not trainer.first_decides(self._is_whole(trainer)):
            self(trainer)

    def _is_whole(self, trainer: SSLTrainer) -> bool:
        """Whether all files are there, with the weights of this iteration."""
        weights = [name for name in (_UNET, _ENCODER) if name == _ENCODER or trainer.method.decoder is not None]
        names = [*weights, *(f"{name}.card.json" for name in weights), "MODEL_CARD.md", _METHOD]
        names += [_DESCRIPTION] if self.window_size else []
        names += [_NETWORK] if isinstance(trainer.method.encoder, MonaiEncoder) else []
        if not all((self.directory / name).is_file() for name in names):
            return False
        try:
            cards = [read_card(self.directory / name) for name in weights]
        except ValueError:  # a damaged file
            return False
        return all(card is not None and card.iterations == trainer.state.iteration for card in cards)

    def __call__(self, trainer: SSLTrainer) -> None:
        """Write all files; of a method that processes share, all must call it, and the first writes."""
        encoder, decoder = trainer.method.encoder, trainer.method.decoder
        # once: of a method that processes share, each tensor is sent around
        network = collect_weights(trainer.method, ("encoder",) if decoder is None else ("encoder", "decoder"))
        weights = {} if decoder is None else {_UNET: network}
        weights[_ENCODER] = {name: tensor for name, tensor in network.items() if name.startswith("encoder.")}
        method = whole_state(trainer.method)
        plain = gathered(encoder.own_state(decoder)) if isinstance(encoder, MonaiEncoder) else None
        if idist.get_rank() != 0:
            return
        card = self._card(trainer)
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, tensors in weights.items():
            write_weights(tensors, self.directory / name, card)
        if plain is not None:
            self._publish_plain(plain)
        save_atomically(method, self.directory / _METHOD)
        if self.window_size:
            write_json(self.directory / _DESCRIPTION, self._described(trainer.method))

    def _card(self, trainer: SSLTrainer) -> ModelCard:
        state = trainer.state
        return ModelCard(
            method=self.method,
            preset=self.preset,
            encoder=self.encoder,
            epochs=state.epoch,
            iterations=state.iteration,
            data_license=self.data_license,
            window_size=tuple(self.window_size),
            earlier_data=tuple(data for data in trainer.data_seen if data != self.facts.get("data_fingerprint")),
            **self.facts,
        )

    def _publish_plain(self, tensors: Mapping[str, Tensor]) -> None:
        from safetensors.torch import save

        # clones: safetensors refuses tensors that share memory
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        with atomic(self.directory / _NETWORK) as file:
            file.write(save(plain, metadata={"format": "pt"}))

    def _described(self, method: Method) -> dict[str, Any]:
        facts = {name: self.facts.get(name) for name in ("modality", "intensity", "normalize", "spacing")}
        return {"method": recipe_of(method), "window_size": list(self.window_size), **facts}

    def _tell(self, trainer: SSLTrainer) -> None:
        encoder = self.directory / _ENCODER
        if encoder.is_file():
            _logger.info(
                "The encoder for fine-tuning (`--weights`) is %s, described in MODEL_CARD.md beside it.", encoder
            )
