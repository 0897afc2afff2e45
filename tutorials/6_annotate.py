# %% [markdown]
# # Annotate with MONAI Label
#
# Weights that were pre-trained on your unlabeled scans start the model that helps you to label them: it proposes,
# you correct, it trains on what you corrected. This page makes the bundle and checks what the server will ask of it;
# the server is a program of its own (`pip install ".[label]"`, in another environment than this one).

# %%
import json
from pathlib import Path

from monai.bundle import run

import monai_ssl
from monai_ssl.cli.main import main as monai_ssl_command
from monai_ssl.store import prepare
from monai_ssl.samples.phantom import write_phantom_cohort

bundles = Path(monai_ssl.__file__).parent / "bundles"
work = Path("annotate").resolve()
write_phantom_cohort(work / "scans", patients=4, shape=(48, 48, 32))
prepare(work / "scans", work / "store")

# %% [markdown]
# ## Weights
#
# From any pre-training run; here one step of PCRLv2.

# %%
run(
    "pretrain",
    config_file=str(bundles / "pcrlv2" / "configs" / "pretrain.json"),
    bundle_root=str(bundles / "pcrlv2"),
    logging_file=False,
    dataset_dir=str(work / "store"),
    output_dir=str(work / "pretrained"),
    max_epochs=1,
    windows_per_scan=1,
    batch_size=2,
    num_workers=0,
    validation=0.0,
    widths=[4, 8, 16, 32],
    roi_size=[32, 32, 16],
)

# %% [markdown]
# ## The bundle for the server
#
# `apps/monaibundle` is MONAI Label's sample app: `monailabel apps --download --name monaibundle --output apps`.

# %%
model = work / "apps" / "monaibundle" / "model"
weights = work / "pretrained" / "encoder.safetensors"
command = ["handoff", "--weights", str(weights), "--labels", "lung,heart", "--name", "thorax", "--modality", "ct"]
assert monai_ssl_command([*command, "--roi-size", "32", "32", "16", str(model)]) == 0

# %% [markdown]
# ## What MONAI Label asks for
#
# It lists the model only if `models/model.pt` exists when it starts, and takes the names of the labels from the
# metadata.

# %%
thorax = model / "thorax"
files = ("models/model.pt", "configs/inference.json", "configs/train.json", "configs/metadata.json")
assert all((thorax / file).is_file() for file in files)
metadata = json.loads((thorax / "configs" / "metadata.json").read_text())
print(metadata["network_data_format"]["outputs"]["pred"]["channel_def"])

# %% [markdown]
# ## Serve, correct, train
#
# ```bash
# monailabel start_server --app annotate/apps/monaibundle --studies annotate/scans/ct --conf models thorax \
#     --conf zoo_source local --conf sam2 false
# ```
#
# In 3D Slicer or OHIF: connect to `http://127.0.0.1:8000`, *Next Sample*, *Run*, correct, *Submit Label*, and after
# some scans *Train*. The same by hand:
#
# ```bash
# curl -X POST "http://127.0.0.1:8000/infer/thorax?image=ct&output=image" -F 'params={}' -o proposal.nii.gz
# curl -X POST http://127.0.0.1:8000/train/thorax -H 'Content-Type: application/json' -d '{"max_epochs": 20}'
# ```
#
# `bash tests/label/run.sh` walks this line with a real server.
