"""Read a bundle's configuration for a study: keys, encoder, content hash; nothing is built."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from pydoc import locate
from typing import TYPE_CHECKING, Any

from monai_ssl.bundle_folders import config_file
from monai_ssl.errors import nearest
from monai_ssl.study.execution import first_cause, reason_of

if TYPE_CHECKING:
    from monai.bundle import ComponentLocator, ConfigParser


def read_config(folder: Path, config: str, overrides: Mapping[str, Any], key: str) -> ConfigParser:
    """Return the parser of ``configs/<config>.json`` with the overrides in place; nothing is built.

    Raises:
        ValueError: when there is no such file, or the bundle has no such key to override; ``key`` names the place.
    """
    from monai.bundle import ConfigParser

    path = config_file(folder, config)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json") if p.stem != "metadata"))
        raise ValueError(f"`{key}#config` is {config!r}, but {folder.name} has only {known}.")
    parser = ConfigParser()
    parser.locator = _names_of(len(sys.modules))
    parser.read_config(str(path))
    keys = [name for name in parser.get() if not name.startswith("_")]
    for name, value in overrides.items():
        first = name.split("#")[0]
        if first not in keys:
            near = nearest(first, keys)
            hint = f" Did you mean `{near}`?" if near else ""
            raise ValueError(f"`{key}#overrides` sets `{name}`, which {folder.name} has not.{hint}")
        parser[name] = value
    return parser


@lru_cache(maxsize=1)
def _names_of(modules: int) -> ComponentLocator:
    """Return where classes are that a configuration names without their module, of so many modules that are loaded.

    Each parser would look through all of them anew.
    """
    from monai.bundle import ComponentLocator

    del modules
    return ComponentLocator()


def shared_for(folder: Path, config: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shared overrides that a bundle has a key for: methods have ``widths`` in 3-D and ``width`` in 2-D."""
    return {name: value for name, value in shared.items() if name.split("#")[0] in _keys(folder, config)}


def refuse_unused(shared: Mapping[str, Any], configs: Iterable[tuple[Path, str]], key: str) -> None:
    """Raise unless one of the bundles, each with the name of its configuration, has a key for each shared override.

    Raises:
        ValueError: for the first that none has; ``key`` names the place.
    """
    keys = {name for folder, config in configs for name in _keys(folder, config)}
    for name in shared:
        if keys and name.split("#")[0] not in keys:
            near = nearest(name.split("#")[0], keys)
            hint = f" Did you mean `{near}`?" if near else ""
            raise ValueError(f"`{key}` sets `{name}`, which no bundle of the study has.{hint}")


def _keys(folder: Path, config: str) -> set[str]:
    path = config_file(folder, config)
    return set(json.loads(path.read_text())) if path.is_file() else set()


def parsed(parser: ConfigParser, part: str, key: str) -> Any:
    """Return what a configuration makes of one of its entries.

    Raises:
        ValueError: with the first reason, when it cannot be made; ``key`` names the place.
    """
    try:
        return parser.get_parsed_content(part)
    except Exception as error:
        raise ValueError(f"`{key}`: {reason_of(error)}") from error


def encoder_recipe(parser: ConfigParser, key: str) -> dict[str, Any]:
    """Return ``_target_`` and arguments of the encoder that a pre-training bundle trains, references followed.

    Raises:
        ValueError: when it cannot be built.
    """
    from monai_ssl.networks import as_encoder, recipe_of
    from monai_ssl.study.plan.without_memory import without_memory

    try:
        with without_memory():
            return recipe_of(as_encoder(parser.get_parsed_content("encoder")))
    # whatever an encoder of anybody raises at arguments that it does not like, MONAI wraps
    except Exception as error:
        raise ValueError(f"`{key}` has an `encoder` that cannot be built: {first_cause(error)}") from error


def encoder_name(recipe: Mapping[str, Any]) -> str:
    """Return a short name of an encoder, alike for encoders that differ in the channels of the image only.

    MONAI's networks are called by what they were given, since they have dozens of arguments.

    >>> segresnet = {"_target_": "monai.networks.nets.SegResNet", "in_channels": 1, "init_filters": 8}
    >>> encoder_name({"_target_": "monai_ssl.networks.MonaiEncoder", "network": segresnet})
    'SegResNet(init_filters=8)'

    Raises:
        ValueError: when it is not there.
    """
    if isinstance(recipe.get("network"), Mapping):
        return _named(recipe["network"]["_target_"], recipe["network"])
    made = locate(recipe["_target_"])
    if not callable(made):
        raise ValueError(f"There is no encoder `{recipe['_target_']}`; correct the `encoder` of the bundle.")
    arguments = inspect.signature(made).bind(**{k: v for k, v in recipe.items() if k != "_target_"})
    arguments.apply_defaults()
    return _named(recipe["_target_"], arguments.arguments)


def _named(target: str, arguments: Mapping[str, Any]) -> str:
    sizes = {name: value for name, value in arguments.items() if name not in ("_target_", "in_channels")}
    told = ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(sizes.items()))
    return f"{target.rsplit('.', 1)[-1]}({told})"


def spatial_dims(recipe: Mapping[str, Any]) -> int:
    """Return 2 or 3, as the encoder says."""
    from monai_ssl.networks import build
    from monai_ssl.study.plan.without_memory import without_memory

    with without_memory():
        return int(build(recipe, {str(recipe["_target_"])}).spatial_dims)  # type: ignore[arg-type]


def digest(content: Any) -> str:
    """Return a hash of plain values, 16 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
