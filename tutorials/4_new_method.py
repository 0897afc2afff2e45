# %% [markdown]
# # Write a new method in 60 lines
#
# The method: *context restoration* (Chen et al., Medical Image Analysis 2019). Small patches of a scan are swapped,
# and a network puts them back. The transform exists (`RandPatchSwapd`), so what remains is the objective.

# %%
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import torch.nn.functional as F
from torch import Tensor

import monai_ssl
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet


# %%
class ContextRestoration(Method):
    r"""Restore a scan some patches of which were swapped.

    Args:
        network: U-Net on the encoder that is to be pre-trained.

    Batch:

    ========== ===================== =================================
    key        shape                 content
    ========== ===================== =================================
    ``view``   (B, C, \*spatial)     window with swapped patches
    ``target`` (B, C, \*spatial)     the same window as it was
    ========== ===================== =================================
    """

    def __init__(self, network: RestorationUNet) -> None:
        super().__init__()
        self.network = network

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"restoration": F.mse_loss(self.network(batch["view"]), batch["target"])}


# %% [markdown]
# That is the method. The trainer, mixed precision, many GPUs, resuming, MLflow, export and transfer need nothing
# more.
#
# ## Its bundle
#
# Models Genesis has the same parts, so its bundle serves as the pattern; two keys differ. For a method of your own in
# a package, write the class's dotted path there, and keep the file as `bundles/<name>/configs/pretrain.json`.

# %%
import json

source = json.loads((Path(monai_ssl.__file__).parent / "bundles/models_genesis/configs/pretrain.json").read_text())
source["network_def"] = {
    "_target_": f"{__name__}.ContextRestoration",
    "network": {"_target_": "monai_ssl.networks.RestorationUNet", "encoder": "@encoder", "skips": False},
}
del source["skips"]  # a key that nothing reads is refused
source["views"]["transforms"] = [
    {"_target_": "monai_ssl.transforms.Snapshotd", "keys": "view", "names": "target"},
    {"_target_": "monai_ssl.transforms.RandPatchSwapd", "keys": "view", "patch_size": 4, "num_swaps": 10},
]
source["pretraining"]["name"] = "context_restoration"
work = Path("new_method").resolve()
config = work / "bundle" / "configs" / "pretrain.json"
config.parent.mkdir(parents=True, exist_ok=True)
config.write_text(json.dumps(source, indent=4))

# %% [markdown]
# ## Look at it, then train it

# %%
from monai.bundle import run

from monai_ssl.cli.main import main as monai_ssl_command
from monai_ssl.store import prepare
from monai_ssl.samples.phantom import write_phantom_cohort

write_phantom_cohort(work / "scans", patients=4, shape=(64, 64, 48))
prepare(work / "scans", work / "store")
places = {"dataset_dir": str(work / "store"), "output_dir": str(work / "out")}
size = {"widths": [4, 8, 16, 32], "roi_size": [32, 32, 32]}

# %%
options = [word for key, value in {**places, "roi_size": [32, 32, 32]}.items() for word in (f"--{key}", str(value))]
assert monai_ssl_command(["preview", "--config_file", str(config), "--out", str(work / "views.png"), *options]) == 0
plt.figure(figsize=(10, 6), layout="tight")
plt.imshow(plt.imread(work / "views.png"))
plt.axis("off")
plt.show()

# %%
few = {"max_epochs": 3, "batch_size": 4, "windows_per_scan": 4, "num_workers": 0, "validation": 0.0, "lr": 0.1}
run("pretrain", config_file=str(config), bundle_root=str(work / "bundle"), logging_file=False, **places, **size, **few)

# %% [markdown]
# ## What was written

# %%
from monai_ssl.transfer import read_card

card = read_card(work / "out" / "encoder.safetensors")
assert card is not None
print(card.method, sorted(path.name for path in (work / "out").iterdir()))
assert card.method == "context_restoration"

# %% [markdown]
# For a method that stays, `python -m monai_ssl new-method context_restoration` writes its file, bundle, test and row in
# the docs, in a checkout of this package or in a project of your own.
