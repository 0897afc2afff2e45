"""The base class of downstream tasks: what bundles, studies and hand-offs ask of segmentation, classification, ..."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ignite.metrics import Metric as IgniteMetric
from monai.transforms import Transform
from torch import Tensor, nn

from monai_ssl.arguments import check_choice
from monai_ssl.data.case_facts import CaseFacts
from monai_ssl.data.cases import Case, list_file, name_patients, patient_of, select_section
from monai_ssl.files import write_json
from monai_ssl.io.patient_rule import patient_rule
from monai_ssl.networks import Encoder
from monai_ssl.places import folder_of_images
from monai_ssl.tasks.finding import Finding


@dataclass(frozen=True)
class Metric:
    """A metric of a task.

    Args:
        key: its name in records and in the state of an engine, such as ``val_mean_dice``.
        make: returns Ignite's or MONAI's handler, which takes decollated samples with ``pred`` and ``label``.
        higher_is_better: which way is better.
    """

    key: str
    make: Callable[[], IgniteMetric]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Scores:
    """What a test says.

    Args:
        score: over all patients; no number where there is none.
        per_case: score of each patient; ``None`` where one has none.
        per_class: score of each class.
        pseudo_values: of each patient, for a score that no single patient has.
        per_image: score of each image in the order of the test, for the choice of pictures.
    """

    score: float
    per_case: Mapping[str, float | None]
    per_class: Mapping[str, float] = field(default_factory=dict)
    pseudo_values: Mapping[str, float] = field(default_factory=dict)
    per_image: Sequence[float] = ()


class Task(ABC):
    """A downstream task. A bundle names it under the key ``task``; that is the one place which says what it trains.

    Subclasses are final. To add a task, write one, and a bundle whose ``train.json`` has
    ``"task": {"_target_": "my_package.MyTask", ...}``: ``study`` takes it from there.
    """

    lists: ClassVar[tuple[str, ...]]
    """Names of data lists that are looked for in ``dataset_dir``, the first one first."""
    columns: ClassVar[str]
    """What an entry of a data list has beside ``image``, in words for messages."""
    remedy: ClassVar[str]
    """What to give where there are no cases, in words for messages."""

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by their short names, the default one first."""

    @property
    def spread(self) -> Callable[[Case], float] | None:
        """The number of a case over which held-out patients are spread by quantiles; ``None``: names alone decide."""
        return None

    @property
    def collections(self) -> Sequence[str]:
        """Names of folders in ``dataset_dir`` that are no patient's, such as those of classes."""
        return ()

    @abstractmethod
    def sections(self, root: Path, listed: Path | None) -> Mapping[str, Sequence[Case]]:
        """Return all cases of a folder by section, from a data list or, without, from how the folder is laid out.

        Raises:
            FileNotFoundError: when a listed file does not exist.
            ValueError: when a list is damaged or an entry cannot be used.
        """

    @abstractmethod
    def entry(self, case: Case) -> dict[str, Any]:
        """Return the entry of a data list that :meth:`sections` would make ``case`` of."""

    @abstractmethod
    def network(self, encoder: Encoder, *args: Any, **kwargs: Any) -> nn.Module:
        """Return the network on an encoder, which it keeps as ``encoder``."""

    @abstractmethod
    def loading(self, *args: Any, **kwargs: Any) -> list[Transform]:
        """Return the transforms without chance between a case and the network, alike in training and inference."""

    @abstractmethod
    def keep(self, sample: Mapping[str, Tensor]) -> Any:
        """Return what :meth:`score` and :meth:`draw` need of a test image after the bundle's postprocessing."""

    @abstractmethod
    def score(self, metric: str, kept: Sequence[Any], patients: Sequence[str], details: Tensor | None) -> Scores:
        """Return the scores of a test.

        Args:
            metric: its short name.
            kept: of each image.
            patients: of each image.
            details: (images, ...) of the metric's handler, where it keeps them.
        """

    def table(self, metric: str, kept: Sequence[Any], details: Tensor | None) -> Mapping[str, Sequence[Any]]:
        """Return the columns of a table with a row an image: floats are scores, of which a mean makes sense.

        Args:
            metric: its short name.
            kept: of each image, see :meth:`keep`.
            details: (images, ...) of the metric's handler, where it keeps them.
        """
        del metric, kept, details
        return {}

    @abstractmethod
    def draw(self, metric: str, kept: Sequence[Any], scores: Scores, folder: Path) -> list[str]:
        """Write pictures of a test, none or a few, and return their names."""

    def check(self, cases: Sequence[Case], facts: CaseFacts) -> list[Finding]:
        """Return what is wrong with the truth of cases, before they are trained on; of numbers and classes nothing.

        Args:
            cases: of all sections that are used.
            facts: looks files up.
        """
        del cases, facts
        return []

    def handlers(self, *names: str) -> dict[str, IgniteMetric]:
        """Return the handlers of some metrics by their keys, for ``key_val_metric`` of MONAI's evaluator.

        Raises:
            ValueError: for another metric.
        """
        return {metric.key: metric.make() for metric in map(self.metric, names)}

    def metric(self, name: str) -> Metric:
        """Return a metric by its short name.

        Raises:
            ValueError: when there is no such metric.
        """
        check_choice(self.metrics, metric=name)
        return self.metrics[name]

    def cases(
        self,
        section: str,
        dataset_dir: str | Path,
        datalist: str | Path | None = None,
        *,
        val_share: float = 0.2,
        train_cases: int | None = None,
        seed: int = 0,
        patients: str | None = None,
    ) -> list[Case]:
        """Return the cases of one section: ``image``, ``label`` and ``patient``.

        Without a section of its own, validation takes ``val_share`` of the training patients; which ones depends on
        ``seed`` and the data only.

        Args:
            section: ``"training"``, ``"validation"`` or ``"test"``.
            dataset_dir: folder with images and labels, or what ``datalist`` refers to.
            datalist: JSON or CSV, see :func:`monai_ssl.data.cases.read_list`; its paths are relative to
                ``dataset_dir`` or to the list itself. ``None``: one of ``lists`` where there is one, else the folder.
            val_share: in (0, 1).
            train_cases: keep that many training patients; smaller numbers are subsets of larger ones.
            seed: of the split.
            patients: who is a patient where a list does not tell, see :func:`monai_ssl.io.patient_rule.patient_rule`.

        Raises:
            FileNotFoundError: when a listed file does not exist.
            ValueError: when there is nothing to train on, an entry cannot be used, a patient is in two sections, or
                ``dataset_dir`` is a URL.
        """
        sections, origin = self._named_sections(dataset_dir, datalist, patients)
        return select_section(
            sections,
            section,
            val_share=val_share,
            train_cases=train_cases,
            seed=seed,
            origin=origin,
            remedy=self.remedy,
            value=self.spread,
        )

    def held_out(
        self,
        dataset_dir: str | Path,
        datalist: str | Path | None = None,
        *,
        val_share: float = 0.2,
        seed: int = 0,
        patients: str | None = None,
    ) -> list[Case]:
        """Return the cases that nothing may be learned from, not even without labels: those of validation and test.

        Args and errors are those of :meth:`cases`.
        """
        sections, origin = self._named_sections(dataset_dir, datalist, patients)
        validation = select_section(
            sections,
            "validation",
            val_share=val_share,
            seed=seed,
            origin=origin,
            remedy=self.remedy,
            value=self.spread,
        )
        return [*validation, *sections.get("test", ())]

    def _named_sections(
        self, dataset_dir: str | Path, datalist: str | Path | None, patients: str | None
    ) -> tuple[dict[str, list[Case]], str]:
        """Return the cases by section with their patients, and where they come from."""
        root = folder_of_images(dataset_dir)
        listed = list_file(root, datalist, self.lists)
        rule = None if patients is None else patient_rule(patients)
        return name_patients(self.sections(root, listed), root, listed, rule, self.collections), str(listed or root)

    def write_list(self, sections: Mapping[str, Sequence[Case]], path: Path) -> None:
        """Write cases as a JSON list that :meth:`cases` reads."""
        entries = {name: [{**self.entry(c), "patient": patient_of(c)} for c in of] for name, of in sections.items()}
        write_json(path, entries)


def by_patient(values: Sequence[float], patients: Sequence[str]) -> dict[str, float | None]:
    """Return the mean over the images of each patient; ``None`` where none of them has a finite value."""
    found: dict[str, list[float]] = defaultdict(list)
    for patient, value in zip(patients, values, strict=True):
        found[patient].append(value)
    means = {patient: mean(of) for patient, of in found.items()}
    return {patient: value if math.isfinite(value) else None for patient, value in means.items()}


def mean(values: Iterable[float | None]) -> float:
    """Return the mean of the finite values; no number where there is none.

    >>> mean([1.0, None, 2.0, float("nan")])
    1.5
    """
    finite = [float(v) for v in values if v is not None and math.isfinite(v)]
    return sum(finite) / len(finite) if finite else math.nan
