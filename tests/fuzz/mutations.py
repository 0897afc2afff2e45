"""Damage that happens to files, and that somebody does to them."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

EXTREMES = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\x7f", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f"]
"""Bytes that make the greatest and least integers, NaN and infinity of four bytes."""
CODE = "$__import__('os').abort()"
"""Ends the process of whatever takes a text for a program."""
HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../../etc/passwd",
    "/etc/passwd",
    "nul\x00byte",
    "Ä" * 300,
    CODE,
    [],
    {},
    [[[]]],
    ["x"] * 5,
    {"x": {"y": 1}},
]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes cut off, flipped, overwritten, moved or doubled somewhere; headers are hit more often."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = len(out)
        if not size:
            break
        at = int(rng.integers(0, min(size, 512) if rng.random() < 0.5 else size))
        kind = rng.integers(0, 6)
        if kind == 0:
            del out[at:]
        elif kind == 1:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            extreme = EXTREMES[rng.integers(0, len(EXTREMES))]
            out[at : at + len(extreme)] = extreme
        elif kind == 3:
            del out[at : at + int(rng.integers(1, 16))]
        elif kind == 4:
            out[at:at] = out[: int(rng.integers(1, 64))]
        else:
            out[at : at + 8] = rng.bytes(8)
    return bytes(out)


def twisted(value: Any, rng: np.random.Generator) -> Any:
    """Return a copy of JSON in which some entries are missing, doubled, renamed or of another kind."""
    out = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        places = list(_places(out))
        if not places:
            return HOSTILE[rng.integers(0, len(HOSTILE))]
        parent, key = places[rng.integers(0, len(places))]
        kind = rng.integers(0, 5)
        if kind == 0:
            del parent[key]
        elif kind == 1:
            other, name = places[rng.integers(0, len(places))]
            parent[key] = copy.deepcopy(other[name])
        elif kind == 2 and isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        else:
            parent[key] = copy.deepcopy(HOSTILE[rng.integers(0, len(HOSTILE))])
    return out


def damaged_text(text: str, rng: np.random.Generator) -> bytes:
    """Return JSON that is twisted, or damaged as bytes, or nested deeper than any parser goes."""
    chance = rng.random()
    if chance < 0.7:
        return json.dumps(twisted(json.loads(text), rng)).encode()
    if chance < 0.71:
        return b"[" * 100_000
    return damaged(text.encode(), rng)


def _places(value: Any) -> Any:
    """Yield (container, key) of every entry at any depth."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries):
        yield value, key
        yield from _places(entry)
