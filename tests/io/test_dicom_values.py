"""What stored numbers of DICOM mean: padding, palettes."""

import numpy as np
import pytest
from files import MR, XRAY, dicom, read_all, save, save_series, series, stored


@pytest.mark.parametrize(
    ("padding", "tags"),
    [
        (-32768, {"PixelPaddingValue": -32768}),
        (-2000, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}),
        (-1950, {"PixelPaddingValue": -1900, "PixelPaddingRangeLimit": -2000}),
        (32767, {"PixelPaddingValue": 32767}),
        (32765, {"PixelPaddingValue": 32760, "PixelPaddingRangeLimit": 32767}),
    ],
)
def test_padding_of_mr_is_no_signal(tmp_path, padding, tags):
    array = stored((4, 10, 12), 0, 900).astype(np.int16) + 50
    array[:, :3] = padding
    all_tags = {"BitsStored": 16, "HighBit": 15, "Modality": "MR"} | tags
    save_series(series(array, sop_class=MR, **all_tags), tmp_path)
    (volume,) = read_all(tmp_path)
    wanted = np.where(array == padding, 0, array).transpose(2, 1, 0)[::-1, ::-1]
    assert np.array_equal(volume.array[0], wanted)


def test_padding_among_the_measurements_stays(tmp_path):
    array = stored((4, 10, 12), 0, 900).astype(np.int16)
    array[:, :3] = 400
    save_series(series(array, sop_class=MR, PixelPaddingValue=400, BitsStored=16, HighBit=15), tmp_path)
    assert np.array_equal(read_all(tmp_path)[0].array[0], array.transpose(2, 1, 0)[::-1, ::-1])


RAMP = np.tile(np.arange(0, 252, 4, dtype=np.uint8), (20, 1))


def palette(ds, descriptor, *tables):
    for color, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        setattr(ds, f"{color}PaletteColorLookupTableDescriptor", descriptor)
        setattr(ds, f"{color}PaletteColorLookupTableData", table.tobytes())


@pytest.mark.parametrize("bits", [8, "8 in 16", 16])
@pytest.mark.parametrize(("first", "count"), [(0, 256), (50, 100)])
def test_colors_are_those_of_the_palette(tmp_path, bits, first, count):
    scale = 256 if bits == 16 else 1
    entry = np.dtype("u1" if bits == 8 else "<u2")
    tables = [(scale * (np.arange(count) * factor % 256)).astype(entry) for factor in (1, 2, 3)]
    ds = dicom(RAMP, XRAY, PhotometricInterpretation="PALETTE COLOR")
    palette(ds, [count, first, 16 if bits == 16 else 8], *tables)
    (volume,) = read_all(save(ds, tmp_path / "a.dcm"))
    # what lies before the first entry has its color, and what lies behind the last one that
    wanted = [table[np.clip(RAMP.astype(int) - first, 0, count - 1)].T for table in tables]
    assert volume.array.dtype == (np.uint16 if bits == 16 else np.uint8) and np.array_equal(volume.array, wanted)


def test_a_supplemental_palette_is_said(tmp_path):
    ds = dicom(RAMP, XRAY, PixelPresentation="COLOR")
    palette(ds, [56, 200, 16], *[np.arange(56, dtype="<u2")] * 3)
    (volume,) = read_all(save(ds, tmp_path / "a.dcm"))
    assert np.array_equal(volume.array[0], RAMP.T)
    assert any("from 200 on are colors of a supplemental palette" in note for note in volume.notes)
