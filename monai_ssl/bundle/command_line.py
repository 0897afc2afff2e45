"""Command-line overrides of a bundle's JSON: unknown keys are refused with a hint, JSON words are parsed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from monai_ssl.bundle.setting_kinds import refuse_other_kinds
from monai_ssl.config_texts import EXPRESSION_SIGNS
from monai_ssl.errors import nearest
from monai_ssl.places import on_disk

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
_READ_BY_RUN = _OF_MONAI - {"bundle_root"}
_PATHS = {"bundle_root", "weights", "init_weights", "exclude", "probe_list", "words", "start_from", "checkpoint"}
_PATHS |= {"resume", "datalist", "patients", "memory", "decoder_weights"}
"""Keys of the bundles that are paths or none, beside those that end in ``_dir``."""
_JSON_WORDS = {"true": True, "false": False, "null": None}
_VARIABLE = re.compile(r"\$(\{\w+\}|[A-Z_]+\b)(/|$)")
_REFERENCE = re.compile(r"[@%](\w+)")


def typed(argv: Sequence[str] | None = None) -> dict[str, str]:
    """Return the words that were typed behind ``python -m monai.bundle run``, by key.

    Args:
        argv: words behind the program's name; by default those of this process, and none in other programs.

    >>> typed(["run", "pretrain", "--lr", "0.1", "--dataset_dir=ct #1", "--resume"])
    {'lr': '0.1', 'dataset_dir': 'ct #1', 'resume': 'True'}
    """
    if argv is None:
        argv = sys.argv[1:] if under_monai_bundle() else ()
    words: dict[str, str] = {}
    waiting = None
    for word in argv:
        if word.startswith("--"):
            waiting, equals, value = word[2:].partition("=")
            words[waiting] = value if equals else "True"
            waiting = None if equals else waiting
        elif waiting is not None:
            words[waiting], waiting = word, None
    return words


def under_monai_bundle() -> bool:
    """Whether this process was started as ``python -m monai.bundle``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name.startswith("monai.bundle")


def refuse_unknown_keys(words: Mapping[str, str]) -> None:
    """Raise unless something reads every key that the user gave, and each is of the kind of what it replaces.

    MONAI adds an override that it does not know to the configuration, where nothing reads it: ``--epoch 3`` trains
    the default number of epochs without a word. A default of the bundle that an override has left without a reader is
    not the user's mistake.

    Args:
        words: see :func:`typed`.

    Raises:
        ValueError: naming the unknown keys and the nearest known ones; for a value that refers to an unknown key, a
            number that is none, or results that shall go to a URL.
    """
    given = {key: DefaultParseValue(word) for key, word in words.items()}
    defaults = given.get("args_file")
    given = {**(ConfigParser.load_config_file(defaults) if defaults else {}), **given}
    config = ConfigParser.load_config_files(given.get("config_file") or {})
    changes = {key.replace("::", "#"): value for key, value in given.items() if key not in _OF_MONAI}
    for key, word in words.items():
        if key.endswith("_dir") and key != "dataset_dir":
            on_disk(word, key)
    whole = {**config, **changes}
    refuse_unread(whole, [key.split("#")[0] for key in changes])
    for key, value in changes.items():
        if isinstance(value, str) and not _is_file(key, value):
            _refuse_dangling(key, value, whole)
    refuse_other_kinds(config, {key: value for key, value in changes.items() if str(value) not in _JSON_WORDS})


def _refuse_dangling(key: str, value: str, config: Mapping[str, Any]) -> None:
    """Raise for an expression that the user did not mean, or that refers to nothing."""
    unknown = [name for name in re.findall(r"@([A-Za-z]\w*)", value) if name not in config]
    path = f"; a folder or file of that name is `--{key} ./{value}`" if _is_path(key) else ""
    if value.startswith(("@", "$")) and unknown:
        near = nearest(unknown[0], config)
        hint = f" (did you mean `@{near}`?)" if near else ""
        raise ValueError(
            f"`--{key} {value}` refers to the key `{unknown[0]}`, which this configuration does not have{hint}{path}."
        )
    if _is_path(key) and _VARIABLE.match(value):
        raise ValueError(
            f"`--{key} {value}` is an expression of Python to MONAI: the shell leaves a variable in single quotes as "
            f"it is; use double ones, or none{path}."
        )


def refuse_unread(config: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise unless something in ``config`` refers to each of the top-level ``keys``, or MONAI reads it itself."""
    referred = set(_REFERENCE.findall(str(config)))
    known = sorted(key for key in config if key in referred and "#" not in key)
    unknown = [key for key in keys if not (key in referred or key in _READ_BY_TRACKING or _has_parts(config, key))]
    if not unknown:
        return
    hints = []
    for key in unknown:
        near = nearest(key, known, 0.5) or next((k for k in known if key in k), None)
        hints.append(f"`{key}`" + (f" (did you mean `{near}`?)" if near else ""))
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


def understand_words(words: Mapping[str, str], references: MutableMapping[str, Any]) -> None:
    """Let what was typed mean what the user meant, where MONAI reads something else.

    ``--resume true`` is a text to it, ``--dataset_dir 2024`` a number, ``--output_dir "run #2"`` ends before the sign,
    and ``--output_dir ./run#2`` becomes ``./run::2``.

    Args:
        words: see :func:`typed`.
        references: MONAI's resolved references, before any of the given keys was read.

    Raises:
        ValueError: for a part of a key, which MONAI resolves with the rest of it.
    """
    for key, word in words.items():
        read = DefaultParseValue(word)
        meant = _meant(key, word, read)
        is_text = isinstance(meant, str) and ("#" in meant or _is_file(key, meant))
        if key in _READ_BY_RUN or (meant == read and type(meant) is type(read) and not is_text):
            continue
        if isinstance(meant, str) and meant.startswith(EXPRESSION_SIGNS) and not _is_file(key, meant):
            continue
        if "#" in key or "::" in key:
            raise ValueError(f"`--{key} {word}` is read as {read!r}: write it as Python does, {meant!r} in quotes.")
        references[key] = meant


def _meant(key: str, word: str, read: Any) -> Any:
    if _is_file(key, word):
        return word
    # a folder there must be
    if word in _JSON_WORDS and not key.endswith("_dir"):
        return _JSON_WORDS[word]
    if word[:1] in ("'", '"') or (not key.endswith("_dir") and (read is None or isinstance(read, bool))):
        return read
    return word if _is_path(key) or isinstance(read, str) else read


def _is_path(key: str) -> bool:
    return key.endswith("_dir") or key in _PATHS


def _is_file(key: str, word: str) -> bool:
    """Whether a word is the path of something that is there, however MONAI would read it; words of JSON are theirs."""
    return _is_path(key) and word not in _JSON_WORDS and Path(word).exists()


__all__ = ["refuse_unknown_keys", "refuse_unread", "typed", "under_monai_bundle", "understand_words"]
