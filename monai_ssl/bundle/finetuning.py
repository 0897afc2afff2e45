"""Folders of a fine-tuning: where it puts its results by default, and that they are nobody else's."""

from __future__ import annotations

import shutil
from pathlib import Path

from ignite import distributed as idist

from monai_ssl.files import sweep
from monai_ssl.handlers import RunFolder

MODEL_FILES = ("model.pt", "model.json")


def finetuned(bundle_root: str) -> str:
    """Return the folder of a fine-tuning when no ``output_dir`` is given: ``finetuned/<bundle>`` where it is started.

    >>> finetuned("bundles/segmentation")
    'finetuned/segmentation'
    """
    return f"finetuned/{Path(bundle_root).resolve().name}"


def model_folder(bundle_root: str) -> str:
    """Return the folder of the model to infer with: of a fine-tuning, else ``models`` of a bundle that brings one.

    >>> model_folder("bundles/regression")  # there is no model yet
    'finetuned/regression'
    """
    own, brought = Path(finetuned(bundle_root)), Path(bundle_root, "models")
    return str(brought if (brought / MODEL_FILES[0]).is_file() and not (own / MODEL_FILES[0]).is_file() else own)


def begin_run(
    output_dir: str, ckpt_dir: str, bundle_root: str, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Hold the folder of a fine-tuning, before anything is read; on rank 0 only.

    Args:
        output_dir: holds all of the run; what an earlier run left there is moved to ``earlier/<time>``.
        ckpt_dir: gets ``model.pt``. Where it is another folder, a model in it stays until a better one replaces it, as
            MONAI Label wants it, and a copy is kept in ``earlier``.
        bundle_root: must not get the results unless somebody says so.
        resume: continue the run of the folder.
        overwrite: begin anew where there is one.

    Raises:
        ValueError: when another process trains there, or an earlier run is neither continued nor moved.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "model.pt").touch()
    ...     begin_run(folder, folder, "bundles/segmentation", overwrite=True)
    ...     [path.parts[-3] for path in Path(folder).rglob("model.pt")]
    ['earlier']
    """
    if idist.get_rank() > 0:
        return
    if not isinstance(resume, bool) or not isinstance(overwrite, bool):
        raise ValueError(f"`resume` and `overwrite` are true or false, got {resume!r} and {overwrite!r}.")
    if resume and overwrite:
        raise ValueError("`resume` continues a run and `overwrite` begins one: give one of them.")
    root, models = Path(output_dir), Path(ckpt_dir)
    if output_dir == finetuned(bundle_root) and root.resolve().is_relative_to(Path(bundle_root).resolve()):
        raise ValueError(f"Results would go into the bundle itself ({root.resolve()}): give an `output_dir`.")
    folder = RunFolder(root, resume, overwrite=overwrite)
    kept = folder.claim()
    if models.resolve() == root.resolve() or folder.continues:
        return
    sweep(models)
    left = [models / name for name in MODEL_FILES if (models / name).is_file()]
    if left and not (overwrite or resume):
        folder.free()
        raise ValueError(
            f"`ckpt_dir` {models} holds a model of an earlier run: `--overwrite true` keeps a copy of it in "
            f"{root / 'earlier'} and replaces it; or give another `ckpt_dir`."
        )
    if left:
        kept = kept or folder.place_for_earlier()
        for path in left:
            shutil.copy2(path, kept)


__all__ = ["begin_run", "finetuned", "model_folder"]
