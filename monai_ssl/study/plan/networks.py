"""Whether the networks of a study can be built, and the decoder that a method trains fits into that of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from monai_ssl.study.plan.bundle_files import digest, parsed, read_config
from monai_ssl.study.plan.methods import Pretraining
from monai_ssl.study.plan.tasks import StudyTask
from monai_ssl.study.plan.without_memory import without_memory

Shapes = Mapping[str, tuple[int, ...]]


def check_network(method: Pretraining, dataset_dir: str | Path) -> None:
    """Build what a pre-training trains, so that what cannot be built is said before anything runs.

    Args:
        method: with a bundle.
        dataset_dir: of its scans; what a method keeps for each scan, as a memory bank, depends on their number.

    Raises:
        ValueError: with the reason, when it cannot be built.
    """
    _built(method, {**method.overrides, "dataset_dir": str(dataset_dir)})


class Decoders:
    """Names and shapes of the weights of a study's decoders; each network is built once, however many arms have it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Shapes] = {}

    def of_task(self, task: StudyTask, encoder: Mapping[str, Any]) -> Shapes:
        """Return those of a task's network around an encoder; nothing where it has no decoder."""
        return self._once(("task", task.name, digest(encoder)), lambda: _of_task(task, encoder))

    def of_method(self, method: Pretraining) -> Shapes:
        """Return those that a method trains, or given weights hold; nothing where there is no decoder."""
        return self._once(("pretraining", method.name), lambda: _of_method(method))

    def _once(self, key: tuple[str, ...], find: Callable[[], Shapes]) -> Shapes:
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]


def part_for(method: Pretraining, decoder_from: Pretraining, task: StudyTask, decoders: Decoders) -> str | None:
    """Return the part of a pre-trained network that the task's network starts from; ``None``: as its bundle says.

    A network without a decoder, as of a classification, starts from the encoder, whatever the method says.

    Args:
        method: whose encoder is meant.
        decoder_from: whose decoder is meant.
        task: downstream.
        decoders: of the study.

    Raises:
        ValueError: when a decoder is asked for that is not trained or does not fit.
    """
    asked = method.part or task.overrides.get("part")
    if asked not in ("decoder", "both"):
        return method.part
    wanted = decoders.of_task(task, method.encoder)
    if not wanted:
        if method.part is None:
            raise ValueError(f"`tasks#{task.name}#overrides#part` is {asked!r}, but its network has no decoder.")
        return "encoder"
    trained = decoders.of_method(decoder_from)
    place = f"`pretraining#{decoder_from.name}`"
    if not trained:
        raise ValueError(
            f"{place} trains no decoder, and {asked!r} of it is asked for on {task.name}: set `part` of "
            f"`pretraining#{method.name}` to 'encoder'."
        )
    differing = sorted(name for name in wanted if trained.get(name) != wanted[name])
    if differing:
        name = differing[0]
        raise ValueError(
            f"The decoder of {place} does not fit that of {task.name}: its `{name}` is {trained.get(name, 'missing')}, "
            f"where the task's is {wanted[name]}; give both the same `skips` and widths, or set `part` to 'encoder'."
        )
    return method.part


def _of_task(task: StudyTask, encoder: Mapping[str, Any]) -> Shapes:
    key = f"tasks#{task.name}"
    overrides = {**task.overrides, "encoder": {**encoder, "in_channels": "@in_channels"}}
    parser = read_config(task.bundle, "train", overrides, key)
    with without_memory():
        return _shapes(getattr(parsed(parser, "network_def", key), "decoder", None))


def _of_method(method: Pretraining) -> Shapes:
    if method.weights is not None:
        from monai_ssl.transfer.weights_file import part_shapes

        return part_shapes(method.weights, "decoder")
    return _shapes(_built(method, method.overrides).decoder)


def _built(method: Pretraining, overrides: Mapping[str, Any]) -> Any:
    assert method.bundle is not None
    key = f"pretraining#{method.name}"
    parser = read_config(method.bundle, method.config, overrides, key)
    with without_memory():
        return parsed(parser, "network_def", key)


def _shapes(decoder: nn.Module | None) -> Shapes:
    return {} if decoder is None else {name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()}
