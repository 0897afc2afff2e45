"""What the bundles' JSON names: the parts that never vary between methods."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite import distributed as idist
from monai.inferers import Inferer, SlidingWindowInferer
from monai.utils import set_determinism
from torch.utils.data import DataLoader, Dataset

from monai_ssl.data import LabelledImages, PretrainingScans, WindowDataset
from monai_ssl.data.windows import collate_views, endless_loader
from monai_ssl.engines import WindowMeanInferer
from monai_ssl.errors import explain_mistakes
from monai_ssl.handlers import Export, HeldOutLoss, Pictures, Probe, Tracking
from monai_ssl.machine import cores
from monai_ssl.methods import Method
from monai_ssl.networks import Encoder
from monai_ssl.overrides import read_json_words, refuse_unknown_keys, resolved, running_parser
from monai_ssl.transfer.export import hash_tensors
from monai_ssl.transfer.source import read_checkpoint
from monai_ssl.transforms import BatchViews, ImageNetNormalized, ZScored

_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


def device() -> torch.device:
    """The GPU of this process under ``torchrun``, else the first GPU, else the CPU.

    Raises:
        ValueError: when ``torchrun`` started more processes than there are GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= count:
        raise ValueError(
            f"`torchrun` started a process number {number + 1} here, but this machine has {count} GPU"
            f"{'s' if count > 1 else ''}: give `--nproc_per_node={count}`."
        )
    return torch.device("cuda", number)


def has_fast_half(device: torch.device | str) -> bool:
    """Whether half precision pays on a device: on every GPU, and on CPUs with matrix instructions for bfloat16."""
    if torch.device(device).type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported())
    return True


def setup(seed: int) -> None:
    """Begin a run: refuse unknown keys, join the other processes of ``torchrun``, seed everything.

    Raises:
        ValueError: when a top-level key of the configuration is read by nothing, as a misspelt override is.
    """
    explain_mistakes()
    parser = running_parser()
    if parser is not None:
        refuse_unknown_keys(parser.get())
        read_json_words(parser)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and idist.get_world_size() == 1:
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        idist.initialize("nccl" if torch.cuda.is_available() else "gloo")
    set_determinism(seed)


def loader(dataset: Dataset, batch_size: int, num_workers: int, device: torch.device | str, seed: int) -> DataLoader:
    """The endless loader of a pre-training run, sharded under ``torchrun``.

    No more workers are started than there are cores; samples do not depend on their number.

    Raises:
        ValueError: for a batch of fewer than two samples, with which comparisons and batch norm mean nothing.
    """
    world_size = idist.get_world_size()
    if batch_size * world_size < 2:
        raise ValueError(
            "`batch_size` must be at least 2: with one sample there is nothing to compare and batch norm fails."
        )
    return endless_loader(
        dataset,
        batch_size,
        min(num_workers, cores()),
        seed=seed,
        rank=idist.get_rank(),
        world_size=world_size,
        pin_memory=torch.device(device).type == "cuda",
    )


def scaled_lr(base_lr: float, batch_size: int) -> float:
    """The learning rate for the batch of all processes, in proportion to that for 256 samples (Goyal et al., 2017)."""
    return base_lr * batch_size * idist.get_world_size() / 256


def held_out_loss(scans: PretrainingScans, crops: list, views: BatchViews, batch_size: int, seed: int) -> Any:
    """The loss on held-out patients after every epoch, on the same windows each time; nothing where nobody is."""
    if not scans.held_out:
        return _Nothing()
    windows = max(1, -(-batch_size // len(scans.held_out)))
    dataset = WindowDataset(scans.held_out, crops, seed + 1, windows)
    batches = DataLoader(dataset, min(batch_size, len(dataset)), collate_fn=collate_views, drop_last=True)
    return HeldOutLoss(batches, views, seed=seed)


def probe(labelled: str | None, size: Sequence[int], views: BatchViews, encoder: Encoder) -> Any:
    """Nearest-neighbor and linear probe after every epoch, when a list of labelled images is given.

    Args:
        labelled: JSON file, a list of ``{"image": path, "label": number}``, paths relative to it; or ``None``.
        size: voxels that each image is resized to.
        views: their last normalization is applied to the images too.
        encoder: what it takes decides the channels; an image of one channel is repeated.
    """
    if not labelled:
        return _Nothing()
    last = [transform.normalize for transform in views.transforms if hasattr(transform, "normalize")]
    return Probe(LabelledImages(labelled, size, encoder.in_channels, last[-1] if last else None))


def export(
    method: str, output_dir: str, preset: str, scans: PretrainingScans, views: BatchViews, data_license: str
) -> Export:
    """Publish the encoder after the run; how to build it is read from the key ``encoder`` of the bundle."""
    parser = running_parser()
    encoder = {} if parser is None else resolved(parser, parser["encoder"])
    names = (("zscore", ZScored), ("imagenet", ImageNetNormalized))
    normalize = next((name for t in views.transforms for name, kind in names if isinstance(t, kind)), None)
    facts = scans.facts() | {"normalize": normalize}
    return Export(output_dir, method, preset, encoder, facts, data_license=data_license)


class Record:
    """The record of a run: sheets of pictures on disk, and MLflow with them, all terms, metrics and parameters.

    The parameters hold the hash of the table of permutations, where the method has one.

    Args:
        name: of the bundle; the run's name begins with it.
        output_dir: where pictures and the default database go.
        resume: continue the MLflow run that ``output_dir`` holds.
        pictures_every: epochs between two sheets.
    """

    def __init__(self, name: str, output_dir: str, resume: bool | str = False, pictures_every: int = 10) -> None:
        parser = running_parser()
        params = {}
        if parser is not None:
            plain = {k: resolved(parser, v) for k, v in parser.get().items() if k not in ("imports", "_meta_")}
            params = {k: v for k, v in plain.items() if _is_plain(v) and not k.endswith("_dir") and k != "bundle_root"}
        self.tracking = Tracking(output_dir, name, params, resume=bool(resume))
        self.pictures = Pictures(output_dir, pictures_every, tracking=self.tracking)

    def attach(self, engine: Any) -> None:
        """Attach MLflow last, so that it sees what others put into the metrics."""
        tables = [b for name, b in engine.method.named_buffers() if name.rpartition(".")[2] == "permutations"]
        if tables:
            self.tracking.params["permutations_sha256"] = hash_tensors({"permutations": tables[0]})
        self.pictures.attach(engine)
        self.tracking.attach(engine)


def images(dataset_dir: str) -> list[dict[str, str]]:
    """List the volumes of a folder, or the one file, for inference.

    Raises:
        ValueError: when there is none.
    """
    root = Path(dataset_dir)
    found = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.name.lower().endswith(_VOLUMES))
    if not found:
        raise ValueError(f"`dataset_dir` {root} holds no file of these kinds: {', '.join(_VOLUMES)}.")
    return [{"image": str(path)} for path in found]


def inferer(output: str, roi_size: Sequence[int]) -> Inferer:
    """Windows over the scan: blended for restorations, averaged for features."""
    if output == "features":
        return WindowMeanInferer(roi_size)
    return SlidingWindowInferer(roi_size, sw_batch_size=4, overlap=0.25, mode="gaussian")


def load_method(method: Method, weights: str) -> None:
    """Load the whole method from ``model.pt`` of a run, or from its ``checkpoint.pt``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds another method or network.
    """
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"`weights` names {path}, which does not exist: it is `model.pt` in a run's `output_dir`."
        )
    state = read_checkpoint(path)
    try:
        method.load_state_dict(state.get("method", state))
    except (RuntimeError, TypeError) as e:
        raise ValueError(
            f"{path} was written by another method, preset or width than this configuration; "
            "give `--preset`, `--widths` and whatever else of the method was set in pre-training. "
            f"{(str(e).splitlines()[1:] or [str(e)])[0].strip()}"
        ) from e


class _Nothing:
    """A handler that does nothing."""

    def attach(self, engine: Any) -> None:
        del engine


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(not isinstance(v, Mapping) and _is_plain(v) for v in value)
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and value[:1] != "$")
