"""The page small_presets.md: what the presets for a CPU teach on real CT, from small_presets.json.

python benchmarks/small_presets.py studies/data/headneck_organs WORK    # the measurements, hours of one core
python docs/small_presets.py                                            # the page anew
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

DOCS = Path(__file__).resolve().parent
TABLE, PAGE = DOCS / "small_presets.json", DOCS / "small_presets.md"

MEASURES: dict[str, tuple[tuple[str, str], ...]] = {
    "aligned": (("explained", "0"),),
    "dinov2": (("found", "1 / 16"),),
    "gvsl": (("registered", "0"),),
    "intra_scan": (("accuracy", "1 / 11"),),
    "mae": (("explained", "0"),),
    "mae_vit": (("explained", "0"),),
    "simmim": (("explained", "0"),),
    "smit": (("explained", "0"),),
    "spark": (("explained", "0"),),
    "swin_unetr_ssl": (("contrast", "ln 7 = 1.95"), ("accuracy", "1 / 4"), ("undone", "0")),
    "vicreg": (("loss", "24.75"),),
    "vicregl": (("found", "1 / 64"),),
    "voco": (("accuracy", "1 / 9"), ("explained", "0")),
    "volume_fusion": (("accuracy", "1 / 5"),),
}
"""What is read on validation patients, and its value when nothing is learned, by chance or for one answer to all."""

INTRODUCTION = """# What the presets for a CPU teach

The stock command of each method with `configs/cpu.json`, one seed, on 86 CT of the head and neck at 4 mm (OpenKBP),
about a tenth of them for validation. Then a frozen probe: a linear layer, and the five nearest neighbors, say from the
feature maps of the encoder of which of four organs, or none of them, a voxel is, in their neighborhood; 3 labeled
patients, 8 test patients that pre-training never saw, mean recall. *Untrained* is the same network from random weights
with the same normalization of images: mean and standard deviation of 3 networks, each with 2 draws of the labeled
patients. *Pre-trained* is one network, so that a difference of less than two or three standard deviations says nothing;
[Evidence](evidence.md) has studies that can tell. These presets let you see a method work in minutes, they do not make
an encoder: most take 100 to 600 steps, where what helps takes thousands. `cross_contrast` is not among them: it needs
visits with several contrasts, which these scans are not.

Minutes are wall-clock time on a core that other work shared. `python docs/small_presets.py` writes this page,
`python benchmarks/small_presets.py` measures.

"""
HEAD = (
    *("method", "minutes", "on validation patients", "nothing learned", "first epoch", "last"),
    *("linear: untrained", "pre-trained", "neighbors: untrained", "pre-trained"),
)


def row(name: str, told: dict[str, Any]) -> str:
    """Return the line of a method."""
    measures = MEASURES[name]
    curves = [told["validation"][measure] for measure, _ in measures]
    cells = [f"[{name}](../bundles/{name}/docs/README.md)", f"{told['minutes']:.0f}"]
    cells += [
        "<br>".join(column)
        for column in zip(*((f"`{measure}`", trivial) for measure, trivial in measures), strict=True)
    ]
    cells += ["<br>".join(f"{curve[at]:.3f}" for curve in curves) for at in (0, -1)]
    for kind in ("linear", "knn"):
        before = [mean(draws) for draws in told["before"][kind]]
        cells += [f"{mean(before):.3f} ± {stdev(before):.3f}", f"{_mean(told['after'][kind]):.3f}"]
    return "| " + " | ".join(cells) + " |"


def _mean(lists: Sequence[Sequence[float]]) -> float:
    return mean(value for values in lists for value in values)


def apart(told: dict[str, Any]) -> int:
    """Return 1 or -1 where both probes of the trained network lie two standard deviations above or below, else 0."""
    sides = []
    for kind in ("linear", "knn"):
        before = [mean(draws) for draws in told["before"][kind]]
        steps = (_mean(told["after"][kind]) - mean(before)) / stdev(before)
        sides.append((steps > 2) - (steps < -2))
    return sides[0] if sides[0] == sides[1] else 0


def summary(table: dict[str, Any]) -> str:
    """Return the sentence on who stands apart from the untrained network."""
    found = {side: [f"`{name}`" for name in sorted(table) if apart(table[name]) == side] for side in (1, -1)}
    sentence = (
        f"By both probes more than two standard deviations above the untrained network: {', '.join(found[1])}. "
        f"As far below it: {', '.join(found[-1])}; these restore with skip connections, which leave the encoder little "
        "to do (`--skips false` takes them away)."
    )
    return "\n".join(textwrap.wrap(sentence, 120)) + "\n\n"


def page() -> str:
    """Return the text of the page."""
    table = json.loads(TABLE.read_text())
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
        *(row(name, table[name]) for name in sorted(table)),
    ]
    return INTRODUCTION + summary(table) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    PAGE.write_text(page())
