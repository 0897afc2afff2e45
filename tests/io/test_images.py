"""Pictures become arrays (C, columns, rows), or sentences that say why not."""

import struct
import zlib

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


def png(path, pixels, kind):
    """Write 16 bits a channel, which Pillow cannot: gray (0), color (2), with transparency (4, 6)."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    size = (pixels.shape[1], pixels.shape[0])
    head = struct.pack(">IIBBBBB", *size, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_every_kind_of_png(tmp_path, kind, channels):
    pixels = np.random.default_rng(1).integers(0, 65536, (6, 9, channels)).astype(np.uint16)
    png(tmp_path / "a.png", pixels, kind)
    seen = 3 if channels > 2 else 1
    assert np.array_equal(read_path(tmp_path / "a.png").array, pixels[..., :seen].transpose(2, 1, 0))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "bool"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_of_every_depth(tmp_path, dtype, compression):
    pixels = (
        (GRAY > 127) if dtype == "bool" else (GRAY.astype("float64") * 100 - 9000 * (dtype[0] != "u")).astype(dtype)
    )
    if dtype == "int16":
        pixels = pixels.astype(np.int32)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
    wanted = 255 * pixels if dtype == "bool" else pixels
    assert np.array_equal(read_path(tmp_path / "a.tif").array, wanted.T[None])


def tiff(path, pixels, photometric, order, packed=False, apart=False):
    """Write what Pillow cannot: numbers of any depth, signed or not, in either order of bytes, dark, packed, apart."""
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if packed else data
    bits, kind = pixels.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    start = 8 + len(data)
    after = start + 2 + 11 * 12 + 4
    single = samples == 1
    tags = [
        (256, 4, 1, pixels.shape[1]),
        (257, 4, 1, pixels.shape[0]),
        (258, 3, samples, bits if single else after),
        (259, 3, 1, 8 if packed else 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, samples),
        (278, 4, 1, pixels.shape[0]),
        (279, 4, 1, len(data)),
        (284, 3, 1, 2 if apart else 1),
        (339, 3, samples, kind if single else after + 6),
    ]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, of, count)
        + (struct.pack(f"{order}HH", value, 0) if of == 3 and count == 1 else struct.pack(f"{order}I", value))
        for tag, of, count, value in tags
    )
    more = struct.pack(f"{order}6H", *[bits] * 3, *[kind] * 3)
    path.write_bytes(head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + more)


UNREAD = {
    *((dtype, True, order) for dtype in ("int8", "int16", "int32", "uint32") for order in "<>"),
    ("uint16", True, ">"),
    ("uint32", False, ">"),
}
"""What Pillow does not know: refused, never read wrong."""


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"])
def test_tiff_of_signed_and_unsigned_numbers_also_where_high_is_dark(tmp_path, dtype, dark, order):
    if np.dtype(dtype).kind == "f":
        pixels = np.random.default_rng(2).normal(size=(6, 9)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        pixels = np.random.default_rng(2).integers(info.min, info.max, (6, 9), endpoint=True).astype(dtype)
        pixels[0, :2] = info.min, info.max
    tiff(tmp_path / "a.tif", pixels, int(not dark), order)
    if (dtype, dark, order) in UNREAD:
        with pytest.raises(ReadError, match="UnidentifiedImageError"):
            read_path(tmp_path / "a.tif")
        return
    found = read_path(tmp_path / "a.tif").array[0].T.astype(np.float64)
    # dark or bright, and shifted or not: the order and the distances of the values are kept
    wanted = pixels.astype(np.float32 if pixels.itemsize == 4 else np.float64).astype(np.float64) * (-1 if dark else 1)
    assert np.array_equal(found - found.min(), wanted - wanted.min())
    assert dark or np.array_equal(found, wanted)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_sixteen_bits_a_color(tmp_path, order, packed):
    pixels = np.random.default_rng(3).integers(0, 65536, (6, 9, 3)).astype(np.uint16)
    tiff(tmp_path / "a.tif", pixels, 2, order, packed)
    assert np.array_equal(read_path(tmp_path / "a.tif").array, pixels.transpose(2, 1, 0))
    tiff(tmp_path / "a.tif", pixels, 2, order, packed, apart=True)
    with pytest.raises(ReadError, match="colors of 16 bits"):
        read_path(tmp_path / "a.tif")


def test_a_tiff_of_several_pictures_is_refused(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(GRAY)])
    with pytest.raises(ReadError, match="holds 2 pictures"):
        read_path(tmp_path / "a.tif")


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
    assert np.array_equal(read_path(tmp_path / "a.png").array, 255 * (GRAY > 127).T[None])


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
