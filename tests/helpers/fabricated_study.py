"""A study's folder without any training."""

import base64
import hashlib
import json

import numpy as np

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CASES = [f"case_{i:02d}" for i in range(12)]


def result(method="scratch", labels=5, seed=0, task="liver", scheme="full", metric="dice", **changes):
    """What ``result.json`` of a cell says; methods gain 0.05 a letter of their name."""
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
        "score": float(np.mean(list(per_case.values()))),
        "per_case": per_case,
        "per_class": {"liver": 0.9, "tumor": 0.25},
        "curve": [[step, 0.1 + step / 1000 + gain] for step in (0, 50, 100)],
        "seconds": 60.0,
        "pretraining": None if method.startswith("scratch") else f"weights of {method}",
        "fingerprint": f"{method}-{labels}-{seed}",
        "pictures": [],
    }
    return content | changes


def write_cell(study_dir, content, name=None, pictures=()):
    parts = (content["method"], content["task"], content["labels"], content["scheme"], content["seed"])
    folder = study_dir / "cells" / (name or hashlib.sha1(repr(parts).encode()).hexdigest())
    folder.mkdir(parents=True)
    for picture in pictures:
        (folder / picture).write_bytes(PIXEL)
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def write_study(study_dir, methods=("scratch", "byol", "pcrl2"), labels=(5, 10, 20), seeds=(0, 1, 2), **changes):
    for method in methods:
        for size in labels:
            for seed in seeds:
                write_cell(study_dir, result(method, size, seed, **changes))
    (study_dir / "study.json").write_text(json.dumps({"name": "trial", "seeds": sorted(seeds)}))
    return study_dir
