"""What a user writes on MONAI's command line: unknown keys are refused, words of JSON are understood."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import ID_SEP_KEY

_READ_BY_MONAI = {
    "imports",
    "bundle_root",
    "initialize",
    "finalize",
    "run",
    "pretrain",
    "evaluate",
    "name",
    "workflow_type",
    "tracking_uri",
    "experiment_name",
    "run_name",
    "save_execute_config",
    "is_not_rank0",
    "displayable_configs",
    "train",
    "validate",
    "evaluator",
    "_meta_",
}
# what only the parts read that MONAI Label replaces in a request to train
_READ_UNLESS_REPLACED = {"dataset_dir", "datalist", "val_share", "train_cases", "max_epochs"}
_JSON_WORDS = {"true": True, "false": False, "null": None}
_REFERENCE = re.compile(r"[@%](\w+)")


def refuse_unknown_keys(config: Mapping[str, Any]) -> None:
    """Raise unless every top-level key is referred to by another, or is one that MONAI itself reads.

    MONAI adds an override that it does not know to the configuration, where nothing reads it: ``--epoch 3`` trains
    the default number of epochs without a word.

    Raises:
        ValueError: naming the unknown keys and the nearest known ones.
    """
    referred = set(_REFERENCE.findall(str({k: v for k, v in config.items() if k != "_meta_"})))
    known = sorted(k for k in config if k in referred)
    excused = _READ_BY_MONAI | (_READ_UNLESS_REPLACED if _cases_are_replaced(config) else set())
    unknown = [k for k, v in config.items() if not (k in referred or k in excused or _is_run_id(v))]
    if not unknown:
        return
    hints = []
    for key in unknown:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5) or [k for k in known if key in k][:1]
        hints.append(f"`{key}`" + (f" (did you mean `{near[0]}`?)" if near else ""))
    raise ValueError(
        f"Nothing in this bundle reads {', '.join(hints)}. Keys that can be set: {', '.join(known)}; "
        "parts of them with `#`, as in `--optimizer#lr`."
    )


def read_json_words(parser: ConfigParser) -> None:
    """Let ``--resume true`` mean what it means in JSON; MONAI reads ``True`` and leaves ``true`` a text."""
    for id, item in parser.ref_resolver.items.items():
        if isinstance(item.get_config(), str) and item.get_config() in _JSON_WORDS:
            value = _JSON_WORDS[item.get_config()]
            item.update_config(value)
            # not through the parser, which would forget all that is resolved, this expression included
            place, key = _place(parser.get(), id.split(ID_SEP_KEY))
            place[key] = value


def _place(config: Any, keys: Sequence[str]) -> tuple[Any, Any]:
    *path, last = (int(k) if k.isdigit() else k for k in keys)
    for key in path:
        config = config[key]
    return config, last


def _cases_are_replaced(config: Mapping[str, Any]) -> bool:
    """Whether the cases to train on are listed in place, as MONAI Label does, and not looked up by the bundle."""
    dataset = (config.get("train") or {}).get("dataset") or {}
    return isinstance(dataset, Mapping) and isinstance(dataset.get("data"), list)


def _is_run_id(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v.startswith("$") for v in value)


def running_parser() -> ConfigParser | None:
    """Return the parser whose expression is being evaluated, if any."""
    # MONAI gives an expression no access to the parser that evaluates it, except that it is the caller
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return parser
        frame = frame.f_back
    return None


def resolved(parser: ConfigParser, value: Any) -> Any:
    """Follow references of a piece of configuration; expressions stay text."""
    if isinstance(value, str) and value.startswith("@"):
        return resolved(parser, parser[value[1:]])
    if isinstance(value, Mapping):
        return {k: resolved(parser, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved(parser, v) for v in value]
    return value
