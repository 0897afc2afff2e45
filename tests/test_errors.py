"""Messages: what a stranger wrote in them does no harm."""

import pytest
import torch
from monai.bundle import ConfigParser
from monai.utils import OptionalImportError, optional_import

from monai_ssl import errors
from monai_ssl.errors import printable
from monai_ssl.mlflow_place import checked_uri
from monai_ssl.transfer.card import ModelCard
from monai_ssl.transfer.weights_file import read_part


def test_what_is_printed_steers_no_terminal_and_shows_no_password():
    text = printable("\x1b]0;owned\x07 \x9b31m https://ann:p@ss/word@host/api postgresql://u:secret@h/db")
    assert not {sign for sign in text if ord(sign) < 32 or 127 <= ord(sign) < 160}
    assert "p@ss" not in text and "word" not in text and "secret" not in text and "host/api" in text
    with pytest.raises(ValueError, match=r"postgresql://host/db") as error:
        checked_uri("postgresql://u:secret@host/db")
    assert "secret" not in str(error.value)
    stranger = ModelCard("simclr\x1b[2J", "paper", {}, "ct", data_license="free\x1b[31m\n| x | y |")
    read = ModelCard.from_json(stranger.to_json())
    assert "\x1b" not in repr(read) + read.method + read.data_license + stranger.to_markdown("w\x1b.safetensors")
    assert "\n| x" not in stranger.to_markdown("w")


def test_a_mistake_is_told_without_what_a_stranger_put_into_it(capsys):
    with pytest.raises(FileNotFoundError) as found:
        read_part("no\x1b[2Jfile.pt", "encoder")
    # what `explain_mistakes` makes the hook of `python -m monai.bundle`
    errors._explain(found.type, found.value, found.tb)
    said = capsys.readouterr().err
    assert "error: There is no weights file `no[2Jfile.pt`" in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("component", "told"),
    [
        ({"_target_": "monai.networks.nets.SegResNet", "feature_size": 8}, "`monai.networks.nets.SegResNet` could not"),
        ({"_target_": "monai.networks.nets.SegResNett"}, "A `_target_` of the configuration could not"),
    ],
)
def test_what_monai_cannot_build_is_told_with_the_reason_and_without_a_trace(component, told, capsys, monkeypatch):
    monkeypatch.setattr(errors.sys, "argv", ["monai.bundle", "run", "--lr", "abc"])
    with pytest.raises((RuntimeError, ModuleNotFoundError)) as found:
        ConfigParser({"network": component}).get_parsed_content("network")
    errors._explain(found.type, found.value, found.tb)
    said = capsys.readouterr().err
    assert f"error: {told} be built: " in said and "SegResNet" in said and "--lr 'abc'" in said
    assert "Traceback" not in said
    with pytest.raises(RuntimeError) as later:
        ConfigParser({"run": "$1 / 0"}).get_parsed_content("run")
    assert errors.sentence_of(later.value) is None


def test_what_users_mistakes_look_like_where_others_raise():
    with pytest.raises(RuntimeError) as width:
        torch.nn.Linear(2, 3).load_state_dict(torch.nn.Linear(2, 4).state_dict())
    said = errors.sentence_of(width.value)
    assert said.startswith("The weights are of another network than the one that was built, in 2 points, as: size mis")
    with pytest.raises(OptionalImportError) as missing:
        optional_import("no_such_library")[0].thing()
    assert "install `no_such_library`" in errors.sentence_of(missing.value)
