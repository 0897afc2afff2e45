"""A study without any training: its cells are written as workers write them, by work that only returns numbers."""

import base64
import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from monai_ssl.study.execution import execute
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CASES = [f"case_{i:02d}" for i in range(12)]
_UNUSED = {"select": "last", "data_fingerprint": "", "overrides": {}, "recipe": {}}
_UNUSED |= {"train": Path(), "evaluate": Path()}


def result(method="scratch", labels=5, seed=0, task="liver", scheme="full", metric="dice", **changes):
    """What a cell is and what was measured; methods gain 0.05 a letter of their name."""
    random = np.random.default_rng([len(method), labels, seed, len(task)])
    gain = 0.0 if method.startswith("scratch") else 0.05 * len(method)
    per_case = {case: float(0.3 + 0.01 * labels + gain + random.normal(0, 0.02)) for case in CASES}
    content = {
        "method": method,
        "task": task,
        "labels": labels,
        "scheme": scheme,
        "seed": seed,
        "metric": metric,
        "higher_is_better": True,
        "pretraining": None if method.startswith("scratch") else f"weights of {method}",
        "encoder": "",
        "score": float(np.mean(list(per_case.values()))),
        "per_case": per_case,
        "per_class": {"liver": 0.9, "tumor": 0.25},
        "curve": [[step, 0.1 + step / 1000 + gain] for step in (0, 50, 100)],
        "seconds": 60.0,
        "pictures": [],
    }
    return content | changes


def cell(content, key=None):
    """The job of a cell."""
    parts = [content[name] for name in ("method", "task", "labels", "scheme", "seed")]
    facts = {field.name: content[field.name] for field in fields(CellJob) if field.name in content}
    return CellJob(key=key or hashlib.sha1(repr(parts).encode()).hexdigest(), **_UNUSED | facts)


def write_cell(study_dir, content, key=None, pictures=()):
    job = cell(content, key)

    def work(job, folder, aside):
        for picture in pictures:
            aside.picture(picture).write_bytes(PIXEL)
        return {name: value for name, value in content.items() if name not in job.facts()}

    assert execute(StudyFolder(study_dir), job, work) == "done"
    return job


def write_study(study_dir, methods=("scratch", "byol", "pcrl2"), labels=(5, 10, 20), seeds=(0, 1, 2), **changes):
    parts = [(method, size, seed) for method in methods for size in labels for seed in seeds]
    cells = [write_cell(study_dir, result(*part, **changes)) for part in parts]
    StudyFolder(study_dir).write_record({"name": "trial", "seeds": sorted(seeds)}, cells)
    return study_dir
