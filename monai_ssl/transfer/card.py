"""Model card of published weights: method, data, preprocessing, versions, hash."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from monai_ssl import __version__
from monai_ssl.errors import printable


def package_versions() -> dict[str, str]:
    """Return the versions that shape a training run."""
    versions = {"monai_ssl": __version__}
    for name in ("torch", "monai", "pytorch-ignite", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class ModelCard:
    """Provenance of pre-trained weights, and how an image must look when it meets them.

    Args:
        method: name of the method, e.g. ``"pcrlv2"``.
        preset: of the method.
        encoder: how to build the encoder: ``_target_`` and its arguments.
        modality: ``"ct"``, ``"mr"``, ``"xray"`` or another word for it.
        intensity: how raw intensities became [0, 1], e.g. ``{"window": [-1000, 1000]}`` in HU.
        normalize: what the views did to each image in [0, 1] at their end: ``"zscore"``, ``"imagenet"`` or ``None``.
        spacing: voxel size in mm, one number an axis; ``None`` when scans kept their own.
        channels: of the image.
        orientation: of the array axes.
        window_size: voxels of a window along each axis; empty when that is not known.
        scans: number of scans seen.
        patients: number of patients seen.
        data_fingerprint: hash of the prepared data.
        earlier_data: fingerprints of further data that went into the weights, as of an earlier stage.
        epochs: trained.
        iterations: trained.
        data_license: license of the data, in the words of who trained.
        versions: of the packages.
        tensors_sha256: hash of names, types, shapes and values of all tensors; set by the export.
    """

    method: str
    preset: str
    encoder: Mapping[str, Any]
    modality: str
    intensity: Mapping[str, Any] = field(default_factory=dict)
    normalize: str | None = None
    spacing: tuple[float, ...] | None = None
    channels: int = 1
    orientation: str = "RAS"
    window_size: tuple[int, ...] = ()
    scans: int = 0
    patients: int = 0
    data_fingerprint: str = ""
    earlier_data: tuple[str, ...] = ()
    epochs: int = 0
    iterations: int = 0
    data_license: str = "not stated"
    versions: Mapping[str, str] = field(default_factory=package_versions)
    tensors_sha256: str = ""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str = "the card") -> ModelCard:
        """Read a card; entries that a newer version added are ignored.

        Raises:
            ValueError: when ``text`` is no card.
        """
        try:
            entries = json.loads(text)
            known = {f.name for f in dataclasses.fields(cls)}
            card = cls(**{name: _harmless(value) for name, value in entries.items() if name in known})
            spacing = None if card.spacing is None else tuple(float(size) for size in card.spacing)
            window = tuple(int(size) for size in card.window_size)
            earlier = tuple(map(str, card.earlier_data))
            _check_types(card)
        except (TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"The model card in {source} cannot be read ({error}); export the weights again with `export_weights`."
            ) from error
        return dataclasses.replace(card, spacing=spacing, window_size=window, earlier_data=earlier)

    def disagreements(self, expected: Mapping[str, Any]) -> list[str]:
        """Say in words where images that are prepared as ``expected`` differ from those of pre-training.

        Args:
            expected: any of ``modality``, ``intensity``, ``spacing``, ``channels``, ``orientation``; an entry that
                is ``None`` is not compared.
        """
        sentences = []
        for name in ("modality", "intensity", "spacing", "channels", "orientation"):
            ours, theirs = expected.get(name), getattr(self, name)
            if ours is None or not theirs or _plain(ours) == _plain(theirs):
                continue
            sentences.append(f"{name} is {_plain(ours)} here but was {_plain(theirs)} in pre-training")
        return sentences

    def to_markdown(self, file_name: str) -> str:
        """Return the card for a reader, as the text of ``MODEL_CARD.md``."""
        rows = {
            "Method": f"{self.method}, preset {self.preset}",
            "Encoder": f"`{json.dumps(dict(self.encoder), sort_keys=True)}`",
            "Pre-trained on": f"{self.scans} scans of {self.patients} patients, without labels",
            "Modality": f"{self.modality}, {self.channels} channel{'s' if self.channels != 1 else ''}",
            "Intensities": f"`{json.dumps(dict(self.intensity), sort_keys=True)}`, mapped to [0, 1]"
            + (f", then each image normalized: `{self.normalize}`" if self.normalize else ""),
            "Spacing": "as acquired" if self.spacing is None else f"{' x '.join(f'{s:g}' for s in self.spacing)} mm",
            "Orientation": self.orientation,
            "Windows": " x ".join(map(str, self.window_size)) or "not stated",
            "Training": f"{self.epochs} epochs, {self.iterations} iterations",
            "Data fingerprint": f"`{self.data_fingerprint or 'not given'}`"
            + "".join(f", before that `{data}`" for data in self.earlier_data),
            "License of the data": self.data_license,
            "Versions": ", ".join(f"{name} {number}" for name, number in sorted(self.versions.items())),
            "SHA-256 of the tensors": f"`{self.tensors_sha256}`",
        }
        table = "\n".join(f"| {name} | {_harmless(value)} |" for name, value in rows.items())
        return (
            f"# {_harmless(file_name)}\n\n| | |\n|---|---|\n{table}\n\n"
            "Load with `monai_ssl.transfer.load_weights(network, FILE)`, which checks the hash and accounts for every "
            "tensor. The weights were trained without labels: they are a starting point for fine-tuning, not a "
            "diagnostic device.\n"
        )


def _check_types(card: ModelCard) -> None:
    wanted = {"str": str, "int": int, "Mapping[str, Any]": Mapping, "Mapping[str, str]": Mapping}
    for entry in dataclasses.fields(card):
        kind, value = wanted.get(str(entry.type)), getattr(card, entry.name)
        if kind is not None and not isinstance(value, kind):
            raise TypeError(f"`{entry.name}` is {value!r}")


def read_card(path: str | Path) -> ModelCard | None:
    """Return the card inside a safetensors file, or ``None`` when it has none.

    Raises:
        ValueError: when the file or its card is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"`{path}` is not a whole safetensors file ({error}); copy or export it again.") from error
    return ModelCard.from_json(metadata["card"], str(path)) if "card" in metadata else None


def _harmless(value: Any) -> Any:
    """Leave out what would steer a terminal or end a row of a table: cards and lists come from strangers, too."""
    if isinstance(value, Mapping):
        return {_harmless(key): _harmless(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(entry) for entry in value]
    return " ".join(printable(value).splitlines()) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Lists instead of tuples, lower-case words: what survives JSON and does not matter."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.lower() if isinstance(value, str) else value
