"""Files that are there as a whole or not at all."""

import pytest

from monai_ssl.files import atomic, read_json, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]


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
