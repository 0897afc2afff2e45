"""Files that are there as a whole or not at all."""

import csv
import io
import re
import resource

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from monai_ssl.errors import sentence_of
from monai_ssl.files import atomic, csv_text, read_json, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("write", [torch.save, lambda x, file: np.save(file, x), lambda x, file: file.write(bytes(x))])
@pytest.mark.parametrize("values", [100_000, 3_000_000])
def test_what_the_disk_refuses_names_the_file_whoever_writes(tmp_path, write, values):
    """The limit of a file's size stands for a full disk, which only an administrator can make."""
    path, (soft, hard) = tmp_path / "a", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large|No space left") as caught, atomic(path) as file:
            write(torch.zeros(values, dtype=torch.uint8), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = sentence_of(caught.value)
    assert re.match(f"{path} cannot be read or written: (it would be larger|the disk is full)", said)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_stays_that_of_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"), atomic(tmp_path / "a"):
        (tmp_path / "none").open()


def test_nothing_stands_under_the_name_before_the_end(tmp_path):
    path = tmp_path / "new" / "a"
    with atomic(path, 0o600) as file:
        file.write(b"all")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"all" and path.stat().st_mode & 0o777 == 0o600


def test_json_holds_no_number_that_is_none(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": 1.5} and read_json(tmp_path / "b.json", 0) == 0


@pytest.mark.parametrize("content", ["", "{", '{"x": NaN}', "[-Infinity]", "[" * 200_000, "\x00"])
def test_damaged_json_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON .*: it is damaged; restore it or make it again"):
        read_json(tmp_path / "a.json", 0)


@given(rows=st.lists(st.lists(st.text(max_size=4), min_size=2, max_size=2), max_size=4))
@example(rows=[["a\rb", "c\r\nd"], ["", 'é,"']])
def test_a_table_is_read_as_it_was_written_and_its_lines_end_with_a_line_feed(rows):
    text = csv_text(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert text.count("\r") == str(rows).count("\\r")
