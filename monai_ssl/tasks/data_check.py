"""Check of the data before a training or a test: what would be learned wrong is said with its case, or refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ignite import distributed as idist

from monai_ssl.data.case_facts import QUANTILES, CaseFacts, ImageFacts
from monai_ssl.data.cases import Case
from monai_ssl.store.intensity import CTWindow
from monai_ssl.tasks.finding import Finding, grouped
from monai_ssl.transfer.preprocess import ScaleIntensityByPresetd

if TYPE_CHECKING:
    from monai_ssl.tasks.base import Task

_logger = logging.getLogger(__name__)
_LOOKED_AT = 64
"""Images that are read to judge their modality, evenly spread over the cases; labels are all read, and all headers."""
_CONTRAST = 0.2
"""Range in [0, 1] between the 0.5th and the 99.5th percentile below which an image has become nearly one gray."""


def check_data(
    task: Task,
    cases: Sequence[Case],
    memory: str | Path | None = None,
    *,
    modality: str,
    intensity: Mapping[str, Any] | None = None,
    **how: Any,
) -> None:
    """Look at the data of a task before it is trained or tested, and say what would be wrong with it.

    Under ``torchrun`` the first process does so.

    Args:
        task: knows what its truth must be; see :meth:`monai_ssl.tasks.Task.check`.
        cases: of all sections that are used.
        memory: file that remembers what was found in files that have not changed since.
        modality: chooses the intensity preset.
        intensity: a preset as the model card records it; ``None`` for that of the modality.
        **how: options of the task that its check needs.

    Raises:
        ValueError: when training on it would be pointless; all reasons at once.

    >>> import tempfile
    >>> from PIL import Image
    >>> from monai_ssl.tasks import Classification
    >>> path = f"{tempfile.mkdtemp()}/a.png"
    >>> Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path)
    >>> check_data(Classification(["a", "b"]), [{"image": path, "label": 0}], modality="xray")  # as "ct": refused
    """
    if idist.get_rank() > 0:
        return
    facts = CaseFacts(None if memory is None else Path(memory))
    findings = [*_check_images(cases, facts, modality, intensity), *task.check(cases, facts, **how)]
    for finding in findings:
        if not finding.refuse:
            _logger.warning("Look at the data: %s.", finding.text)
    refused = [finding.text for finding in findings if finding.refuse]
    if refused:
        raise ValueError("; ".join(refused).rstrip(".") + ".")


def _check_images(
    cases: Sequence[Case], facts: CaseFacts, modality: str, intensity: Mapping[str, Any] | None
) -> Iterable[Finding]:
    step = -(-len(cases) // _LOOKED_AT) or 1
    found = facts.images([str(case["image"]) for case in cases[::step]])
    seen = {path: look for path, look in found.items() if isinstance(look, ImageFacts)}
    preset = ScaleIntensityByPresetd("image", modality, intensity).preset
    remedy = "give what they are as `--modality` (ct, mr, xray, us), or the range as `--intensity`"
    lost: dict[str, str] = {}
    if isinstance(preset, CTWindow):
        lost = {path: _said(look) for path, look in seen.items() if _is_lost(look, preset.low, preset.high)}
        window = f"the window of `modality` {modality!r}, {preset.low:g} to {preset.high:g}"
        yield from grouped(lost, len(seen), f"images are clipped or nearly one gray in {window}", remedy)
    if intensity is None:
        is_ct = isinstance(preset, CTWindow)
        others = {p: _said(look) for p, look in seen.items() if (look.modality == "ct") != is_ct and p not in lost}
        yield from grouped(others, len(seen), f"images do not look like `modality` {modality!r}", remedy, refuse=False)


def _said(look: ImageFacts) -> str:
    basis = "says the file" if look.basis == "file" else "by its values"
    return f"{look.modality} {basis}, {look.quantiles[0]:.4g} to {look.quantiles[-1]:.4g}"


def _is_lost(look: ImageFacts, low: float, high: float) -> bool:
    """Whether a window makes an image nearly one gray, or its brightest twentieth white."""
    lowest, highest = (look.quantiles[QUANTILES.index(q)] for q in (0.005, 0.995))
    ends = np.clip((np.array([lowest, highest]) - low) / (high - low), 0, 1)
    is_white = look.quantiles[QUANTILES.index(0.95)] >= high
    return look.quantiles[0] < look.quantiles[-1] and bool(ends[1] - ends[0] < _CONTRAST or is_white)
