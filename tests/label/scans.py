"""Write scans for pre-training, scans to annotate, and what an annotator would draw: COHORT STUDIES LABELS."""

import sys
from pathlib import Path

import nibabel
import numpy as np

from monai_ssl.samples.phantom import phantom_ct, write_phantom_cohort

# not RAS and not isotropic: what comes back must lie where the scan lies
AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2, 0, 30], [0, 0, 3, -10], [0, 0, 0, 1]])


def main(cohort: str, studies: str, labels: str) -> None:
    write_phantom_cohort(Path(cohort), patients=4, shape=(48, 48, 32))
    for folder in (studies, labels):
        Path(folder).mkdir()
    for i in range(4):
        for folder, array in zip((studies, labels), phantom_ct(i, (48, 52, 28)), strict=True):
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), Path(folder) / f"scan{i}.nii.gz")


if __name__ == "__main__":
    main(*sys.argv[1:])
