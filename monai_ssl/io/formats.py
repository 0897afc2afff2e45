"""The file formats that are read, one entry each: whoever needs to know an ending asks here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from monai_ssl.extras import libraries
from monai_ssl.io.companions import Companions, Found, beside, named_in_header
from monai_ssl.io.volume import ReadOptions, Volume

Reader = Callable[[Sequence[Path], ReadOptions], list[Volume]]


@dataclass(frozen=True)
class Format:
    """A format of files, or a family of them that one reader reads.

    Args:
        kind: short name, that of :attr:`monai_ssl.io.Source.kind`.
        title: what messages call it.
        endings: of file names, in lower case, with their dots.
        reader: dotted name of ``reader(files, options) -> list[Volume]``, imported when it is needed.
        grid: dotted name of ``grid(files) -> Grid``, by the header alone; ``None`` where the whole file is read for it.
        headers: for endings of headers whose data are in another file, the rule that finds it.
        extra: of ``setup.cfg`` that has the libraries, if more than the core is needed.
        is_picture: whether it holds nothing but pictures; other formats may hold either.
    """

    kind: str
    title: str
    endings: tuple[str, ...]
    reader: str
    grid: str | None = None
    headers: Mapping[str, Companions] = field(default_factory=dict)
    extra: str | None = None
    is_picture: bool = False

    @property
    def remedy(self) -> str:
        """What to do when the reader's library is missing."""
        return f"install what reads {self.title} with `pip install {' '.join(libraries(str(self.extra)))}`"

    def load_reader(self) -> Reader:
        """Import the reader, and with it its decoder."""
        module, _, name = self.reader.rpartition(".")
        reader: Reader = getattr(import_module(module), name)
        return reader

    def companions(self, path: Path) -> Found:
        """Return the files of the image that ``path`` begins, and the problem if one is missing."""
        ending = ending_of(path.name)
        rule = self.headers.get(ending)
        return ((path,), None) if rule is None else rule(path, ending)


FORMATS = (
    # files of any ending or none are looked into, too
    Format("dicom", "DICOM", (".dcm", ".dicom", ".ima"), "monai_ssl.io.dicom.source.read_dicom", extra="dicom"),
    Format(
        "nifti",
        "NIfTI",
        (".nii", ".nii.gz", ".nii.bz2", ".hdr", ".hdr.gz", ".hdr.bz2"),
        "monai_ssl.io.nifti.read_nifti",
        "monai_ssl.io.nifti.nifti_grid",
        headers=dict.fromkeys((".hdr", ".hdr.gz", ".hdr.bz2"), beside(".img", ".img.gz", ".img.bz2", also=".mat")),
    ),
    Format("mgh", "MGH", (".mgz", ".mgh"), "monai_ssl.io.mgh.read_mgh", "monai_ssl.io.mgh.mgh_grid"),
    Format(
        "nrrd",
        "NRRD",
        (".nrrd", ".nhdr"),
        "monai_ssl.io.itk.read_nrrd",
        "monai_ssl.io.itk.nrrd_grid",
        headers={".nhdr": named_in_header("datafile", ":")},
        extra="itk",
    ),
    Format(
        "metaimage",
        "MetaImage",
        (".mha", ".mhd"),
        "monai_ssl.io.itk.read_metaimage",
        "monai_ssl.io.itk.metaimage_grid",
        headers={".mhd": named_in_header("elementdatafile", "=")},
        extra="itk",
    ),
    Format(
        "image",
        "PNG, JPEG, TIFF",
        (".png", ".jpg", ".jpeg", ".tif", ".tiff"),
        "monai_ssl.io.images.read_image",
        is_picture=True,
    ),
)

REMEDIES = {
    "save it as PNG": (".bmp", ".gif", ".webp", ".jp2"),
    "save it as NIfTI, which keeps spacing and orientation": (".npy", ".npz", ".h5", ".hdf5"),
    "convert it to NIfTI": (".mnc", ".head", ".brik", ".rec", ".gipl"),
    "unpack it": (".zip", ".tar", ".tgz", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst"),
    "a header must say what its voxels are": (".img", ".img.gz", ".img.bz2", ".raw", ".zraw"),
}
"""What a person can do about files of other endings that may hold images."""

TITLES = ", ".join(entry.title for entry in FORMATS)
"""All that is read, for messages."""

_BY_ENDING = {ending: entry for entry in FORMATS for ending in entry.endings}
_REMEDY_OF = {ending: remedy for remedy, endings in REMEDIES.items() for ending in endings}


def ending_of(name: str) -> str:
    """Return the ending of a file name that a format or a remedy knows, in lower case; else nothing.

    >>> ending_of("pt_1.NII.GZ"), ending_of("pt_1.0.tar.gz"), ending_of("1.2.840.1")
    ('.nii.gz', '.gz', '')
    """
    parts = name.lower().split(".")
    # the longest ending first
    endings = ("." + ".".join(parts[-count:]) for count in range(min(2, len(parts) - 1), 0, -1))
    return next((ending for ending in endings if ending in _BY_ENDING or ending in _REMEDY_OF), "")


def format_of(name: str) -> Format | None:
    """Return the format of a file by its name."""
    return _BY_ENDING.get(ending_of(name))


def remedy_for(name: str) -> str | None:
    """Return why a file is not read that may hold an image, and what to do about it; nothing for other files."""
    ending = ending_of(name)
    return f"{ending} files are not read; {_REMEDY_OF[ending]}" if ending in _REMEDY_OF else None


def by_kind(kind: str) -> Format:
    """Return a format by its short name.

    Raises:
        ValueError: when there is none of that name.
    """
    known = {entry.kind: entry for entry in FORMATS}
    if kind not in known:
        raise ValueError(f"`source.kind` must be one of {tuple(known)}, got {kind!r}.")
    return known[kind]


def stem(name: str) -> str:
    """Return a file name without the endings of formats, the data's and a header's likewise.

    >>> stem("pt_1_seg.nii.gz"), stem("pt_1.png.mha"), stem("1.2.840")
    ('pt_1_seg', 'pt_1', '1.2.840')
    """
    while ending := ending_of(name):
        name = name[: -len(ending)]
    return name
