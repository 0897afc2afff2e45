"""Methods of a study file: a pre-training to run, weights that exist, and which parts of them tasks start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ssl.arguments import check_choice
from monai_ssl.study.plan import checks
from monai_ssl.study.plan.bundle_files import encoder_recipe, parsed, read_config, shared_for, spatial_dims
from monai_ssl.study.plan.places import named_bundle, patients_said, place
from monai_ssl.transforms.intensity.normalize import normalization_of

if TYPE_CHECKING:
    from monai_ssl.transfer import ModelCard

_RUN = {"bundle", "config", "dataset_dir", "overrides", "weights", "patients"}
_TRANSFER = {"part", "decoder", "schemes"}
_PARTS = ("encoder", "decoder", "both")


@dataclass(frozen=True)
class Pretraining:
    """A method of the study: a bundle to run, or weights that exist already.

    Args:
        name: in the table.
        bundle: folder; ``None`` with ``weights``.
        config: ``"pretrain"`` or another configuration of the bundle.
        dataset_dir: store, or tree of scans, or ``phantoms:...``.
        overrides: of the bundle.
        weights: safetensors file with a model card.
        encoder: recipe of the encoder: ``_target_`` and arguments.
        normalize: what its model card says, or will say, of the normalization of images.
        part: of it that tasks whose network has a decoder start from; ``None``: as each task says.
        decoder: name of the method whose decoder they start from; ``None``: its own, where ``part`` asks for it.
        patients: who is a patient in a tree of scans, see :func:`monai_ssl.io.patient_rule.patient_rule`.
        schemes: names of the study's schemes by which it is fine-tuned; ``None`` for all.
    """

    name: str
    bundle: Path | None
    config: str
    dataset_dir: str
    overrides: Mapping[str, Any]
    weights: Path | None
    encoder: Mapping[str, Any]
    normalize: str | None = None
    part: str | None = None
    decoder: str | None = None
    schemes: tuple[str, ...] | None = None
    patients: str | None = None


def read_methods(
    entries: Mapping[str, Mapping[str, Any]], base: Path, shared: Mapping[str, Any], patients: str | None = None
) -> tuple[Pretraining, ...]:
    """Return the methods of a study.

    An entry says what is run, or names with ``from`` the entry whose pre-training it takes another ``part`` of, by
    other ``schemes``, or with the ``decoder`` of a third.

    Raises:
        ValueError: naming the key that is missing, unknown or wrong.
    """
    found: dict[str, Pretraining] = {}
    for name, entry in sorted(entries.items(), key=lambda item: "from" in item[1]):
        key = f"pretraining#{name}"
        if "from" in entry:
            entry = checks.known(entry, {"from", *_TRANSFER}, f"`{key}`")
            other = found.get(str(entry["from"]))
            if other is None or "from" in entries[other.name]:
                raise ValueError(f"`{key}#from` must name another entry that has none, got {entry['from']!r}.")
            found[name] = replace(other, name=name, part=None, decoder=None, schemes=None)
        else:
            entry = checks.known(entry, _RUN | _TRANSFER, f"`{key}`")
            made = _pretraining(name, entry, base, shared)
            found[name] = replace(made, patients=patients_said(entry, patients, base, key))
        found[name] = replace(found[name], **_transfer(entry, key, entries))
    return tuple(found[name] for name in entries)


def _transfer(entry: Mapping[str, Any], key: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    part, decoder, schemes = entry.get("part"), entry.get("decoder"), entry.get("schemes")
    if part is not None:
        check_choice(_PARTS, **{f"{key}#part": part})
    if decoder is not None and (decoder not in entries or part not in (None, "both")):
        raise ValueError(
            f"`{key}#decoder` must name an entry of `pretraining`, with `part` 'both' or without; got {decoder!r}."
        )
    if schemes is not None and not (isinstance(schemes, list) and schemes):
        raise ValueError(f"`{key}#schemes` must be a list of names of schemes of the study, got {schemes!r}.")
    return {
        "part": "both" if decoder is not None else part,
        "decoder": decoder,
        "schemes": None if schemes is None else tuple(map(str, schemes)),
    }


def _pretraining(name: str, entry: Mapping[str, Any], base: Path, shared: Mapping[str, Any]) -> Pretraining:
    key = f"pretraining#{name}"
    if "weights" in entry:
        checks.text(entry["weights"], f"{key}#weights")
        weights = (base / entry["weights"]).resolve()
        card = _card_of(weights, f"{key}#weights")
        return Pretraining(name, None, "", "", {}, weights, dict(card.encoder), card.normalize)
    if "dataset_dir" not in entry:
        raise ValueError(f"`{key}` needs `dataset_dir`: a store or a folder of scans; or `weights` that exist already.")
    for part in ("bundle", "config", "dataset_dir"):
        checks.text(entry.get(part, name), f"{key}#{part}")
    folder = named_bundle(entry.get("bundle", name), base, f"{key}#bundle")
    config = str(entry.get("config", "pretrain"))
    overrides = shared_for(folder, config, shared) | checks.overrides(entry, key)
    checks.free(overrides, {"dataset_dir", "output_dir", "exclude", "resume"}, key)
    parser = read_config(folder, config, overrides, key)
    recipe = encoder_recipe(parser, key)
    views = parsed(parser, "views", key).transforms if "views" in parser else ()
    place_of = place(entry["dataset_dir"], base)
    return Pretraining(name, folder, config, place_of, overrides, None, recipe, normalization_of(views))


def _card_of(weights: Path, key: str) -> ModelCard:
    from monai_ssl.transfer import read_card

    if not weights.is_file():
        raise ValueError(f"`{key}` names {weights}, which does not exist.")
    card = read_card(weights) if weights.suffix == ".safetensors" else None
    if card is None or "_target_" not in card.encoder:
        raise ValueError(
            f"`{key}`: {weights.name} has no model card that says how its encoder is built, so that no network from "
            "scratch can be compared with it; export it with `monai_ssl.transfer.export_weights`."
        )
    spatial_dims(card.encoder)
    return card
