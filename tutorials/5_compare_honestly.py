# %% [markdown]
# # Compare methods honestly
#
# "Pre-training helped" is a claim about patients, seeds and labels. A study trains every method, and the same network
# from scratch, on few and on many labels, several times, keeps the test patients out of pre-training, and judges a
# difference by seeds and patients together. Here it is as small as can be, on generated scans.

# %%
import csv
import json
from pathlib import Path

from monai_ssl.cli.main import main as monai_ssl_command

work = Path("compare").resolve()
work.mkdir(exist_ok=True)
study = {
    "name": "smallest",
    "output_dir": str(work / "out"),
    "seeds": [0, 1],
    "labels": [2],
    "schemes": ["full"],
    "pretraining": {"models_genesis": {"dataset_dir": "phantoms:ct"}},
    "tasks": {
        "lungs": {
            "bundle": "segmentation",
            "dataset_dir": "phantoms:ct",
            "metric": "dice",
            "overrides": {"labels": {"lungs": 1}},
        }
    },
    "shared": {
        "pretraining": {
            "widths": [4, 8, 16, 32],
            "roi_size": [32, 32, 16],
            "max_epochs": 2,
            "batch_size": 4,
            "windows_per_scan": 1,
            "num_workers": 0,
            "validation": 0.0,
        },
        "tasks": {
            "roi_size": [32, 32, 16],
            "max_epochs": 1,
            "iterations_per_epoch": 8,
            "lr": 0.01,
            "batch_size": 2,
            "num_workers": 0,
        },
    },
}
(work / "study.json").write_text(json.dumps(study, indent=4))

# %% [markdown]
# ## The matrix, before anything is trained

# %%
assert monai_ssl_command(["study", str(work / "study.json"), "--dry-run"]) == 0

# %% [markdown]
# ## Run it
#
# `python -m monai_ssl study compare/study.json`. The same command continues a study that was stopped.

# %%
assert monai_ssl_command(["study", str(work / "study.json")]) == 0

# %% [markdown]
# ## Read it
#
# `report.html` shows means with their intervals, never a mean alone. `table.csv` has a line for each training,
# `summary.csv` one for each method with the test against scratch.

# %%
with (work / "out" / "summary.csv").open() as file:
    for line in csv.DictReader(file):
        print({key: value for key, value in line.items() if value})

# %% [markdown]
# Two seeds and a handful of phantoms show nothing, and the report says so. `studies/` holds the tables of five
# papers, ready to run on the data that they used. `python -m monai_ssl advise --results compare/out` learns from your
# own.
