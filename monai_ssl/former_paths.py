"""Import paths of version 0.1, deprecated: modules that moved out of `monai_ssl.data` are found where they are now."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SAME_NAME = {
    "io": "check_sums companions discovery geometry metaimage nifti patient_hints readers volume",
    "samples": "package_files phantom projection unpack",
    "store": "body_box conform inspection intensity layout manifest prepare report resample scan_profile "
    "selection sheet splits statistics store",
    "words": "visual_words",
}
OTHER_NAME = {
    "class_list": "data.cases",
    "convert": "store.conversion.convert",
    "datalist": "data.cases",
    "dicom": "io.dicom.source",
    "image_files": "io.images",
    "itk_files": "io.itk",
    "labelled": "data.labeled",
    "phantom_anatomy": "samples.anatomy",
    "pool": "store.conversion.pool",
    "samples": "samples.cohort",
    "word_discovery": "words.discovery",
    "words": "words.word_list",
}
MOVED = {
    **{
        f"monai_ssl.data.{name}": f"monai_ssl.{room}.{name}"
        for room, names in SAME_NAME.items()
        for name in names.split()
    },
    **{f"monai_ssl.data.{name}": f"monai_ssl.{path}" for name, path in OTHER_NAME.items()},
}


class FormerPaths:
    """A finder and loader of `sys.meta_path`: a moved module is itself under its former name, with a warning.

    >>> from monai_ssl.data.readers import read
    >>> read.__module__
    'monai_ssl.io.readers'
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_loader(name, FormerPaths()) if name in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Alias(spec.name, f"Moved to `{MOVED[spec.name]}`.")

    def exec_module(self, module: ModuleType) -> None:
        moved_to(module.__name__, MOVED[module.__name__])


class Alias(ModuleType):
    """A module whose names are those of the module that took its place."""

    def __getattr__(self, name: str) -> Any:
        if (self.__name__, name) == ("monai_ssl.data.datalist", "segmentation_cases"):
            # a method of the task now
            return import_module("monai_ssl.tasks.segmentation").Segmentation({"any": 1}).cases
        return getattr(import_module(MOVED[self.__name__]), name)


def moved_to(former: str, now: str) -> None:
    """Say that an import path is a former one."""
    warnings.warn(f"`{former}` is now `{now}`; the former path goes with version 1.0.", DeprecationWarning, 3)


def former_keyword(former: str, now: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that takes a keyword argument under its former name too, with a warning."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def renamed(*args: P.args, **kwargs: P.kwargs) -> R:
            if former in kwargs:
                moved_to(former, now)
                kwargs[now] = kwargs.pop(former)
            return function(*args, **kwargs)

        return renamed

    return decorate


def moved_name(name: str) -> Any:
    """Return what `monai_ssl.data` exported under a name until its rooms were split.

    Raises:
        AttributeError: when it exported nothing of this name.
    """
    for room in ("store", "io.volume", "words", "words.discovery", "words.word_list"):
        found = getattr(import_module(f"monai_ssl.{room}"), name, None)
        if found is not None and not isinstance(found, ModuleType) and not name.startswith("_"):
            moved_to(f"monai_ssl.data.{name}", f"monai_ssl.{room}.{name}")
            return found
    raise AttributeError(f"module 'monai_ssl.data' has no attribute {name!r}")
