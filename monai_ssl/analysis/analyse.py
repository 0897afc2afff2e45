"""Analyse a run: read it and the data that is asked about, ask each instrument, write the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from monai_ssl.analysis.batch_norm import batch_norm_section
from monai_ssl.analysis.boxes import boxes_in, read_boxes
from monai_ssl.analysis.cases import CaseList, list_cases
from monai_ssl.analysis.classifier import Classifiers, classifiers_of
from monai_ssl.analysis.embedding import embedding_section
from monai_ssl.analysis.grad_cam import grad_cam_section
from monai_ssl.analysis.image_set import ImageSet, read_images
from monai_ssl.analysis.localization import localization_section
from monai_ssl.analysis.page import write_page
from monai_ssl.analysis.probes import probes_section
from monai_ssl.analysis.section import Section
from monai_ssl.analysis.similarity import cka_section
from monai_ssl.analysis.trained_run import TrainedRun, read_run
from monai_ssl.analysis.training import card_section, curves_section
from monai_ssl.store import Store

STORE = "store"
"""Where a pre-training puts what it prepares of a raw tree."""
_INSTRUMENTS = {
    "embedding": "--embedding DATA: features of images in the plane (PCA, t-SNE), trained beside untrained.",
    "probes": "--probes DATA: what frozen features tell of classes, label maps, rotation and relative position.",
    "gradcam": "--gradcam DATA: where the classifier looks; where there is none, a linear one on the frozen encoder.",
    "localize": "--localize BOXES: whether it looks at what boxes or label maps mark.",
    "cka": "--cka OTHER: which stages see images as another run does, such as the pre-training of a fine-tuning.",
}


@dataclass(frozen=True)
class Request:
    """What to ask of a run; ``None`` leaves an instrument out.

    Args:
        cka: another run, or a weights file, to compare with.
        gradcam: images, with classes where the run has no classifier.
        embedding: images.
        probes: images; classes and label maps are asked about where there are any.
        localize: a table of boxes, or images with label maps.
        data: images for CKA and batch norm statistics; ``None`` for those of another instrument, or the store that
            the run prepared.
        limit: images of each data at most.
        size: voxels that images are resized to; ``None`` for what suits the run.
        seed: of the choice of images, the untrained network, splits and t-SNE.
    """

    cka: Path | None = None
    gradcam: Path | None = None
    embedding: Path | None = None
    probes: Path | None = None
    localize: Path | None = None
    data: Path | None = None
    limit: int = 100
    size: tuple[int, ...] | None = None
    seed: int = 0


def analyse(folder: str | Path, out: str | Path, request: Request, device: torch.device | str = "cpu") -> Path:
    """Ask the instruments about a run and write ``analysis.html`` and ``analysis.json``.

    Args:
        folder: output folder of a pre-training or a fine-tuning.
        out: folder of the page.
        request: what to ask.
        device: where the networks go.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: when the run, or data, is not there.
        ValueError: when it cannot be used; the message says why.
    """
    if request.limit < 1:
        raise ValueError(f"`limit` is a number of images of at least 1, got {request.limit}.")
    run = read_run(folder, device=device, seed=request.seed)
    desk = _Desk(run, request, Path(out), device)
    return write_page(Path(out), f"Analysis of {run.name}", list(desk.sections()), desk.further())


class _Desk:
    """One analysis: data is read once, whichever instruments ask for it."""

    def __init__(self, run: TrainedRun, request: Request, out: Path, device: torch.device | str) -> None:
        self.run, self.request, self.out, self.device = run, request, out, device
        self._read: dict[Path, ImageSet] = {}

    def sections(self) -> Iterator[Section]:
        run, request = self.run, self.request
        yield card_section(run)
        yield curves_section(run)
        other = None if request.cka is None else read_run(request.cka, device=self.device, seed=request.seed)
        shared = self._shared()
        if other is not None:
            if shared is None:
                raise ValueError("--cka compares how two networks see the same images: give images by --data.")
            if other.spatial_dims != run.spatial_dims:
                raise ValueError(f"The run is {run.spatial_dims}-D and the other {other.spatial_dims}-D.")
            yield cka_section(run, other, shared)
        started = other or (None if run.start is None else read_run(run.start, device=self.device))
        statistics = batch_norm_section(run, shared, started)
        if statistics is not None:
            yield statistics
        if request.embedding is not None:
            yield embedding_section(run, self._images(request.embedding), request.seed)
        if request.probes is not None:
            yield probes_section(run, self._images(request.probes), request.seed)
        yield from self._of_classifiers()

    def _of_classifiers(self) -> Iterator[Section]:
        request = self.request
        if request.gradcam is None and request.localize is None:
            return
        shown = None if request.gradcam is None else self._images(request.gradcam)
        look = classifiers_of(self.run, shown, request.seed)
        if shown is not None:
            yield grad_cam_section(look, shown)
        if request.localize is not None:
            yield self._localization(request.localize, look)

    def _localization(self, data: Path, look: Classifiers) -> Section:
        dims = self.run.spatial_dims
        if data.suffix.lower() == ".csv":
            listed = read_boxes(data, dims)
            shown = self._drawn(listed.cases)
            return localization_section(look, shown, *boxes_in(shown, listed.findings))
        shown = self._images(data)
        if shown.masks is None:
            raise ValueError(
                f"--localize needs a table of boxes, or images with label maps; {data} holds {shown.kind}."
            )
        return localization_section(look, shown, *boxes_in(shown, None))

    def _shared(self) -> ImageSet | None:
        """Return the images for what compares two networks or two sets of statistics."""
        request, own = self.request, self.run.folder / STORE
        asked = (request.data, request.embedding, request.probes, request.gradcam, own if Store.is_store(own) else None)
        found = next((data for data in asked if data is not None), None)
        return None if found is None else self._images(found)

    def _images(self, data: Path) -> ImageSet:
        if data not in self._read:
            self._read[data] = self._drawn(list_cases(data, self.run.spatial_dims, self.out))
        return self._read[data]

    def _drawn(self, listed: CaseList) -> ImageSet:
        request = self.request
        return read_images(listed, self.run, limit=request.limit, size=request.size, seed=request.seed)

    def further(self) -> Sequence[str]:
        """Say which instruments were not asked and what they need."""
        return [told for name, told in _INSTRUMENTS.items() if getattr(self.request, name) is None]
