"""Headers of a compressed file: what would end the process within blosc2 is refused before."""

import numpy as np
import pytest

from monai_ssl.io.blosc2_frame import Frame
from monai_ssl.store.compressed import compressed


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.b2nd"
    path.write_bytes(compressed(np.random.default_rng(0).integers(0, 99, (1, 70, 8, 8), np.int16)))
    return path


def test_chunks_lie_where_the_list_says(file):
    starts = Frame(file).starts([1, 2, 1, 1])
    assert starts.min() == int.from_bytes(file.read_bytes()[11:15], "big") and len(np.unique(starts)) == 2
    with pytest.raises(RuntimeError, match="the list of its chunks is not theirs"):
        Frame(file).starts([1, 3, 1, 1])


@pytest.mark.parametrize("byte", [3, 5, 9, 31])
def test_a_chunk_of_another_size_or_with_other_flags_is_refused(file, byte):
    content = bytearray(file.read_bytes())
    content[int.from_bytes(content[11:15], "big") + byte] ^= 0x08
    file.write_bytes(content)
    with pytest.raises(RuntimeError, match="is damaged: a chunk"):
        Frame(file)
