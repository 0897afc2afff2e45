#!/usr/bin/env bash
# An environment that serves MONAI Label 0.8.5 offline: bash tests/label/install.sh FOLDER. About two minutes.
#
# MONAI Label's own requirements cannot be installed beside NumPy 2 and a CPU build of torch, so its parts are named
# one by one: pydicom-seg pins numpy<2 and imports what pydicom 3 has removed; dicomweb-client 0.61 needs pydicom 3.
set -euo pipefail
folder=${1:?name the folder of the environment}
python=${PYTHON:-python3}

"$python" -m venv "$folder"
pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" "torch==2.13.0"
"${pip[@]}" --no-deps "torchvision==0.28.0" "monailabel==0.8.5" "pydicom-seg==0.4.1"
"${pip[@]}" "torch==2.13.0" "monai==1.6.1" "pytorch-ignite==0.5.5" "pydicom<3" "dicomweb-client[gcp]<0.61" \
    nibabel itk SimpleITK pynrrd scikit-image shapely psutil jsonschema \
    fastapi uvicorn python-multipart pydantic pydantic-settings pyjwt requests cachetools passlib schedule timeloop \
    watchdog expiring_dict girder-client \
    "mlflow>=3.15" fire safetensors pillow matplotlib tqdm filelock setuptools
