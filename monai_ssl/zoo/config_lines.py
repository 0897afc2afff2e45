"""Edit top-level keys of a bundle's JSON, keeping its layout."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def set_keys(text: str, values: Mapping[str, Any]) -> str:
    """Return the JSON with other values of top-level keys, each of which must have a line of its own.

    Raises:
        KeyError: when there is no such line.
    """
    keys = json.loads(text).keys()
    for key, value in values.items():
        pattern = re.compile(rf'^    "{re.escape(key)}": .*?(,?)$', re.MULTILINE)
        text, count = pattern.subn(lambda m, k=key, v=value: f'    "{k}": {json.dumps(v)}{m[1]}', text)  # type: ignore[misc]
        if count != 1 or json.loads(text).keys() != keys:
            raise KeyError(f"The configuration has no line for `{key}` alone.")
    return text


def drop_key(text: str, key: str) -> str:
    """Return the JSON without a top-level key and its value on one line.

    Raises:
        KeyError: when there is no such line.
    """
    text, count = re.subn(rf'^    "{re.escape(key)}": .*,\n', "", text, flags=re.MULTILINE)
    if count != 1:
        raise KeyError(f"The configuration has no line for `{key}`.")
    json.loads(text)
    return text
