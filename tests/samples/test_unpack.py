"""Archives that lie about paths, kinds and sizes do no harm; honest ones give exactly what was named."""

import io
import stat
import tarfile
import zipfile

import pytest

from monai_ssl.samples.unpack import check_sha256, find_members, unpack

SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return path


def _tar(path, members):
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture(params=["zip", "tar"])
def archive(request, tmp_path):
    members = {"a/one.dcm": b"1", "a/two.dcm": b"22", "a/b/three.dcm": b"333", "a/notes.txt": b"n"}
    if request.param == "tar":
        return _tar(tmp_path / "x.tar.gz", members)
    return _zip(tmp_path / "x.whl", **{name.replace("/", "__"): content for name, content in members.items()})


def test_finds_only_in_the_folder_named(archive):
    assert find_members(archive, "a/*.dcm") == ["a/one.dcm", "a/two.dcm"]
    assert find_members(archive, "a/b/three.dcm") == ["a/b/three.dcm"]
    assert find_members(archive, "*/one.dcm") == []


def test_writes_what_is_named_and_nothing_else(archive, tmp_path):
    out = tmp_path / "out"
    size = unpack(archive, {"a/two.dcm": out / "deep" / "2.dcm", "a/b/three.dcm": out / "3.dcm"})
    assert size == 5
    assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()} == {
        "deep/2.dcm": b"22",
        "3.dcm": b"333",
    }


def test_a_missing_member_is_named(archive, tmp_path):
    with pytest.raises(ValueError, match=r"has no member a/none\.dcm"):
        unpack(archive, {"a/none.dcm": tmp_path / "out.dcm"})


@pytest.mark.parametrize("name", ["../evil.dcm", "/evil.dcm", "a/../../evil.dcm", "..\\evil.dcm", "C:/evil.dcm"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_leaves_the_archive_is_refused(tmp_path, kind, name):
    archive = _tar(tmp_path / "x.tar.gz", {name: b"x"}) if kind == "tar" else _zip(tmp_path / "x.whl", **{name: b"x"})
    with pytest.raises(ValueError, match="points outside"):
        unpack(archive, {name: tmp_path / "out.dcm"})
    assert not (tmp_path / "out.dcm").exists()


def test_finding_refuses_unsafe_names_too(tmp_path):
    archive = _tar(tmp_path / "x.tar.gz", {"a/..": b"x"})
    with pytest.raises(ValueError, match="points outside"):
        find_members(archive, "a/*")


def test_a_link_in_a_zip_is_refused(tmp_path):
    archive = tmp_path / "x.whl"
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("a/link.dcm")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(entry, "/etc/hostname")
    with pytest.raises(ValueError, match="is a link or device"):
        unpack(archive, {"a/link.dcm": tmp_path / "out.dcm"})


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_in_a_tar_is_refused(tmp_path, kind):
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        entry = tarfile.TarInfo("a/link.dcm")
        entry.type, entry.linkname = kind, "/etc/hostname"
        file.addfile(entry)
    with pytest.raises(ValueError, match="is a link or device"):
        unpack(archive, {"a/link.dcm": tmp_path / "out.dcm"})


def test_a_bomb_is_stopped_and_leaves_nothing(tmp_path):
    archive = _zip(tmp_path / "x.whl", big=b"\0" * 1_000_001)
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="larger than 1000000 bytes"):
        unpack(archive, {"big": out / "big.dcm"}, limit=1_000_000)
    assert list(out.iterdir()) == []
    assert unpack(archive, {"big": out / "big.dcm"}, limit=1_000_001) == 1_000_001


@pytest.mark.parametrize("content", [b"not an archive", b"\x1f\x8b\x08\x00cut", b""])
def test_a_damaged_archive_is_named(tmp_path, content):
    archive = tmp_path / "x.whl"
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.whl cannot be unpacked"):
        find_members(archive, "a/*")


def test_a_flipped_byte_in_a_member_is_noticed(tmp_path):
    archive = tmp_path / "x.whl"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr("a.dcm", b"hello world")
    archive.write_bytes(archive.read_bytes().replace(b"hello", b"hellO"))
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(archive, {"a.dcm": tmp_path / "out" / "a.dcm"})
    assert list((tmp_path / "out").iterdir()) == []


def test_the_hash_decides(tmp_path):
    file = tmp_path / "x.whl"
    file.write_bytes(b"abc")
    check_sha256(file, SHA_OF_ABC)
    file.write_bytes(b"abd")
    with pytest.raises(ValueError, match="is not the file that was reviewed"):
        check_sha256(file, SHA_OF_ABC)
