"""A run that is killed within an epoch goes on bit for bit with its banks, clusters, queues, teachers and centers."""

import pytest
import torch
from distributed_cases import SCANS, Scans, trained, trainer
from ignite.engine import Events

from monai_ssl.data.windows import endless_loader
from monai_ssl.handlers import Checkpoint


class Indexed(Scans):
    def __getitem__(self, item):
        views = super().__getitem__(item)
        masks = {f"visible{i}": (views[f"view{i}"] > 0.7).float() for i in (1, 2)}
        return {**views, **masks, "view": views["view1"], "index": item[1] % SCANS}


class Killed(Exception):
    pass


def run(name, folder, resume=False):
    checkpoint = Checkpoint(folder, resume=resume, every_iterations=1)
    return trainer(name, endless_loader(Indexed(), 4), 4, [checkpoint])


@pytest.mark.parametrize("name", ["swav", "deepcluster", "sela", "insdis_nce", "cmc", "pcl", "smit"])
def test_it_goes_on_within_an_epoch(name, tmp_path):
    whole, half = trained(run(name, tmp_path / "whole")), run(name, tmp_path / "half")

    @half.on(Events.ITERATION_COMPLETED(once=8))
    def kill():
        raise Killed

    with pytest.raises(Killed):
        half.run()
    rest = trained(run(name, tmp_path / "half", resume=True))
    assert whole["at"] == rest["at"] == (4, 12)
    for key, value in whole["state"].items():
        assert torch.equal(rest["state"][key], value), key
    assert whole["terms"].keys() == rest["terms"].keys()
