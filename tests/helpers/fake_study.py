"""A study of jobs that only write a number, run as a process that a test kills: ``fake_study.py FOLDER``."""

import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from fabricated_study import cell, result
from safetensors.numpy import save_file

from monai_ssl.study.execution import execute
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, PretrainingJob
from monai_ssl.study.parallel import run_jobs


def jobs(methods=3, cells=4):
    found = []
    for method in range(methods):
        found.append(PretrainingJob(f"pre{method}", f"m{method}", Path("p.json"), {}))
        for number in range(cells):
            content = result(f"m{method}", labels=number)
            found.append(replace(cell(content, f"cell{method}{number}"), needs=(f"pre{method}",)))
    return found


def work(job, folder, aside):
    with (folder.root / "started.log").open("a") as log:
        log.write(f"{job.key} {folder.is_done(job)} {all(folder.pretraining(key).is_done() for key in job.needs)}\n")
    if isinstance(job, CellJob):
        assert not any(aside.root.iterdir()), "a cell begins anew"
    steps = aside.root / "steps"
    for _ in range(len(steps.read_text()) if steps.exists() else 0, 5):
        time.sleep(0.01)
        with steps.open("a") as out:
            out.write(".")
    if isinstance(job, PretrainingJob):
        save_file({"weight": np.zeros(1)}, aside.encoder)
    return {"score": int(hashlib.sha256(job.key.encode()).hexdigest()[:6], 16) / 2**24}


def main(root):
    folder = StudyFolder(Path(root))
    with ThreadPoolExecutor(2) as executor:
        status = run_jobs(folder, jobs(), lambda f, j, _: execute(f, j, work), executor, 2, lambda *_: None)
    assert set(status.values()) == {"done"}


if __name__ == "__main__":
    main(sys.argv[1])
