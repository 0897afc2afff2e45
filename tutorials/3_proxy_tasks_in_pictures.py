# %% [markdown]
# # What each proxy task does to a scan, in pictures
#
# A proxy task asks a question that an image answers by itself. What a network learns from it depends on what is
# corrupted, so look before you train. All transforms here are MONAI dictionary transforms, for volumes and for
# images.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import monai_ssl.transforms as proxy
from monai_ssl.samples.phantom import phantom_ct

work = Path("proxy_tasks").resolve()
work.mkdir(exist_ok=True)
volume, _ = phantom_ct(seed=3, shape=(96, 80, 64))
scan = ((torch.from_numpy(volume).float() + 1000) / 2000).clamp(0, 1)[None]  # (C, X, Y, Z) in [0, 1]


def show(name: str, pictures: dict[str, torch.Tensor]) -> None:
    """Save the middle axial slices side by side."""
    _, axes = plt.subplots(1, len(pictures), figsize=(2.2 * len(pictures), 2.4), squeeze=False, layout="tight")
    for ax, (title, x) in zip(axes[0], pictures.items(), strict=True):
        ax.imshow(x[0, :, :, x.shape[-1] // 2].T.flip(0, 1), cmap="gray", vmin=0, vmax=1)
        ax.set_title(title, fontsize=8)
        ax.set_axis_off()
    plt.savefig(work / f"{name}.png", dpi=110)
    plt.show()


# %% [markdown]
# ## Restore what was corrupted
#
# Models Genesis: the look of tissue (Bézier curve), its texture (local shuffling) and its context (painting) are
# corrupted; the network restores them.

# %%
corruptions = {
    "Bézier": proxy.RandBezierd("image", prob=1.0),
    "local shuffling": proxy.RandLocalShufflingd("image", prob=1.0),
    "inner painting": proxy.RandPaintingd("image", prob=1.0, in_prob=1.0),
    "outer painting": proxy.RandPaintingd("image", prob=1.0, in_prob=0.0),
}
corrupted = {name: task.set_random_state(5)({"image": scan})["image"] for name, task in corruptions.items()}
show("models_genesis", {"scan": scan} | corrupted)

# %% [markdown]
# ## Restore what is hidden
#
# TOWER masks by what is known about the modality: blocks for CT and MR, stripes, or rays.

# %%
masks = {
    "blocks": proxy.RandBlockMaskd("image", grid=(12, 10, 8)),
    "stripes": proxy.RandStripeMaskd("image", axis=0, width=4),
    "swapped patches": proxy.RandPatchSwapd("image", patch_size=(12, 10, 8), num_swaps=20),
}
hidden = {name: task.set_random_state(0)({"image": scan})["image"] for name, task in masks.items()}
show("masks", {"scan": scan} | hidden)

# %% [markdown]
# ## Say what was done
#
# Rotation asks which way a cube was turned; the answer stands beside the image.

# %%
cube = scan[:, 8:72, 8:72, :64]
turned = {}
for seed in range(4):
    answer = proxy.RandRotationTaskd("image").set_random_state(seed)({"image": cube})
    turned[f"turned: class {int(answer['label'])}"] = answer["image"]
show("rotation", {"cube": cube} | turned)

# %% [markdown]
# Jigsaw and Rubik's cube cut a window into cells and ask for their order, Rubik's also for half turns.

# %%
orders = proxy.permutation_table(8, 20)
cells = proxy.RandRubikd("image", cube=(24, 24, 24), permutations=orders).set_random_state(1)({"image": cube})
print("order", int(cells["label"]), "turns", cells["turns"].int().tolist())
show("rubik", {f"cell {i}": cell for i, cell in enumerate(cells["cells"])})

# %% [markdown]
# ## Find the two that belong together
#
# Contrastive methods and PCRLv2 cut two windows that overlap. How much they overlap is the hardest choice of all: too
# much and the task is trivial, too little and two organs are called the same.

# %%
crop = proxy.RandIoUPairCropd("image", out_size=(48, 48, 32), sizes=[[48, 48, 32], [64, 64, 48]], num_locals=0)
pair = crop.set_random_state(2)({"image": scan})
augment = proxy.Separatelyd(
    ["view1", "view2"], [proxy.RandGaussianBlurd("image"), proxy.RandGaussianNoiseBatchd("image", std=(0.0, 0.1))]
)
noisy = augment.set_random_state(0)(pair)
show("pair", {"scan": scan, **{f"{k}, cut": pair[k] for k in noisy}, **{f"{k}, augmented": noisy[k] for k in noisy}})

# %% [markdown]
# ## Undo it
#
# Each task tells what it did, so a test can undo it. If a question has two right answers, a network cannot learn it.

# %%
asked = proxy.RandRotationTaskd("image").set_random_state(1)({"image": cube})
back = proxy.rotate_back(asked["image"][None], asked["label"][None])
assert torch.equal(back[0], cube)
