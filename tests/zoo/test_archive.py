"""A packed bundle is what MONAI's download installs and runs."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import monai.bundle
import pytest

from monai_ssl.__main__ import main
from monai_ssl.bundle_folders import bundle_folder, shipped_bundles
from monai_ssl.zoo import pack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_monai_installs_it_from_a_file_and_from_a_server(tmp_path, served):
    path = pack("pcrlv2", tmp_path)
    source = bundle_folder("pcrlv2")
    own = {n: c for n, c in files(source).items() if n.split("/")[0] in ("configs", "docs") and "metadata" not in n}
    added = {"LICENSE", "configs/logging.conf", "configs/metadata.json", "docs/data_license.txt"}
    for place, url in (("file", path.as_uri()), ("http", f"{served}/{path.name}")):
        (tmp_path / place).mkdir()
        monai.bundle.download(name="pcrlv2", url=url, bundle_dir=tmp_path / place, progress=False)
        installed = files(tmp_path / place / "pcrlv2")
        page = "docs/README.md"
        assert installed.keys() == own.keys() | added and installed[page].startswith(own[page])
        assert all(installed[name] == content for name, content in own.items() if name != page)
        assert b"Apache License" in installed["LICENSE"]


def test_same_files_same_bytes_and_results_stay_out(tmp_path):
    source = tmp_path / "thorax"
    shutil.copytree(bundle_folder("segmentation"), source)
    first = pack(source, tmp_path / "a").read_bytes()
    (source / "eval").mkdir()
    (source / "eval/mlruns.db").write_text("private")
    (source / "configs/.hidden").write_text("x")
    (source / "docs/README.md").touch()
    assert pack(source, tmp_path / "b").read_bytes() == first
    (source / "models/pretrained").mkdir(parents=True)
    (source / "models/pretrained/encoder.safetensors").write_text("weights")
    with zipfile.ZipFile(pack(source, tmp_path / "c")) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"thorax"}
        assert "thorax/models/pretrained/encoder.safetensors" in archive.namelist()
        assert all(entry.external_attr >> 16 == 0o644 for entry in archive.infolist())


def test_what_cannot_be_packed(tmp_path):
    with pytest.raises(ValueError, match=r"no bundle `pcrlv3`; did you mean `pcrlv"):
        pack("pcrlv3", tmp_path)
    source = tmp_path / "own"
    shutil.copytree(bundle_folder("segmentation"), source)
    metadata = json.loads((source / "configs/metadata.json").read_text())
    (source / "configs/metadata.json").write_text(json.dumps(metadata | {"version": "0.2.0"}))
    with pytest.raises(ValueError, match=r"has version 0\.2\.0, but no `changelog` entry"):
        pack(source, tmp_path)
    (source / "configs/inference.json").unlink()
    with pytest.raises(ValueError, match=r"cannot be packed without configs/inference\.json"):
        pack(source, tmp_path)
    assert not list(tmp_path.glob("*.zip"))


def test_the_command_says_how_to_install(tmp_path, capsys):
    assert main(["pack", "moco", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"--name moco --url file://{tmp_path}/moco_v" in said and "sha256" in said
    assert main(["pack", "mocco", str(tmp_path)]) == 2
    assert "did you mean `moco`?" in capsys.readouterr().err


def test_bundles_go_by_name_or_path(tmp_path, monkeypatch):
    assert {"pcrlv2", "segmentation", "classification"} <= set(shipped_bundles())
    for name in ("moco", "mine"):
        (tmp_path / name / "configs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert bundle_folder("mine") == bundle_folder("mine", tmp_path) == tmp_path / "mine"
    assert bundle_folder("./moco") == bundle_folder(tmp_path / "moco") == tmp_path / "moco" != bundle_folder("moco")


@pytest.mark.slow
def test_commands_find_bundles_in_a_wheel(tmp_path):
    """What `pip install` puts elsewhere, not the checkout, and not its link from `monai_ssl/bundles`."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "tests"), symlinks=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(source)]
    subprocess.run([*build, "--wheel-dir", str(tmp_path)], check=True, timeout=300)
    shutil.unpack_archive(next(tmp_path.glob("*.whl")), tmp_path / "installed", "zip")
    study = ["study", str(ROOT / "studies/smoke.json"), "--output_dir", "dist"]
    for command in ([*study, "--dry-run"], ["pack", "pcrlv2", "dist"], [*study, "--report-only"]):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
        subprocess.run([sys.executable, "-m", "monai_ssl", *command], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "dist/report.html").is_file()
