"""``python -m monai_ssl.study.worker STUDY_FOLDER KEY``: do one job in a process of its own."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from monai_ssl.study.execution import execute
from monai_ssl.study.folder import StudyFolder

CODES = {"done": 0, "failed": 1, "busy": 75}
"""Exit codes by status; 75 is that of ``sysexits.h`` for "try again"."""


def main(argv: list[str]) -> int:
    """Do the job; end at once when the study that started this process is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    folder = StudyFolder(Path(argv[0]))
    job = folder.read_job(argv[1])
    from monai_ssl.study.runner import do

    status = execute(folder, job, do)
    if status == "failed":
        print(f"error: {folder.failure(job)}", flush=True)
    return CODES[status]


def _end_with_parent() -> None:
    # the parent holds the other end and never writes: the end of the file is the end of the parent
    while os.read(0, 1):
        pass
    os._exit(CODES["busy"])


if __name__ == "__main__":
    # threads of MLflow and data loading must not keep a finished job alive
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
