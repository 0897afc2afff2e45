"""A study of jobs that only write a number, run as a process that a test kills: ``fake_study.py FOLDER``."""

import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from monai_ssl.study.cells import Job, StudyFolder, execute
from monai_ssl.study.parallel import run_jobs


def jobs(methods=3, cells=4):
    found = []
    for method in range(methods):
        found.append(Job(f"pre{method}", "pretraining", f"pre {method}", {"method": f"m{method}"}, {}))
        for cell in range(cells):
            facts = {"method": f"m{method}", "labels": cell}
            found.append(Job(f"cell{method}{cell}", "cell", f"cell {method} {cell}", facts, {}, f"pre{method}"))
    return found


def work(job, folder, aside):
    with (folder.root / "started.log").open("a") as log:
        log.write(
            f"{job.key} {folder.is_done(job)} {job.needs is None or folder.place('pretraining', job.needs).is_dir()}\n"
        )
    if job.kind == "cell":
        assert not any(aside.iterdir()), "a cell begins anew"
    steps = aside / "steps"
    for _ in range(len(steps.read_text()) if steps.exists() else 0, 5):
        time.sleep(0.01)
        with steps.open("a") as out:
            out.write(".")
    return {"score": int(hashlib.sha256(job.key.encode()).hexdigest()[:6], 16) / 2**24}


def main(root):
    folder = StudyFolder(root)
    with ThreadPoolExecutor(2) as executor:
        status = run_jobs(folder, jobs(), lambda f, j, _: execute(f, j, work), executor, 2, lambda *_: None)
    assert set(status.values()) == {"done"}


if __name__ == "__main__":
    main(sys.argv[1])
