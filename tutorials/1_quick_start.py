# %% [markdown]
# # Quick start
#
# From scans to a fine-tuned network: a store, a look at the views, pre-training, fine-tuning with and without.
# Everything is reduced to two CPU cores and two minutes, and the scans are generated: the steps are real, the scores
# mean nothing. `make demo` does the same on real sample scans.

# %%
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import monai_ssl

os.environ.setdefault("PYTHONWARNINGS", "ignore")
bundles = Path(monai_ssl.__file__).parent / "bundles"
work = Path("quick_start").resolve()


def show(picture: Path) -> None:
    """Show a picture that a command has written."""
    plt.figure(figsize=(10, 8), layout="tight")
    plt.imshow(plt.imread(picture))
    plt.axis("off")
    plt.show()


# %% [markdown]
# ## 1. Scans
#
# Any tree of DICOM, NIfTI, NRRD, MetaImage, PNG or JPEG will do. Labels are for fine-tuning only; `prepare` knows
# them by their names and leaves them out of pre-training.

# %%
from monai_ssl.samples.phantom import write_phantom_cohort

scans = work / "scans"
write_phantom_cohort(scans, patients=6, shape=(64, 64, 48))
patients = sorted(path.parent.name for path in scans.glob("ct/*/ct.nii.gz"))
print(patients)

# %% [markdown]
# ## 2. The store
#
# On the command line: `python -m monai_ssl prepare quick_start/scans quick_start/store`.

# %%
from monai_ssl.cli.main import main as monai_ssl_command

store = work / "store"
assert monai_ssl_command(["prepare", str(scans), str(store), "--workers", "0"]) == 0

# %% [markdown]
# ## 3. What the network will see
#
# `python -m monai_ssl preview` draws it before any training. Look at it: most failures of self-supervised learning
# can be seen here. The windows are an eighth of the paper's, and so is the number of patches that change places: with
# its 100 swaps nothing would be left to restore from.

# %%
config = bundles / "pcrlv2" / "configs" / "pretrain.json"
small = {"widths": [4, 8, 16, 32], "roi_size": [32, 32, 16], "swap#0#num_swaps": 12}
seen = {"dataset_dir": store, "output_dir": work, "samples": 2, **small}
options = [word for key, value in seen.items() for word in (f"--{key}", str(value))]
assert monai_ssl_command(["preview", "--config_file", str(config), "--out", str(work / "views.png"), *options]) == 0
show(work / "views.png")

# %% [markdown]
# ## 4. Pre-training
#
# This is `python -m monai.bundle run pretrain --config_file ... --bundle_root ... --dataset_dir ... --output_dir
# ...`, called from Python. Each key of the bundle's JSON can be given another value.

# %%
from monai.bundle import run

run(
    "pretrain",
    config_file=str(config),
    bundle_root=str(bundles / "pcrlv2"),
    logging_file=False,
    dataset_dir=str(store),
    output_dir=str(work / "pretrained"),
    max_epochs=2,
    batch_size=4,
    windows_per_scan=2,
    num_workers=0,
    validation=0.0,
    **small,
)
print(sorted(path.name for path in (work / "pretrained").iterdir()))
show(work / "pretrained" / "pictures" / "epoch_0002.png")

# %% [markdown]
# `encoder.safetensors` is what you keep; its model card says what it was trained on and how. `mlruns.db` in the
# working directory is the record of all runs that are started here: `mlflow ui --backend-store-uri sqlite:///mlruns.db`.
#
# ## 5. Fine-tuning, and the run from scratch beside it

# %%
entries = [
    {"image": f"ct/{name}/ct.nii.gz", "label": f"labels/{name}_lung_label.nii.gz", "patient": name} for name in patients
]
(scans / "datalist.json").write_text(json.dumps({"training": entries[:3], "validation": entries[3:]}))


def fine_tune(name: str, weights: str) -> float:
    """Fine-tune on the lungs and return the best Dice on validation."""
    out = work / name
    run(
        config_file=str(bundles / "segmentation" / "configs" / "train.json"),
        bundle_root=str(bundles / "segmentation"),
        logging_file=False,
        dataset_dir=str(scans),
        datalist=str(scans / "datalist.json"),
        output_dir=str(out),
        overwrite=True,
        weights=weights,
        labels={"lungs": 1},
        width=4,
        roi_size=[32, 32, 16],
        max_epochs=3,
        iterations_per_epoch=20,
        lr=0.01,
        num_workers=0,
    )
    from monai_ssl.analysis.training import read_curves

    return max(dice for _, dice in read_curves(out)["val_mean_dice"])


# %%
scores = {
    "pre-trained": fine_tune("tuned", str(work / "pretrained" / "encoder.safetensors")),
    "from scratch": fine_tune("scratch", ""),
}
print(scores)

# %% [markdown]
# One seed and three epochs cannot tell which is better. `5_compare_honestly` shows what can.
