"""What is written goes to a disk: a URL is refused in a sentence, and no folder called `s3:` is made."""

from pathlib import Path

import pytest

from monai_ssl.bundle import images
from monai_ssl.bundle.command_line import refuse_unknown_keys
from monai_ssl.cli import main
from monai_ssl.cli.main import command_parsers
from monai_ssl.handlers import RunFolder
from monai_ssl.places import cache_root, on_disk
from monai_ssl.stock_runs import finetuning, prediction, pretraining
from monai_ssl.study.plan import read_study
from monai_ssl.tasks import Classification, Regression, Segmentation

STUDY = Path(__file__).parents[2] / "studies/smoke.json"
URLS = ("s3://bucket/x", "gs://bucket/x.csv", "http://host/x", "https://me:secret@host/x")
COMMANDS = [
    "adopt a.pt {}",
    "analyse run --out {}",
    "discover store --out {}",
    "embed --weights simclr/headneck_ct --data d --out {}",
    "evaluate run --data d --out {}",
    "finetune segmentation --data d --out {}",
    "handoff --weights simclr/headneck_ct --labels a --name n --modality ct --roi-size 8 8 8 {}",
    "new-method mine --root {}",
    "pack simclr {}",
    "plan store --bundle simclr --gpu-memory 8 --out {}",
    "predict run --data d --out {}",
    "prepare scans {}",
    "pretrain simclr --data d --out {}",
    "preview --bundle simclr --dataset_dir d --out {}",
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_commands_write_nothing_to_urls(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for url in URLS:
        try:
            code = main([word.format(url) for word in command.split()])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr().err
        assert code == 2 and "URL" in said and "secret" not in said, said
        assert not list(tmp_path.iterdir())


def test_every_command_that_writes_is_asked():
    writing = {
        name
        for name, parser in command_parsers().items()
        for action in parser._actions
        if action.metavar == "OUT" or {"--out", "--root"} & set(action.option_strings)
    }
    assert writing | {"prepare"} == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("key", ["output_dir", "ckpt_dir"])
def test_stock_commands_write_nothing_to_urls(key):
    with pytest.raises(ValueError, match=rf"`{key}` is written to a disk, and s3://bucket/run is a URL"):
        refuse_unknown_keys({key: "s3://bucket/run"})
    with pytest.raises(ValueError, match="Nothing in this bundle reads `dataset_dir`"):
        refuse_unknown_keys({"dataset_dir": "s3://bucket/store"})


def test_runs_from_python_write_nothing_to_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONAI_SSL_CACHE", "s3://bucket/cache")
    calls = [
        lambda: RunFolder("s3://bucket/run"),
        lambda: RunFolder(Path("s3://bucket/run")),
        lambda: pretraining("simclr", tmp_path, "gs://bucket/run", "pretrain"),
        lambda: finetuning("segmentation", tmp_path, "s3://bucket/run"),
        lambda: prediction(tmp_path, tmp_path, "s3://bucket/run"),
        lambda: read_study(STUDY, {"output_dir": "s3://bucket/study"}),
        cache_root,
    ]
    (tmp_path / "model.pt").touch()
    (tmp_path / "model.json").write_text('{"task": {"name": "Segmentation"}}')
    for call in calls:
        with pytest.raises(ValueError, match="is a URL"):
            call()
    assert on_disk("C:/runs", "output_dir") == Path("C:/runs")


@pytest.mark.parametrize("task", [Classification(["a", "b"]), Regression(), Segmentation({"liver": 1})])
@pytest.mark.parametrize("url", ["s3://bucket/labeled", Path("s3://bucket/labeled")])
def test_labeled_images_and_those_to_predict_lie_on_a_disk(task, url):
    for asked in (lambda: task.cases("training", url), lambda: task.held_out(url), lambda: images(str(Path(url)))):
        with pytest.raises(ValueError, match=r"`dataset_dir` is read from a disk, and s3:/+bucket/labeled is a URL"):
            asked()
