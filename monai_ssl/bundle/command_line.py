"""Command-line overrides of a bundle's JSON: unknown keys are refused with a hint, JSON words are parsed."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

_OF_MONAI = {
    "run_id",
    "init_id",
    "final_id",
    "meta_file",
    "config_file",
    "logging_file",
    "tracking",
    "args_file",
    "workflow_name",
    "workflow_type",
    "bundle_root",
}
_READ_BY_TRACKING = {
    "name",
    "tracking_uri",
    "experiment_name",
    "run_name",
    "save_execute_config",
    "is_not_rank0",
    "displayable_configs",
}
_FORMER = {"held_out": "validation", "disturb": "augment"}
_JSON_WORDS = {"true": True, "false": False, "null": None}
_REFERENCE = re.compile(r"[@%](\w+)")


def typed(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what was typed behind ``python -m monai.bundle run`` by key, values as MONAI reads them.

    Args:
        argv: words behind the program's name; by default those of this process, and none in other programs.

    >>> typed(["run", "pretrain", "--lr", "0.1", "--optimizer#nesterov=True"])
    {'lr': 0.1, 'optimizer#nesterov': True}
    """
    if argv is None:
        argv = sys.argv[1:] if under_monai_bundle() else ()
    keys: dict[str, Any] = {}
    waiting = None
    for word in argv:
        if word.startswith("--"):
            waiting, equals, value = word[2:].partition("=")
            keys[waiting] = DefaultParseValue(value) if equals else True
            waiting = None if equals else waiting
        elif waiting is not None:
            keys[waiting], waiting = DefaultParseValue(word), None
    return keys


def under_monai_bundle() -> bool:
    """Whether this process was started as ``python -m monai.bundle``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name.startswith("monai.bundle")


def refuse_unknown_keys(given: Mapping[str, Any]) -> None:
    """Raise unless something reads every key that the user gave.

    MONAI adds an override that it does not know to the configuration, where nothing reads it: ``--epoch 3`` trains
    the default number of epochs without a word. A default of the bundle that an override has left without a reader is
    not the user's mistake.

    Args:
        given: see :func:`typed`.

    Raises:
        ValueError: naming the unknown keys and the nearest known ones.
    """
    defaults = given.get("args_file")
    given = {**(ConfigParser.load_config_file(defaults) if defaults else {}), **given}
    config = ConfigParser.load_config_files(given.get("config_file") or {})
    changes = {key.replace("::", "#"): value for key, value in given.items() if key not in _OF_MONAI}
    refuse_unread({**config, **changes}, [key.split("#")[0] for key in changes])


def refuse_unread(config: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise unless something in ``config`` refers to each of the top-level ``keys``, or MONAI reads it itself."""
    referred = set(_REFERENCE.findall(str(config)))
    known = sorted(key for key in config if key in referred and "#" not in key)
    unknown = [key for key in keys if not (key in referred or key in _READ_BY_TRACKING or _has_parts(config, key))]
    if not unknown:
        return
    hints = []
    for key in unknown:
        near = [k for k in known if k == _FORMER.get(key)] or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        near = near or [k for k in known if key in k][:1]
        hints.append(f"`{key}`" + (f" (did you mean `{near[0]}`?)" if near else ""))
    raise ValueError(
        f"Nothing in this bundle reads {', '.join(hints)}. Keys that can be set: {', '.join(known)}; "
        "parts of them with `#`, as in `--optimizer#lr`."
    )


def _has_parts(config: Mapping[str, Any], key: str) -> bool:
    """Whether MONAI itself reads the key: a section such as ``train``, or a list of expressions to run."""
    value = config.get(key)
    if isinstance(value, list):
        return bool(value) and all(isinstance(entry, str) and entry.startswith("$") for entry in value)
    return key in ("train", "validate", "evaluator", "imports") and key in config


def understand_json_words(given: Mapping[str, Any], references: MutableMapping[str, Any]) -> None:
    """Let ``--resume true`` mean what it means in JSON; MONAI reads ``True`` and leaves ``true`` a text.

    Args:
        given: see :func:`typed`.
        references: MONAI's resolved references, before any of the given keys was read.

    Raises:
        ValueError: for such a word as a part of a key, which MONAI resolves with the rest of it.
    """
    for key, value in given.items():
        if not isinstance(value, str) or value not in _JSON_WORDS or key in _OF_MONAI:
            continue
        if "#" in key or "::" in key:
            raise ValueError(f"`--{key} {value}`: parts of a key take Python's words, write {_JSON_WORDS[value]}.")
        references[key] = _JSON_WORDS[value]


__all__ = ["refuse_unknown_keys", "refuse_unread", "typed", "under_monai_bundle", "understand_json_words"]
