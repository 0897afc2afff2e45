"""The page fidelity.md: every method beside an independent computation; ``python docs/fidelity.py`` writes it anew.

What is compared stands in ``fidelity.json`` and in ``tests/fidelity``, which the tests read too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "fidelity.md"
TABLE = DOCS / "fidelity.json"
GRADIENT = "gradient"
NUMBER = re.compile(r"(?<!`)\b\d+e-\d+\b")
"""A difference; settings stand between backticks."""
INTRODUCTION = """# Fidelity

How near each method is to its paper and to its authors' code. `python docs/fidelity.py` writes this page from
`docs/fidelity.json` and `tests/fidelity`; `tests/fidelity/test_fidelity.py` computes all of it anew.

- **Differences**: our losses, and the gradient of their sum at the encoder's last convolution (norm of the difference
  over norm), against `tests/fidelity`: networks and losses written once more, in float64, from formulas alone. Both
  sides have the same weights, images and draws; our networks run in float64 here too, our losses in float32, which is
  what the differences are. No code of the authors is part of it: the formulas are those of the papers and, for
  `reference`, what their code was read to compute.
- **Parameters**: as many as the authors' networks have, counted by building those; of PCRLv2's `paper`, as the layers
  of the paper add up to.
- **Settings**: what `--preset` switches in the bundle beside the method.
- **Other on purpose**: where we follow neither; the bundle's page tells of smaller things, and of the paper.
"""


def table() -> dict[str, dict[str, Any]]:
    """Return what the page tells of each method besides differences."""
    return dict(json.loads(TABLE.read_text()))


def rendered(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the page, given the differences by method, case and term."""
    parts = [INTRODUCTION]
    for method, told in table().items():
        parts.append(f"## {method}\n\n{_origin(method, told['code'])}\n")
        rows = [(case, *_numbers(terms)) for case, terms in sorted(found[method].items())]
        parts.append(_rows(("case", "difference of the losses", "of their gradient"), rows))
        parts.append(_rows(("network", "parameters"), [(_network(*row[:3]), f"{row[3]:,}") for row in told["counts"]]))
        settings = [(what, _value(paper), _value(theirs)) for what, _, _, paper, theirs in told["settings"]]
        parts.append(_rows(("setting", "`paper`", "`reference`"), settings))
        parts.append(_rows(("other on purpose", "authors' code", "here", "why"), told["other"]))
    return "\n".join(part for part in parts if part)


def without_numbers(page: str) -> str:
    """Return the page with every difference replaced, since the last digits depend on the machine."""
    return NUMBER.sub("#", page)


def _origin(method: str, code: str | None) -> str:
    page = f"[Bundle](../bundles/{method}/docs/README.md)"
    return f"{page}; authors' code: <https://github.com/{code}>." if code else f"{page}; compared with the paper alone."


def _network(config: str, preset: str | None, part: str) -> str:
    return f"`{config}`" + (f", {preset}" if preset else "") + (f": `{part}`" if part else "")


def _numbers(terms: dict[str, float]) -> tuple[str, str]:
    losses = [f"`{term}` {value:.0e}" for term, value in terms.items() if term != GRADIENT]
    return ", ".join(losses), f"{terms[GRADIENT]:.0e}"


def _value(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _rows(head: tuple[str, ...], rows: list[Any]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.path.insert(0, str(DOCS.parent / "tests/fidelity"))
    from cases import every_case

    cases = every_case()
    PAGE.write_text(rendered({m: {name: one().differences() for name, one in cases[m].items()} for m in table()}))
