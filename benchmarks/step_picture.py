"""Where the time of a training step goes, as a picture: files of ``benchmarks/methods.py``, one bar for each.

    python benchmarks/methods.py --volumes STORE --small --out before.json
    python benchmarks/methods.py --volumes STORE --small --out after.json
    python benchmarks/step_picture.py before.json after.json --out step.png

The dearest view of a step is named beside its bar.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

COLORS = {"network": "#4477aa", "views": "#ee6677"}


def bar(figures: dict[str, Any]) -> tuple[dict[str, float], str]:
    """Milliseconds by part, and the dearest view with its share of the step."""
    step, views = figures["resident_ms"], figures["views_ms"]
    dearest, spent = max(figures["view_ms"].items(), key=lambda item: item[1], default=("", 0.0))
    label = f"{dearest.partition(' ')[2].partition('(')[0]} {spent / step:.0%}" if dearest else ""
    return {"network": max(step - views, 0.0), "views": views}, label


def draw(runs: dict[str, dict[str, Any]], title: str) -> Figure:
    """Return bars for each bundle that all runs have, one below another for each run."""
    names = [
        n for n in next(iter(runs.values())) if all("error" not in run.get(n, {"error": ""}) for run in runs.values())
    ]
    figure = Figure(figsize=(10, 0.5 + 0.25 * len(names) * len(runs)), layout="constrained")
    axes = figure.add_subplot()
    places, ticks = [], []
    for number, name in enumerate(names):
        for offset, (run, found) in enumerate(runs.items()):
            place = number * (len(runs) + 0.6) + offset
            parts, label = bar(found[name])
            left = 0.0
            for part, spent in parts.items():
                axes.barh(place, spent, left=left, color=COLORS[part], label=part if not places else None)
                left += spent
            axes.text(left, place, f" {label}", va="center", fontsize=7)
            places.append(place)
            ticks.append(name if len(runs) == 1 else f"{name}, {run}")
    axes.set_yticks(places, ticks, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a step")
    axes.set_title(title, fontsize=9)
    axes.margins(x=0.2)
    axes.legend(loc="lower right")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    contents = {path.stem: json.loads(path.read_text()) for path in args.files}
    figures = next(found for content in contents.values() for found in content["bundles"].values() if "device" in found)
    title = f"a step of training, batch in memory; {figures['device']}, {figures['threads']} threads"
    draw({name: content["bundles"] for name, content in contents.items()}, title).savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
