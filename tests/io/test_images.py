"""Pictures become arrays (C, columns, rows), or sentences that say why not."""

import numpy as np
import pytest
from files import cut
from PIL import Image

from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError

GRAY = np.random.default_rng(0).integers(0, 256, (6, 9)).astype(np.uint8)
COLOR = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)


def read_path(path):
    ((source,), _) = discover(path)
    (volume,) = read(source)
    return volume


def test_gray(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    volume = read_path(tmp_path / "a.png")
    assert np.array_equal(volume.array, GRAY.T[None]) and volume.array.dtype == np.uint8
    assert (volume.spacing, volume.modality) == ((1.0, 1.0), "unknown")
    assert np.array_equal(volume.affine, np.eye(4))


def test_sixteen_bits_are_kept(tmp_path):
    deep = GRAY.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a.png")
    volume = read_path(tmp_path / "a.png")
    assert np.array_equal(volume.array, deep.T[None]) and volume.array.dtype == np.uint16


def test_color(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "a.png")
    volume = read_path(tmp_path / "a.png")
    assert np.array_equal(volume.array, COLOR.transpose(2, 1, 0)) and volume.modality == "rgb"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_gray_in_disguise_has_one_channel(tmp_path, mode):
    Image.fromarray(GRAY).convert(mode).save(tmp_path / "a.png")
    assert np.array_equal(read_path(tmp_path / "a.png").array, GRAY.T[None])


def test_black_and_white(tmp_path):
    Image.fromarray(GRAY > 127).save(tmp_path / "a.png")
    assert np.array_equal(read_path(tmp_path / "a.png").array, (GRAY > 127).T[None])


def test_palette_and_transparency_become_color(tmp_path):
    alpha = np.dstack([COLOR, GRAY])
    Image.fromarray(alpha).save(tmp_path / "a.png")
    assert np.array_equal(read_path(tmp_path / "a.png").array, COLOR.transpose(2, 1, 0))
    palette = Image.fromarray(COLOR).quantize(8)
    palette.save(tmp_path / "b.png")
    assert np.array_equal(read_path(tmp_path / "b.png").array, np.array(palette.convert("RGB")).transpose(2, 1, 0))


def test_jpeg_with_rotation_of_a_camera(tmp_path):
    smooth = np.broadcast_to(np.arange(90, dtype=np.uint8)[None], (60, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth).save(tmp_path / "a.jpg", exif=exif, quality=95)
    volume = read_path(tmp_path / "a.jpg")
    assert volume.array.shape == (1, 90, 60)
    assert np.abs(volume.array[0].astype(int) - smooth.T).max() <= 3


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_corrupt_pictures(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    cut(tmp_path / name)
    with pytest.raises(ReadError, match=rf"{name}: the picture cannot be decoded .*; copy the file again"):
        read_path(tmp_path / name)
    (tmp_path / name).write_text("not a picture")
    with pytest.raises(ReadError, match=rf"{name}: the picture cannot be decoded \(UnidentifiedImageError"):
        read_path(tmp_path / name)


@pytest.mark.parametrize("limit", [30, 40])
def test_decompression_bombs(tmp_path, monkeypatch, limit):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ReadError, match=r"a.png: the picture cannot be decoded \(DecompressionBomb.*reduce it"):
        read_path(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ReadError, match="DecompressionBombError"):
        read_path(tmp_path / "a.png")


def test_every_bit_of_the_check_sums_of_a_png_is_looked_at(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(COLOR).save(path)
    good = path.read_bytes()
    size = int.from_bytes(good[33:37], "big")
    assert good[37:41] == b"IDAT"
    for bit in range(32):
        damaged = bytearray(good)
        damaged[41 + size + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ReadError, match="the picture cannot be decoded"):
            read_path(path)
