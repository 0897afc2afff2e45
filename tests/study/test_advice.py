import itertools
import json
from pathlib import Path

import fabricated_study
import pytest

from monai_ssl.cli import main
from monai_ssl.study import advice as advice_module
from monai_ssl.study.advice import advise
from monai_ssl.study.measured import Measured
from monai_ssl.study.own_results import own_results
from monai_ssl.study.situation import Situation, holds

ROOT = Path(__file__).parents[2]
RULES = json.loads(advice_module._RULES.read_text())


def methods(items):
    return [item.method for item in items]


def test_classification_gets_byol_and_no_restoration():
    found = advise(Situation(task="classification", domain_gap="none"))
    assert "byol" in methods(found.ranked)[:3]
    assert not {"models_genesis", "autoencoder"} & set(methods(found.ranked))
    assert found.confidence != "low" or any(item.confidence == "low" for item in found.evidence)


def test_round_structures_get_no_rotation():
    for gap in ("none", "small", "large", None):
        found = advise(Situation(task="segmentation", symmetry="rotation_invariant", domain_gap=gap))
        assert not {"rotation", "rubik", "rubik_plus"} & set(methods(found.ranked))
        assert {"rotation", "rubik"} <= set(methods(found.avoid))
    both = advise(Situation(task="segmentation", symmetry="rotation_invariant", domain_gap="large"))
    assert methods(both.ranked) == ["relative_location", "models_genesis"]
    assert both.ranked[0].evidence == ("G2", "G3") and both.ranked[1].overrides == {"skips": False}
    assert set(methods(both.avoid)) == {"rotation", "rubik", "rubik_plus", "autoencoder", "pcrlv1", "jigsaw"}


def test_large_gap_recollects_statistics():
    found = advise(Situation(task="segmentation", domain_gap="large"))
    assert found.choices["bn"].value == "recollect_target" and methods(found.ranked)[0] == "rubik_plus"
    assert advise(Situation(domain_gap="none")).choices["bn"].value == "either, report both"


def test_imbalance():
    few = advise(Situation(task="classification", minority=100)).choices["imbalance"]
    assert few.value == ["ssl", "mean_resampling"] and few.evidence == ("G13",)
    many = advise(Situation(task="classification", minority=2000, imbalance=0.15)).choices["imbalance"]
    assert many.value == ["mean_resampling"]
    derived = advise(Situation(task="classification", labels=2000, imbalance=0.05))
    assert derived.choices["imbalance"].value == ["ssl", "mean_resampling"]
    assert "imbalance" not in advise(Situation(task="segmentation", labels=2000, imbalance=0.05)).choices


def warned(situation):
    return {warning.evidence[0] for warning in advise(situation).warnings}


def test_warnings():
    assert "G16" in warned(Situation(augmentation="strong")) and "G16" not in warned(Situation(augmentation="weak"))
    assert "G15" in warned(Situation(imbalance=0.02)) and "G15" in warned(Situation(imbalance=0.02, resampling=False))
    assert "G15" not in warned(Situation(imbalance=0.02, resampling=True)) | warned(Situation(imbalance=0.05))
    assert "D2" in warned(Situation(labels=12)) and "D2" not in warned(Situation(labels=300))
    assert {"G12", "G20"} <= warned(Situation())


def test_labels():
    assert advise(Situation(labels=10, available=100)).choices["expected_gain"].value == "likely"
    assert advise(Situation(labels=50, available=100)).choices["expected_gain"].value == "one point or less"
    assert "expected_gain" not in advise(Situation(labels=10)).choices


def test_nothing_known_is_said():
    found = advise(Situation())
    assert found.ranked[0].evidence == ("G4",) and found.confidence == "low"
    assert {"domain_gap", "task", "symmetry"} <= set(found.unknown)
    assert "domain_gap" not in advise(Situation(domain_gap="none")).unknown


def test_what_lies_outside_of_the_evidence_is_flagged():
    found = advise(Situation(task="classification", modality="mr", spatial_dims=2))
    assert len(found.outside) == 2 and found.confidence == "low"
    assert "mr" in found.outside[0] and "2-D" in found.outside[1]
    assert advise(Situation(task="classification", modality="ct", spatial_dims=3)).outside == ()


def test_input_size_follows_the_first_method():
    assert advise(Situation(crop=(112, 64, 32))).choices["crop"].value == [96, 64, 48]
    assert advise(Situation(task="classification", crop=(48, 48, 32))).choices["crop"].value == "as in the bundle"
    rotation = advise(Situation(crop=(48, 48, 32)), [own("rotation", "better")])
    assert rotation.choices["crop"].value == [64, 64, 64]
    larger = advise(Situation(crop=(96, 48, 32)), [own("rotation", "better")])
    assert larger.choices["crop"].value == [96, 96, 96]


def test_decoder_and_skips():
    assert advise(Situation()).choices["transfer"].value == "encoder"
    assert advise(Situation(), [own("pcrlv1", "better")]).choices["transfer"].value == "both"
    genesis = advise(Situation(task="segmentation", symmetry="rotation_invariant"))
    assert any("G5" in warning.evidence for warning in genesis.warnings)


GRID = {
    "task": ("classification", "segmentation", None),
    "modality": ("ct", "mr", None),
    "domain_gap": ("none", "small", "large", None),
    "symmetry": ("rotation_invariant", "oriented", None),
    "imbalance": (0.01, 0.15, None),
    "minority": (100, 2000, None),
    "augmentation": ("none", "strong", None),
    "crop": ((64, 64, 32), None),
}


def test_every_combination_gets_consistent_advice():
    ids = {rule["id"] for rule in RULES["rules"]}
    for values in itertools.product(*GRID.values()):
        facts = dict(zip(GRID, values, strict=True))
        found = advise(Situation(**facts))
        assert found.ranked and not set(methods(found.ranked)) & set(methods(found.avoid)), facts
        cited = [*found.ranked, *found.avoid, *found.choices.values(), *found.warnings]
        assert all(item.evidence and set(item.evidence) <= ids for item in cited), facts
        assert {"transfer", "finetune", "bn", "crop"} <= found.choices.keys(), facts
        assert found.confidence in ("low", "medium", "high")
        assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_advice_repeats_and_does_not_depend_on_the_order_of_the_facts():
    facts = {"task": "segmentation", "domain_gap": "large", "imbalance": 0.02}
    assert advise(Situation(**facts)) == advise(Situation(**dict(reversed(facts.items()))))


def test_rules_name_bundles_and_their_options():
    for rule in RULES["rules"]:
        for name in [*rule.get("prefer", ()), *rule.get("avoid", ())]:
            variant = RULES["variants"].get(name, {"method": name, "overrides": {}})
            config = ROOT / "bundles" / variant["method"] / "configs" / "pretrain.json"
            assert variant["overrides"].keys() <= json.loads(config.read_text()).keys(), name
    assert len({rule["id"] for rule in RULES["rules"]}) == len(RULES["rules"])


def test_conditions():
    assert holds({"a": {"min": 1, "below": 3}}, {"a": 1}) and not holds({"a": {"below": 3}}, {"a": 3})
    assert holds({"a": {"max": 3}}, {"a": 3}) and not holds({"a": {"above": 3}}, {"a": 3})
    assert holds({"a": [1, None]}, {}) and not holds({"a": [1]}, {}) and not holds({"a": {"min": 0}}, {})


def test_impossible_tasks_are_refused():
    for facts, match in (
        ({"task": "detection"}, r"`task` must be one of .* got 'detection'"),
        ({"labels": 0}, "`labels` must be a positive number, got 0"),
        ({"imbalance": 2.0}, r"`imbalance` must be in \(0, 1\], minority over majority, got 2.0"),
        ({"labels": 5, "available": 4}, r"`labels` \(5\) cannot be more than `available` \(4\)"),
        ({"crop": (64,)}, r"`crop` must be two or three positive sizes"),
    ):
        with pytest.raises(ValueError, match=match):
            Situation(**facts)


def own(method, verdict, gain=0.1):
    return Measured(f"own:{method}", method, verdict, gain, "warmup", "numbers", "high")


def test_the_own_study_goes_before_the_rules():
    results = [own("pcrlv1", "better"), own("jigsaw", "unclear"), own("rubik_plus", "worse")]
    found = advise(Situation(task="segmentation", domain_gap="large"), results)
    assert methods(found.ranked) == ["pcrlv1", "rubik", "relative_location", "models_genesis"]
    assert found.ranked[0].evidence == ("own:pcrlv1",)
    assert set(methods(found.avoid)) == {"rubik_plus", "autoencoder", "jigsaw"}
    assert (found.choices["finetune"].value, found.choices["finetune"].evidence) == ("warmup", ("own:pcrlv1",))
    assert found.evidence[0].why == "numbers"


def test_where_all_is_worse_scratch_is_advised():
    found = advise(Situation(), [own(name, "worse") for name in ("relative_location", "byol", "simclr")])
    assert methods(found.ranked) == ["scratch"] and set(methods(found.avoid)) == {"relative_location", "byol", "simclr"}
    assert found.ranked[0].evidence and "crop" not in found.choices


@pytest.mark.parametrize("facts", [{}, {"task": "segmentation", "symmetry": "rotation_invariant"}])
def test_what_the_own_study_could_not_tell_changes_nothing(facts):
    plain = advise(Situation(**facts))
    for name in {*methods(plain.ranked), *methods(plain.avoid), "moco"}:
        found = advise(Situation(**facts), [own(name, "unclear")])
        assert (found.ranked, found.avoid, found.choices) == (plain.ranked, plain.avoid, plain.choices)


ROUND = {"task": "segmentation", "symmetry": "rotation_invariant"}


def test_evidence_from_elsewhere_lowers_the_confidence_and_what_is_not_told_lies_nowhere():
    assert advise(Situation(**ROUND)).confidence == "medium"
    assert advise(Situation(**ROUND, modality="mr")).confidence == "low"
    assert advise(Situation(**ROUND, modality=None, spatial_dims=None)).outside == ()


def test_a_better_method_keeps_the_options_that_the_rules_give_it():
    found = advise(Situation(**ROUND), [own("models_genesis", "better")])
    assert found.ranked[0].overrides == {"skips": False}
    assert found.ranked[0].evidence == ("own:models_genesis", "G2")


def test_without_a_patch_the_size_is_said_in_words():
    rotation = advise(Situation(), [own("rotation", "better")]).choices["crop"]
    assert rotation.value == "cubes as large as the task's patches, 64 at least"
    assert advise(Situation()).choices["crop"].value == "48 to 96 a side"


def test_a_method_to_avoid_is_named_once():
    found = advise(Situation(task="segmentation", symmetry="rotation_invariant"), [own("rotation", "worse")])
    assert methods(found.avoid) == ["rotation", "rubik", "rubik_plus"]
    assert found.avoid[0].evidence == ("own:rotation",)


def write_cell(folder, method, score, *, seed, labels=10, task="liver", scheme="full", higher=True):
    scores = {f"case{i}": score + 0.01 * (i % 5) + 0.001 * seed for i in range(12)}
    found = {"score": sum(scores.values()) / 12, "per_case": scores, "higher_is_better": higher}
    fabricated_study.write_cell(folder, fabricated_study.result(method, labels, seed, task, scheme, **found))


@pytest.fixture
def study(tmp_path):
    for seed in range(3):
        for labels in (10, 100):
            write_cell(tmp_path, "scratch", 0.5, seed=seed, labels=labels)
            write_cell(tmp_path, "byol", 0.6 if labels == 10 else 0.4, seed=seed, labels=labels)
        write_cell(tmp_path, "moco", 0.3, seed=seed)
        write_cell(tmp_path, "moco", 0.35, seed=seed, scheme="fixed")
    return tmp_path


def test_a_study_is_read_at_the_labels_in_question(study):
    few, moco = own_results(study, labels=12)
    assert (few.method, few.verdict, few.confidence) == ("byol", "better", "high")
    assert few.gain == pytest.approx(0.1) and "liver with 10 labels, full: dice +0.1 to scratch over 3 seeds" in few.why
    assert (moco.verdict, moco.scheme) == ("worse", "fixed") and moco.gain == pytest.approx(-0.15)
    byol = next(r for r in own_results(study) if r.method == "byol")
    assert byol.verdict == "worse" and "100 labels" in byol.why


def test_methods_that_help_one_task_and_harm_another_are_unclear(study):
    for seed in range(3):
        write_cell(study, "scratch", 0.5, seed=seed, task="spleen")
        write_cell(study, "byol", 0.3, seed=seed, task="spleen")
    assert next(r for r in own_results(study, 10) if r.method == "byol").verdict == "unclear"
    assert own_results(study, 10, "spleen")[0].verdict == "worse"
    assert next(r for r in own_results(study, 10, "liver") if r.method == "byol").verdict == "better"


def test_an_error_that_falls_is_a_gain(tmp_path):
    for seed in range(2):
        write_cell(tmp_path, "scratch", 0.5, seed=seed, higher=False)
        write_cell(tmp_path, "byol", 0.3, seed=seed, higher=False)
    (found,) = own_results(tmp_path)
    assert found.verdict == "better" and found.gain == pytest.approx(0.2) and found.confidence == "medium"


def test_studies_without_results_are_refused(tmp_path, study):
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="has no finished cell; give the folder that `study` wrote into"):
        own_results(tmp_path / "none")
    with pytest.raises(ValueError, match="has no task `lung`; it has liver"):
        own_results(study, task="lung")
    write_cell(tmp_path / "alone", "scratch", 0.5, seed=0)
    with pytest.raises(ValueError, match="has no method beside scratch"):
        own_results(tmp_path / "alone")


def test_command(study, capsys):
    assert main(["advise", "--task", "segmentation", "--modality", "CT", "--labels", "3"]) == 0
    assert "measured here: here:evidence_3d:simclr" in capsys.readouterr().out
    asked = ["advise", "--task", "segmentation", "--modality", "MR", "--labels", "20", "--imbalance", "0.05"]
    assert main(asked) == 0
    text = capsys.readouterr().out
    assert "try             relative_location  [G4]" in text and "limits of the papers: Zhang and Gu" in text
    assert "paper: G4" in text and "measured here" not in text
    assert main([*asked, "--results", str(study), "--json", "--augmentation", "S6"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ranked"][0] == {"method": "byol", "overrides": {}, "evidence": ["own:byol", "G4"]}
    assert "moco" in [item["method"] for item in found["avoid"]] and "G16" in str(found["warnings"])
    assert main(["advise", "--symmetry", "rotation_invariant", "--task", "segmentation"]) == 0
    assert "models_genesis --skips false  [G2]" in capsys.readouterr().out
    assert main(["advise", "--study-task", "liver"]) == 2
    assert "give its folder by `--results`" in capsys.readouterr().err
    assert main(["advise", "--labels", "5", "--available", "4"]) == 2
