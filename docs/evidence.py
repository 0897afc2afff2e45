"""The page evidence.md: what pre-training was worth in our own studies, wins and losses alike.

    python docs/evidence.py studies_out/evidence_xray studies_out/evidence_3d   # from finished studies
    python docs/evidence.py                                                     # the page anew

Every figure of the page stands in ``evidence.json``, which this command alone writes; ``advise`` reads it too.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "evidence.md"
TABLE = DOCS / "evidence.json"
MEASURED, LICENSE = "## Measured here", "## Data license"
ABOUT_MEASURED = """\
What it was worth at few labels beside the same network from random weights (`probe`: beside untrained features), after
short pre-trainings of small networks. Settings, cost and what the tests count:
[docs/evidence.md](../../../docs/evidence.md).
"""
INTRODUCTION = """# Evidence

Does pre-training help when labels are few, by how much, and at what cost? Measured here, wins and losses alike.
`python docs/evidence.py` writes this page from `docs/evidence.json`, and that file from the folders of studies; nothing
is typed by hand. `python -m monai_ssl advise` reads the same file before it turns to papers, and the page of every
method has its own part.

- Beside every method stands the same network from random weights, with the same labels, seeds, schedule and
  normalization of images. `full` trains everything; `probe` fits a linear layer to frozen features, beside those of the
  untrained network. Batch norm of that network has the statistics it was built with, 0 and 1: taken from images they
  make its features better (`statistics_only` in evidence_3d_probed, `python benchmarks/maps_of_encoders.py`), so that a
  part of a probe's gain is theirs.
- Test patients choose nothing: learning rates of every arm, scratch too, and the penalty of a probe are chosen on
  validation patients. No test patient is in any pre-training.
- `p` takes seeds and test patients as two sources of chance (Dorfman, Berbaum, Metz; Hillis), AUC by pseudo-values;
  `p (Holm)` is corrected for all comparisons of a task. *Better* and *worse* are what is left at p < 0.05 after that;
  the rest is *unclear*.
- Minutes are wall-clock time on one CPU core that much other work shared; of a run that was stopped and went on, those
  of its last part. They give an order of magnitude.
- What is too short shows nothing: in [an earlier study](reports/headneck.html), with 100 to 200 iterations of
  pre-training, no method was better than scratch in 18 comparisons, and two were worse.
"""


def collected(root: Path) -> dict[str, Any]:
    """Return what a study measured: its arms against scratch, what was tuned, and what it cost.

    Args:
        root: folder of the study, as ``python -m monai_ssl study`` leaves it.

    Raises:
        ValueError: when no cell has finished.
    """
    from monai_ssl.study.comparison import Row, compare
    from monai_ssl.study.folder import StudyFolder
    from monai_ssl.study.results import Cell, read_cells

    folder = StudyFolder(root)
    cells, unfinished = read_cells(folder)
    if not cells:
        raise ValueError(f"{root} has no finished cell.")
    asked = folder.read_record()
    by_arm: dict[Any, list[Cell]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(cell)

    def told(row: Row) -> dict[str, Any]:
        ours = by_arm[row.task, row.labels, row.scheme, row.method]
        found: dict[str, Any] = {
            name: getattr(row, name)
            for name in ("task", "labels", "scheme", "method", "metric", "higher_is_better", "seeds", "mean", "sd")
        }
        found["scores"] = {str(cell.seed): round(cell.score, 5) for cell in ours}
        found["minutes"] = median(cell.seconds for cell in ours) / 60
        found["tuning"] = [[one.told, one.validation, one.chosen] for one in ours[0].tuning]
        if row.paired is not None and row.baseline is not None:
            found |= {"baseline": row.baseline[1], "difference": row.difference, "p": row.paired.p_value}
            found |= {"low": row.paired.low, "high": row.paired.high, "patients": row.paired.n}
            found |= {"p_holm": row.p_holm, "verdict": row.verdict}
        return found

    tasks = {name: _situation(task) for name, task in asked["tasks"].items()}
    trained = {name: _pretrained(folder, cells, name) for name in asked["pretraining"]}
    settings = {name: method["overrides"] for name, method in asked["pretraining"].items()}
    kept = {name: asked[name] for name in ("pretrain", "tune", "seeds", "labels") if name in asked}
    rows = [told(row) for row in compare(cells)]
    return {"tasks": tasks, **kept, "rows": rows, "pretraining": trained, "settings": settings, "left": len(unfinished)}


def _situation(task: dict[str, Any]) -> dict[str, Any]:
    size = task["overrides"].get("image_size") or task["overrides"]["roi_size"]
    patients = {section: len(of) if isinstance(of, list) else of for section, of in task["patients"].items()}
    said = {"modality": task["overrides"]["modality"], "spatial_dims": len(size), "patients": patients}
    return {"task": task["bundle"], "metric": task["metric"], **said}


def _pretrained(folder: Any, cells: Sequence[Any], method: str) -> dict[str, Any]:
    """Return how long a method was pre-trained, the median over its runs; nothing for weights that were given."""
    keys = sorted({cell.pretraining for cell in cells if cell.method == method and cell.pretraining})
    results = [json.loads(run.result.read_text()) for run in map(folder.pretraining, keys) if run.is_done()]
    if not results:
        return {}
    minutes = median(result["seconds"] for result in results) / 60
    return {"runs": len(results), "minutes": minutes, **{n: results[0][n] for n in ("iterations", "patients", "scans")}}


def rendered(evidence: dict[str, Any]) -> str:
    """Return the page."""
    parts = [INTRODUCTION, summary(evidence)]
    for name, study in evidence.items():
        asked = json.loads((DOCS.parent / f"studies/{name}.json").read_text())
        parts.append(f"## {name}\n\n{asked['_about']}\n")
        parts.append(f"```bash\npython -m monai_ssl study studies/{name}.json\n```\n" + _packed(asked.get("results")))
        parts += [_in_short(study), _results(study["rows"]), _rates(study["rows"]), _costs(study), _settings(study)]
    return "\n".join(part for part in parts if part)


def _packed(results: str | None) -> str:
    if not results:
        return ""
    return f'\nFrom `studies/{results}` it comes to this table without training; with `--results ""` it trains anew.\n'


def page_of(method: str) -> Path:
    """Return the page of a method's bundle, which is not there for what a study alone calls so."""
    return DOCS.parent / f"bundles/{method}/docs/README.md"


def with_measured(page: str, evidence: dict[str, Any], method: str) -> str:
    """Return the page of a method with what all studies found of it."""
    lines = []
    for name, study in evidence.items():
        for row in study["rows"]:
            if row["method"] == method and "verdict" in row:
                arm = [name, str(row["labels"]), f"`{row['scheme']}`", row["metric"]]
                lines.append((*arm, _signed(row["difference"]), _p(row["p_holm"]), row["verdict"]))
    table = _table(("study", "labels", "scheme", "measure", "to scratch", "p (Holm)", ""), lines)
    before, license_heading, after = page.partition(LICENSE)
    kept = before.partition(MEASURED)[0].rstrip()
    return f"{kept}\n\n{MEASURED}\n\n{ABOUT_MEASURED}\n{table}\n{license_heading}{after}"


def summary(evidence: dict[str, Any]) -> str:
    """Return which comparisons are better than scratch after correction, by how much, and at what cost."""
    tested = [(name, study, row) for name, study in evidence.items() for row in study["rows"] if "verdict" in row]
    counts = Counter(row["verdict"] for _, _, row in tested)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("better", "worse", "unclear"))
    lines = []
    for name, study, row in tested:
        if row["verdict"] == "better":
            minutes = (study["pretraining"].get(row["method"]) or {}).get("minutes")
            arm = [name, str(row["labels"]), f"`{row['scheme']}`", row["method"], row["metric"]]
            gain = [f"{row['mean']:.3f}", _signed(row["difference"])]
            gain.append(f"{_signed(row['low'])} to {_signed(row['high'])}")
            lines.append((*arm, *gain, _p(row["p_holm"]), f"{minutes:.0f}" if minutes else ""))
    head = ("study", "labels", "scheme", "method", "measure", "mean", "to scratch", "95 % interval", "p (Holm)")
    table = _table((*head, "minutes of pre-training"), lines)
    begin = f"## What helped\n\nOf {len(tested)} comparisons with scratch: {said}. Those that are better:\n\n"
    return begin + table + _elsewhere(tested)


def _elsewhere(tested: Sequence[tuple[str, dict[str, Any], dict[str, Any]]]) -> str:
    """Say what is better in one study and not left to be in another that asks the same."""
    asked = ("task", "labels", "scheme", "method")
    better = {tuple(row[key] for key in asked): name for name, _, row in tested if row["verdict"] == "better"}
    lines = []
    for name, study, row in tested:
        first = better.get(tuple(row[key] for key in asked), name)
        if first != name and row["verdict"] != "better":
            among = sum("verdict" in other for other in study["rows"])
            lines.append(
                f"{row['method']} of {first} is {row['verdict']} among the {among} comparisons of {name}: "
                f"{_signed(row['difference'])}, p {_p(row['p'])}, corrected {_p(row['p_holm'])}.\n"
            )
    return "".join(f"\n{line}" for line in lines)


def _in_short(study: dict[str, Any]) -> str:
    lines = []
    for task, told in study["tasks"].items():
        tested = [row for row in study["rows"] if row["task"] == task and "verdict" in row]
        sections = ", ".join(f"{count} {section}" for section, count in told["patients"].items())
        shared = "" if study["pretrain"] == "per_seed" else " All seeds share one pre-training of each method."
        lines.append(f"**In short** ({told['metric']}; patients: {sections}).{shared}\n")
        for scheme, labels in dict.fromkeys((row["scheme"], row["labels"]) for row in tested):
            ours = [row for row in tested if (row["scheme"], row["labels"]) == (scheme, labels)]
            said = [
                f"{verdict}: {', '.join(found)}"
                for verdict in ("better", "worse", "unclear")
                if (found := [f"{r['method']} {_signed(r['difference'])}" for r in ours if r["verdict"] == verdict])
            ]
            lines.append(f"- {labels} labels, `{scheme}`: {'; '.join(said)}.")
        if study["left"]:
            lines.append(f"- {study['left']} cells of the study have not run: it goes on where it was stopped.")
    return "\n".join(lines) + "\n"


def _results(rows: Iterable[dict[str, Any]]) -> str:
    head = ("labels", "scheme", "method", "seeds", "mean", "SD", "to scratch", "95 % interval", "p", "p (Holm)", "")
    lines = []
    for row in rows:
        spread = "" if row["sd"] is None else f"{row['sd']:.3f}"
        arm = [str(row["labels"]), f"`{row['scheme']}`", row["method"]]
        test = [""] * 5
        if "p" in row:
            interval = f"{_signed(row['low'])} to {_signed(row['high'])}"
            test = [_signed(row["difference"]), interval, _p(row["p"]), _p(row["p_holm"]), row["verdict"]]
        lines.append((*arm, str(row["seeds"]), f"{row['mean']:.3f}", spread, *test))
    return _table(head, lines)


def _rates(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of what was tried for every arm, the choice in bold."""
    tuned = [row for row in rows if row["tuning"]]
    if not tuned:
        return ""
    values = [told for told, _, _ in tuned[0]["tuning"]]
    lines = [(str(row["labels"]), row["method"], *(_tried(one) for one in row["tuning"])) for row in tuned]
    return "Score on validation patients by what was tried, the choice in bold:\n\n" + _table(
        ("labels", "method", *values), lines
    )


def _tried(one: Sequence[Any]) -> str:
    _, validation, chosen = one
    score = "diverged" if validation is None else f"{validation:.3f}"
    return f"**{score}**" if chosen else score


def _costs(study: dict[str, Any]) -> str:
    cells = {
        method: median(row["minutes"] for row in study["rows"] if row["method"] == method)
        for method in dict.fromkeys(row["method"] for row in study["rows"])
    }
    lines = []
    for method, minutes in cells.items():
        run = study["pretraining"].get(method) or {}
        trained = [str(run[name]) for name in ("runs", "iterations", "patients")] if run else ["", "", ""]
        lines.append((method, *trained, f"{run['minutes']:.1f}" if run else "", f"{minutes:.1f}"))
    head = ("method", "pre-trainings", "iterations", "patients", "minutes each", "minutes a cell")
    return "Cost:\n\n" + _table(head, lines)


def _settings(study: dict[str, Any]) -> str:
    lines = []
    for method, settings in study["settings"].items():
        shown = " ".join(f"`{key}: {json.dumps(value)}`" for key, value in sorted(settings.items()))
        lines.append(f"- {method}: {shown}")
    return "Pre-training, where it differs from the bundle's defaults:\n\n" + "\n".join(lines) + "\n"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="STUDY", help="folder of a finished study")
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    for folder in parser.parse_args().folders:
        known[folder.name] = _rounded(collected(folder))
    TABLE.write_text(json.dumps(known, indent=1) + "\n")
    PAGE.write_text(rendered(known))
    for method in sorted({row["method"] for study in known.values() for row in study["rows"]}):
        if page_of(method).exists():
            page_of(method).write_text(with_measured(page_of(method).read_text(), known, method))
