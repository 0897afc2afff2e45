"""Who is a patient, by tags, names of data sets, folders and files; in doubt, together."""

import pytest

from monai_ssl.io.patient_hints import NUMBERS, TAG, USER, Place, describe, doubt, patient_hints, patient_of_name
from monai_ssl.io.patient_rule import patient_rule

LAYOUTS = {
    "flat BIDS": [(f"sub-{p:02d}_ses-{s:02d}_T1w.nii.gz", p) for p in range(6) for s in (1, 2)],
    "BIDS": [(f"sub-{p}/ses-{s}/anat/sub-{p}_ses-{s}_T2w.nii.gz", p) for p in range(6) for s in (1, 2)],
    "NIH": [(f"images_00{p % 2 + 1}/images/{p + 1:08d}_{s:03d}.png", p) for p in range(6) for s in range(4)],
    "MIMIC": [(f"p10/p1000{p:04d}/s5{s}/a{p}{s}.jpg", p) for p in range(6) for s in (1, 2)],
    "series": [(f"BraTS20_{p:03d}_{s}.nii.gz", p) for p in range(6) for s in ("t1", "t2")],
    "BraTS 2019": [
        (f"HGG/BraTS19_CBICA_A{p}B_{s}/BraTS19_CBICA_A{p}B_{s}_t1.nii", p) for p in range(3) for s in (1, 2)
    ],
    "BraTS 2023": [(f"BraTS-GLI-{p:05d}-{s:03d}/a-t1n.nii.gz", p) for p in range(3) for s in (0, 1)],
    "OASIS": [(f"OAS1_{p:04d}_MR{s}/x.hdr", p) for p in range(3) for s in (1, 2)],
    "LIDC": [(f"LIDC-IDRI-{p:04d}/{s}/a.nrrd", p) for p in range(3) for s in (1, 2)],
    "ACDC": [(f"patient{p:03d}_frame{s:02d}.nii.gz", p) for p in range(20) for s in (1, 12)],
    "Decathlon": [(f"imagesTr/hippocampus_{p:03d}.nii.gz", p) for p in range(30)],
    "nnU-Net": [(f"imagesTr/case_{p:03d}_000{c}.nii.gz", p) for p in range(30) for c in (0, 1)],
    "LUNA16": [(f"subset{p % 3}/1.3.6.1.4.1.14519.5.2.1.6279.6001.{p}.mhd", p) for p in range(9)],
    "TotalSegmentator": [(f"s{p:04d}/ct.nii.gz", p) for p in range(20)],
    "sessions": [(f"p{p}_v{s}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "before and after": [(f"{p:03d}_{s}.nii.gz", p) for p in range(6) for s in ("pre", "post")],
    "role first": [(f"{s}_p{p}.nii.gz", p) for p in range(6) for s in ("t1", "t2")],
    "numbers": [(f"p{p}_{s}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "many slices": [(f"p{p}_{s:03d}.png", p) for p in range(6) for s in range(40)],
    "dates": [(f"202{s}0311_p{p}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "eyes": [(f"{p}_{s}.png", p) for p in range(30) for s in ("left", "right")],
    "many pictures": [(f"p{p}/{s}.png", p) for p in range(6) for s in range(20)],
    "many pictures named alike": [(f"{'abcdef'[p] * 4}/img_{s}.png", p) for p in range(6) for s in range(80)],
    "folders of sessions": [(f"p{p}_ses{s}/t1.nii.gz", p) for p in range(6) for s in (1, 2)],
    "classes": [(f"train/{c}/{c} ({p}).png", (c, p)) for c in ("benign", "malignant") for p in range(40)],
    "words": [(f"{p}_flair.nii.gz", p) for p in ("anna", "bob")] + [("anna_t1.nii.gz", "anna")],
    "folders by role": [(f"xray/patient{p}/{s}.png", p) for p in range(6) for s in (1, 2)],
    "controls": [(f"{c}/{c}_{p}/t1.nii", (c, p)) for c in ("control", "healthy") for p in range(6)],
    "visits first": [(f"visit_{s}_p{p}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "numbered folders of pictures": [(f"p{p}/{p}x{s}.png", p) for p in range(6) for s in range(60)],
    "hospitals of other size": [
        (f"hosp{c}{n}_p{p:02d}.nii.gz", (c, p)) for c, n, size in (("A", 1, 30), ("B", 2, 6)) for p in range(size)
    ],
    "series in folders": [(f"{s}/IMG_{p:03d}.nii.gz", p) for p in range(6) for s in ("T1w", "FLAIR", "ADC")],
    "visits in folders": [(f"ses-{s}/p{p}/scan_{p}{s}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "visits in folders, files": [(f"month{s}/{p:03d}.nii.gz", p) for p in range(6) for s in (0, 12)],
    "dates in folders": [(f"2019-0{s}-11/p{p}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "years in folders": [(f"201{s}/p{p}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "years that are patients": [(f"{p}/{s}.nii.gz", p) for p in range(1995, 2105) for s in ("x", "y")],
    "dates with dashes": [(f"2019-0{s}-11_{p:05d}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "data set and series": [(f"IXI-{s}/IXI{p:03d}-Guys-{s}.nii.gz", p) for p in range(6) for s in ("T1", "T2")],
    "attached visits": [(f"P{p:03d}V{s}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "attached words": [(f"Patient{p}Visit{s}.nii.gz", p) for p in range(6) for s in (1, 2)],
    "copies": [(f"{s}S{p:03d}.nii.gz", p) for p in range(6) for s in ("", "Copy of ", "brain_")],
    "spelling": [(f"{s}_t{i}.nii.gz", p) for p in range(6) for i, s in enumerate((f"Pat{p}", f"pat{p:03d}"))],
    "numbered folders of series": [(f"scan{p}/{s}.nii.gz", p) for p in range(6) for s in ("t1", "brain_mask")],
    "only series": [(f"{s}.nii.gz", 0) for s in ("t1", "T2", "flair")],
    "Kermany, radiographs": [
        (f"train/{c}/{name}.jpeg", p)
        for p in range(30)
        for s in (1, 2)
        for c, name in (("PNEUMONIA", f"person{p}_bacteria_{p * 2 + s}"), ("PNEUMONIA", f"person{p}_virus_{p + s}"))
    ]
    + [(f"train/NORMAL/IM-{p:04d}-000{s}.jpeg", ("IM", p)) for p in range(30) for s in (1, 2)]
    + [(f"train/NORMAL/NORMAL2-IM-{p:04d}-000{s}.jpeg", p) for p in range(30, 60) for s in (1, 2)],
    "Kermany, retinas": [
        (f"train/{c}/{c}-{1016000 + p}-{s}.jpeg", p) for p in range(30) for c in ("CNV", "DME") for s in (1, 2)
    ],
    "INbreast": [
        (f"{20586908 + 9 * p + s}_{p + 7919:016x}_MG_{v}_ANON.png", p)
        for p in range(9)
        for s, v in enumerate(("R_CC", "L_ML"))
    ],
    "ISBI": [(f"training0{p}/preprocessed/training0{p}_0{s}_t2_pp.nii", p) for p in range(5) for s in (1, 2)],
    "letter and number": [(f"b{p}_{s}.nii.gz", p) for p in range(11, 20) for s in ("t1", "t2")],
    "folders of letter and number": [(f"b{p}/{s}.nii.gz", p) for p in range(11, 20) for s in ("t1", "t2")],
    "b-values in folders": [(f"b{b}/p{p}.nii.gz", p) for p in range(6) for b in (50, 800, 1000)],
    "sites": [(f"ct/p{p}/p{p}_{s}.nii.gz", p) for p in range(20) for s in range(3)],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_patient_has_one_name_and_another_has_another(layout):
    found = patient_hints([Place(path) for path, _ in LAYOUTS[layout]], "root")
    pairs = {(hint.patient, who) for hint, (_, who) in zip(found, LAYOUTS[layout], strict=True)}
    assert len({name for name, _ in pairs}) == len({who for _, who in pairs}) == len(pairs)


def test_names_alone():
    names = {"pt_17_ct.nii.gz": "pt_17", "case_12_0001.nii.gz": "case_12", "benign (1)_mask.png": "benign (1)"}
    names |= {"1.2.840.113619.nii.gz": "1.2.840.113619", "ct.nrrd": "ct", "PT_3_T1.nii": "PT_3"}
    assert {name: patient_of_name(name) for name in names} == names
    series = [Place("anna/study/1", True), Place("anna/study/2", True), Place("bob", True)]
    assert [hint.patient for hint in patient_hints(series, "r")] == ["anna", "anna", "bob"]
    assert patient_hints([Place(".", True)], "anna")[0].patient == "anna"


def test_the_user_counts_before_tags_and_these_before_names(tmp_path):
    places = [Place("a/sub-1_T1w.nii"), Place("a/x.dcm", tag=" P7 "), Place("b/y.nii")]
    assert [(h.patient, h.basis) for h in patient_hints(places, "r")][1] == ("P7", TAG)
    found = patient_hints(places, "r", patient_rule(r"^(\w)/"))
    assert [(h.patient, h.basis) for h in found] == [("a", USER), ("a", USER), ("b", USER)]
    (tmp_path / "who.csv").write_text("Image Index,Patient ID\nsub-1_T1w.nii,7\nb,8\n")
    assert [h.patient for h in patient_hints(places, "r", patient_rule(tmp_path / "who.csv"))] == ["7", "P7", "8"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("image,age\na,1\n", "needs the col"), ("image,patient\na,\n", "no patient for 'a'"), ("", "needs the col")],
)
def test_a_table_that_does_not_say_who_is_refused(content, reason, tmp_path):
    (tmp_path / "who.csv").write_text(content)
    with pytest.raises(ValueError, match=reason):
        patient_rule(tmp_path / "who.csv")
    (tmp_path / "twice.csv").write_text("image,patient\nx/a.nii,1\ny/a.nii,2\n")
    rule = patient_rule(tmp_path / "twice.csv")
    assert rule("x/a.nii") == "1" and rule("b.nii") is None
    with pytest.raises(ValueError, match="several patients"):
        rule("z/a.nii")
    with pytest.raises(ValueError, match="no regular expression"):
        patient_rule("(")


def test_a_guess_is_said_with_examples():
    places = [Place(path) for path, _ in LAYOUTS["numbers"]]
    found = patient_hints(places, "r")
    first, *examples = describe(found, [place.path for place in places])
    assert first == f"6 patients in 12 scans, by {NUMBERS} (12)" and examples[0] == "p0_1.nii.gz is of 'p0'"
    assert len(examples) == 3 and "--patients" in doubt(found)
    assert doubt(patient_hints([Place("sub-1_T1w.nii")], "r")) is None


@pytest.mark.parametrize("name", ["site{}_{:03d}.nii.gz", "site{}/{:03d}.nii.gz", "site{}/{:03d}/t1.nii.gz"])
@pytest.mark.parametrize("number", [1, 3, 13])
def test_numbers_that_begin_anew_at_each_site_stay_together(name, number):
    """In flat names all of a site are one patient, a guess that is said; in folders equal numbers are one patient."""
    places = [Place(name.format(site, i)) for site in (1, 2, 3) for i in range(1, number + 1)]
    hints = patient_hints(places, "root")
    flat = name.startswith("site{}_")
    assert len({hint.patient for hint in hints}) == (3 if flat else number)
    assert not flat or number == 1 or all(hint.is_weak for hint in hints)
