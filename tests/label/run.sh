#!/usr/bin/env bash
# From pre-training to annotation with a real MONAI Label server: bash tests/label/run.sh [FOLDER]
# Two minutes on two cores, and two more when the environment must be installed first (kept in LABEL_ENV).
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
environment=${LABEL_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/monai_ssl/label-env}
work=${1:-$(mktemp -d)}
port=${LABEL_PORT:-8123}

if [ ! -e "$environment/.complete" ]; then
    bash tests/label/install.sh "$environment"
    touch "$environment/.complete"
fi
mkdir -p "$work"
work=$(cd "$work" && pwd)
export PATH="$environment/bin:$PATH" PYTHONPATH="$repository:$repository/tests/label/torchvision_on_cpu"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MPLBACKEND=Agg PYTHONDONTWRITEBYTECODE=1
cd "$work"

echo "== scans, pre-training and handoff"
python "$repository/tests/label/scans.py" cohort studies held_back
python -m monai.bundle run pretrain --config_file "$repository/bundles/pcrlv2/configs/pretrain.json" \
    --bundle_root "$repository/bundles/pcrlv2" --dataset_dir cohort --output_dir pretrained --max_epochs 1 \
    --windows_per_scan 1 --batch_size 2 --num_workers 0 --widths "[4,8,16,32]" --roi_size "[32,32,16]" \
    > pretrain.log 2>&1 || { tail -5 pretrain.log; exit 1; }
monailabel apps --download --name monaibundle --output apps > apps.log 2>&1
python -m monai_ssl handoff --weights pretrained/encoder.safetensors --labels lung,heart --name thorax \
    --modality ct --roi-size 32 32 16 apps/monaibundle/model
# options are edited in the file, as a user would: enough training for predictions to change
python - apps/monaibundle/model/thorax/configs/train.json << 'END'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
config, edits = json.loads(path.read_text()), {"iterations_per_epoch": 8, "lr": 0.01, "num_workers": 0}
assert edits.keys() <= config.keys(), f"{path} has no longer all of {list(edits)}"
path.write_text(json.dumps({**config, **edits}, indent=4))
END

echo "== server"
monailabel start_server --app apps/monaibundle --studies studies --conf models thorax --conf zoo_source local \
    --conf sam2 false --host 127.0.0.1 --port "$port" > server.log 2>&1 &
server=$!
trap 'kill $server 2> /dev/null || true' EXIT
python "$repository/tests/label/drive.py" "http://127.0.0.1:$port" studies held_back apps/monaibundle/model/thorax \
    server.log \
    || { tail -30 server.log; exit 1; }
echo "passed; logs and bundle are in $work"
