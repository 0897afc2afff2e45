# %% [markdown]
# # Many GPUs
#
# The command of one GPU, started by `torchrun`: no other configuration, no option. Without a GPU the processes talk
# over the CPU, so what follows runs on any laptop, with two processes as a stand-in for two GPUs.

# %%
import os
import shlex
import subprocess
import sys
from pathlib import Path

import monai_ssl
from monai_ssl.store import prepare
from monai_ssl.samples.phantom import write_phantom_cohort

bundles = Path(monai_ssl.__file__).parent / "bundles"
work = Path("many_gpus").resolve()
write_phantom_cohort(work / "scans", patients=4, shape=(48, 48, 32))
prepare(work / "scans", work / "store")

# %%
command = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
    *("-m", "monai.bundle", "run", "pretrain", "--logging_file", "False"),
    *("--config_file", str(bundles / "simclr" / "configs" / "pretrain.json")),
    *("--bundle_root", str(bundles / "simclr"), "--dataset_dir", str(work / "store")),
    *("--output_dir", str(work / "out"), "--max_epochs", "1", "--batch_size", "2", "--windows_per_scan", "2"),
    *("--num_workers", "0", "--validation", "0.0", "--widths", "[4,8,16,32]", "--roi_size", "[16,16,16]"),
]
print(shlex.join(command).replace(sys.executable, "python"))
subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

# %% [markdown]
# `python -m torch.distributed.run` is `torchrun`. What one must know:
#
# - `batch_size` is per process: the global batch was 4 here, and contrastive losses saw all 4.
# - An epoch is still every window once, over all processes together.
# - The first process alone writes: one record, one set of weights.

# %%
from monai_ssl.analysis.training import read_curves

print(sorted(path.name for path in (work / "out").iterdir()))
print({name: curve[-1] for name, curve in read_curves(work / "out").items()})

# %% [markdown]
# Several machines, uneven data, what to do when a process dies: see the page *Many GPUs, many machines*.
