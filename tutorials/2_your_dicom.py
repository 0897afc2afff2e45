# %% [markdown]
# # Your own DICOM folder
#
# Point `folder` at any tree of DICOM files. Here a small one is generated, as an archive might deliver it:
# meaningless file names, two series of one patient in one folder, a slice lost on the way.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from monai_ssl.samples.phantom import phantom_ct

work = Path("your_dicom").resolve()
folder = work / "dicom"


def write_series(seed: int, patient: str, where: Path, lost: tuple[int, ...] = ()) -> None:
    """Write a phantom chest CT as a series of 5 mm slices, those in ``lost`` left out."""
    volume, _ = phantom_ct(seed, (64, 64, 32))
    series, study, frame = (generate_uid(entropy_srcs=[patient, str(seed), kind]) for kind in "abc")
    where.mkdir(parents=True, exist_ok=True)
    for number in sorted(set(range(32)) - set(lost)):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        slice_ = Dataset()
        slice_.file_meta = meta
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.PatientID, slice_.Modality = patient, "CT"
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = study, series, frame
        slice_.SeriesNumber, slice_.InstanceNumber, slice_.SliceThickness = seed, number + 1, 5.0
        slice_.ImagePositionPatient = [-160.0, -150.0, 5.0 * number]
        slice_.ImageOrientationPatient, slice_.PixelSpacing = [1, 0, 0, 0, 1, 0], [4.7, 5.0]
        slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = 64, 64, 1
        slice_.PhotometricInterpretation = "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1024
        # DICOM is in LPS, the phantom in RAS
        pixels = volume[::-1, ::-1, number].T + 1024
        slice_.PixelData = np.ascontiguousarray(pixels.clip(0)).astype(np.uint16).tobytes()
        pydicom.dcmwrite(where / f"{generate_uid()}.dat", slice_, enforce_file_format=True)


write_series(1, "anna", folder / "CD 1")
write_series(2, "anna", folder / "CD 1")
write_series(3, "ben", folder / "export" / "0001")
write_series(4, "cleo", folder / "export" / "0002", lost=(10, 11))
(folder / "DICOMDIR.txt").write_text("not an image")
print(len(list(folder.rglob("*.dat"))), "files")

# %% [markdown]
# ## Prepare
#
# `python -m monai_ssl prepare FOLDER STORE`. Series are found by their content; what cannot be used is reported with
# its reason and left out, and the rest goes on. `--strict` makes that an error, `--missing-slices fill` interpolates
# the gap.

# %%
from monai_ssl.cli.main import main as monai_ssl_command

store = work / "store"
status = monai_ssl_command(["prepare", str(folder), str(store), "--workers", "0"])
print("status", status)

# %% [markdown]
# The series of the third patient is refused, for two slices are missing: in a volume made of the rest, everything
# above the gap would lie 10 mm too low. Only what is new or changed is read when the command is given again.
#
# ## Inspect
#
# The store names patients by pseudonyms; the table that leads back stays in its folder `private`, which you do not
# share.

# %%
assert monai_ssl_command(["inspect", str(store)]) == 0
plt.figure(figsize=(8, 4), layout="tight")
plt.imshow(plt.imread(store / "sheet.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Read
#
# A scan is one memory map: a window is read without the rest. This is what the loader workers do.

# %%
from monai_ssl.store import Store

scans = Store(store)
print(len(scans), "scans, the first of", scans[0].shape)

# %% [markdown]
# From here on as in the quick start: `--dataset_dir your_dicom/store`. A raw folder works there too; it is then
# prepared once, beside the output.
