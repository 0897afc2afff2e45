"""Packed data are unpacked to their end, and their check sum is looked at."""

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import pytest

from monai_ssl.io.check_sums import GZIP, ZLIB, check_packed, packing_of, read_to_end

NOISE = np.random.default_rng(0).integers(0, 256, 2_500_000, np.uint8).tobytes()
FORMS = {GZIP: gzip.compress, ZLIB: zlib.compress}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"", b"abc", NOISE, bytes(5_000_000)])
def test_whole_data_of_any_size_pass(form, content):
    check_packed(io.BytesIO(FORMS[form](content) + b"what follows"), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"abc", NOISE, bytes(5_000_000)])
def test_data_that_are_cut_off_or_damaged_are_refused(form, content):
    packed = FORMS[form](content)
    for length in (0, 1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ValueError, match="the data end too early"):
            check_packed(io.BytesIO(packed[:length]), form)
    # the last bytes are the check sum and, of gzip, the length before packing
    place = -6 if form == GZIP else -2
    damaged = packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :]
    with pytest.raises(ValueError, match="incorrect data check"):
        check_packed(io.BytesIO(damaged), form)
    with pytest.raises(ValueError, match=r"incorrect header check|invalid|unknown"):
        check_packed(io.BytesIO(b"\xff\xff" + packed[2:]), form)


def reads(packed: bytes, opener, path: Path) -> bytes:
    path.write_bytes(packed)
    with opener(path) as stream:
        content: bytes = stream.read(1000)
        content += stream.read(10)
        rest = stream.tell()
        read_to_end(stream)
        assert rest == len(content) and not stream.read(1)
    return content


@pytest.mark.parametrize("module", ["gzip", "isal.igzip"])
def test_whoever_unpacks_checks_the_end(tmp_path, module):
    """isal, where it is installed, and the standard library without it."""
    opener, path = pytest.importorskip(module).open, tmp_path / "a.gz"
    packed = gzip.compress(NOISE)
    assert reads(packed, opener, path) == NOISE[:1010]
    assert packing_of(path).name == "gzip"
    # two members are one stream, and zeros behind them are padding
    assert reads(gzip.compress(NOISE[:900]) + gzip.compress(NOISE[900:]) + bytes(5), opener, path) == NOISE[:1010]
    damaged = [packed[:-1], packed[: len(packed) // 2], packed[:-8] + b"abcd" + packed[-4:], packed[:-4] + b"abcd"]
    for bad in [*damaged, packed + b"rest"]:
        with pytest.raises((OSError, EOFError, zlib.error)):
            reads(bad, opener, path)
