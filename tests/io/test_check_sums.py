"""Packed data are unpacked to their end, and their check sum is looked at."""

import gzip
import io
import zlib

import numpy as np
import pytest

from monai_ssl.io.check_sums import GZIP, ZLIB, check_packed

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
