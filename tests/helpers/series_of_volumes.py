"""Series of several volumes, as scanners of all makers store them: what tells the volumes apart differs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from files import AXIAL, MR, dicom, enhanced, save, stored
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

TIMES, SLICES, SHAPE, STEP = 4, 6, (10, 12), 2.5
DIRECTIONS = [[0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
Tags = Callable[[Dataset, int, int], None]
Groups = Callable[[Dataset, int, int], object]


def pixels(times: int = TIMES) -> np.ndarray:
    """Return the stored numbers (times, slices, rows, columns), all different."""
    return np.stack([stored((SLICES, *SHAPE), seed=time) for time in range(times)])


def truth(volumes: np.ndarray) -> list[np.ndarray]:
    """Return the arrays (X, Y, Z) in RAS of :func:`classic` and :func:`in_one_file`."""
    return [volume.transpose(2, 1, 0)[::-1, ::-1] for volume in volumes]


def classic(tags: Tags, volumes: np.ndarray, order: str = "tz", **every) -> list[Dataset]:
    """Return one file a slice; ``tags(dataset, time, slice)`` adds what tells them apart.

    Args:
        tags: sets tags of a dataset.
        volumes: (times, slices, rows, columns).
        order: ``"tz"`` numbers the images volume by volume, ``"zt"`` place by place.
        every: tags of all.
    """
    uid, datasets = generate_uid(), []
    places = list(itertools.product(range(len(volumes)), range(volumes.shape[1])))
    if order == "zt":
        places.sort(key=lambda place: place[::-1])
    for n, (t, z) in enumerate(places, 1):
        own = {
            "SeriesInstanceUID": uid,
            "SeriesNumber": 7,
            "ImageOrientationPatient": list(AXIAL),
            "ImagePositionPatient": [-20.0, -30.0, 40.0 + STEP * z],
            "PixelSpacing": [0.8, 0.5],
            "SliceThickness": STEP,
            "InstanceNumber": n,
            "AcquisitionTime": "100000.00",
            **every,
        }
        ds = dicom(volumes[t, z], own.pop("sop_class", MR), **own)
        tags(ds, t, z)
        datasets.append(ds)
    return datasets


def private(ds: Dataset, tag: int, creator: str, vr: str, value) -> None:
    """Set a private tag where its maker puts it."""
    ds.private_block(tag >> 16, creator, create=True)
    ds.add_new(tag, vr, value)


def nothing(ds: Dataset, t: int, z: int) -> None:
    """Leave it to the numbers of the images."""


def clock(ds: Dataset, t: int, z: int) -> None:
    ds.AcquisitionTime = f"10{t:02}{z:02}.00"


def temporal(ds: Dataset, t: int, z: int) -> None:
    clock(ds, t, z)
    ds.TemporalPositionIdentifier, ds.NumberOfTemporalPositions = t + 1, TIMES


def philips_dynamic(ds: Dataset, t: int, z: int) -> None:
    clock(ds, t, z)
    private(ds, 0x200510A0, "Philips MR Imaging DD 001", "FL", 2.5 * t)


def ge_diffusion(ds: Dataset, t: int, z: int) -> None:
    private(ds, 0x00431039, "GEMS_PARM_01", "IS", [1000000000 + 1000 * bool(t), 8, 0, 0])
    for n in range(3):
        private(ds, 0x001910BB + n, "GEMS_ACQU_01", "DS", DIRECTIONS[t][n])


def siemens_diffusion(ds: Dataset, t: int, z: int) -> None:
    private(ds, 0x0019100C, "SIEMENS MR HEADER", "IS", 1000 * bool(t))
    private(ds, 0x0019100E, "SIEMENS MR HEADER", "FD", DIRECTIONS[t])


def philips_diffusion(ds: Dataset, t: int, z: int) -> None:
    private(ds, 0x20011003, "Philips Imaging DD 001", "FL", 1000.0 * bool(t))
    for n in range(3):
        private(ds, 0x200510B0 + n, "Philips MR Imaging DD 001", "FL", DIRECTIONS[t][n])


def standard_diffusion(ds: Dataset, t: int, z: int) -> None:
    ds.DiffusionBValue, ds.DiffusionGradientOrientation = 1000.0 * bool(t), DIRECTIONS[t]


def magnitude_and_phase(ds: Dataset, t: int, z: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "MP"[t % 2], "ND"]
    ds.EchoTime = 4.0 + t // 2


def ge_complex(ds: Dataset, t: int, z: int) -> None:
    private(ds, 0x0043102F, "GEMS_PARM_01", "SS", t)


def philips_complex(ds: Dataset, t: int, z: int) -> None:
    private(ds, 0x20051011, "Philips MR Imaging DD 001", "CS", "MPRI"[t])


def echoes_and_times(ds: Dataset, t: int, z: int) -> None:
    clock(ds, t, z)
    ds.EchoTime, ds.EchoNumbers = [1.3, 2.6][t % 2], t % 2 + 1
    ds.TemporalPositionIdentifier = t // 2 + 1


def triggers(ds: Dataset, t: int, z: int) -> None:
    ds.TriggerTime = 30.0 * t + 0.7 * z


def acquisitions(ds: Dataset, t: int, z: int) -> None:
    clock(ds, t, z)
    ds.AcquisitionNumber = t + 1


GE, SIEMENS, PHILIPS = "GE MEDICAL SYSTEMS", "SIEMENS", "Philips Medical Systems"
CLASSIC = {
    "numbers": (nothing, "tz", GE),
    "numbers, place by place": (nothing, "zt", GE),
    "clock": (clock, "tz", GE),
    "temporal position": (temporal, "tz", SIEMENS),
    "temporal position, place by place": (temporal, "zt", PHILIPS),
    "Philips' time of a volume": (philips_dynamic, "tz", PHILIPS),
    "diffusion of GE": (ge_diffusion, "tz", GE),
    "diffusion of Siemens": (siemens_diffusion, "tz", SIEMENS),
    "diffusion of Philips": (philips_diffusion, "tz", PHILIPS),
    "diffusion, place by place": (standard_diffusion, "zt", PHILIPS),
    "magnitude and phase": (magnitude_and_phase, "tz", SIEMENS),
    "complex of GE": (ge_complex, "tz", GE),
    "complex of Philips": (philips_complex, "zt", PHILIPS),
    "echoes and times": (echoes_and_times, "tz", SIEMENS),
    "phases of the heart": (triggers, "zt", SIEMENS),
    "acquisitions": (acquisitions, "tz", SIEMENS),
}
"""What tells volumes apart, in which order they are numbered, and who stores them so."""


def item(**tags) -> Sequence:
    """Return a sequence of one item."""
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    return Sequence([ds])


def in_one_file(groups: Groups) -> Dataset:
    """Return an enhanced file of :func:`pixels`, place by place; ``groups(frame, slice, time)`` tells times apart."""

    def extra(frame: Dataset, k: int) -> int:
        z, t = divmod(k, TIMES)
        # directions differ by rounding
        frame.PlaneOrientationSequence = item(ImageOrientationPatient=[1.0, 1e-7 * k, 0.0, -1e-7 * k, 1.0, 0.0])
        groups(frame, z, t)
        return z

    ds = enhanced(pixels().transpose(1, 0, 2, 3).reshape(-1, *SHAPE), STEP, extra)
    ds.Manufacturer = PHILIPS
    return ds


def _content(frame: Dataset, **tags) -> None:
    if "FrameContentSequence" not in frame:
        frame.FrameContentSequence = item()
    for name, value in tags.items():
        setattr(frame.FrameContentSequence[0], name, value)


def _diffusion(frame: Dataset, z: int, t: int) -> None:
    direction = item(DiffusionGradientOrientation=DIRECTIONS[t])
    frame.MRDiffusionSequence = item(DiffusionBValue=1000.0, DiffusionGradientDirectionSequence=direction)


def _cine(frame: Dataset, z: int, t: int) -> None:
    frame.CardiacSynchronizationSequence = item(NominalCardiacTriggerDelayTime=30.0 * t)


def _perfusion(frame: Dataset, z: int, t: int) -> None:
    frame.MRArterialSpinLabelingSequence = item(ASLContext=["LABEL", "CONTROL"][t % 2])
    _content(frame, TemporalPositionIndex=t // 2 + 1)


def _complex(frame: Dataset, z: int, t: int) -> None:
    frame.MRImageFrameTypeSequence = item(ComplexImageComponent=["MAGNITUDE", "PHASE", "REAL", "IMAGINARY"][t])


def declared(frame: Dataset, z: int, t: int) -> None:
    """Number the places and times, as Philips does; dcm2niix goes by nothing else."""
    _content(frame, InStackPositionNumber=z + 1, DimensionIndexValues=[1, z + 1, t + 1])


def _private(frame: Dataset, z: int, t: int) -> None:
    inner = item(EchoTime=5.0 * (t + 1), ImagePositionPatient=[0.0, 0.0, 0.0])
    private(frame, 0x2005140F, "Philips MR Imaging DD 005", "SQ", inner)


ENHANCED = {
    "diffusion": _diffusion,
    "cine": _cine,
    "perfusion": _perfusion,
    "complex": _complex,
    "declared dimensions": declared,
    "Philips' private groups": _private,
    "nothing": lambda frame, z, t: None,
}


def write(name: str, folder: Path, more: Groups | None = None) -> list[np.ndarray]:
    """Write one of :data:`CLASSIC` or :data:`ENHANCED`, and return its volumes (X, Y, Z) in RAS."""
    if name in CLASSIC:
        tags, order, maker = CLASSIC[name]
        datasets = classic(tags, pixels(), order, Manufacturer=maker)
    else:
        datasets = [in_one_file(lambda *place: [groups(*place) for groups in (ENHANCED[name], more) if groups])]
    for n, ds in enumerate(datasets):
        # in no particular order
        save(ds, folder / f"{n * 5 % 24:02}.dcm")
    return truth(pixels())
