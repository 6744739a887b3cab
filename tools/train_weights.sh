#!/usr/bin/env bash
# Train the weights that come with the package.
#
#   tools/train_weights.sh SPEECH NOISE PAIRS RUN [OPTIONS OF train.py]
#
# SPEECH and NOISE hold a folder for each speaker and each kind of noise, PAIRS
# a corpus with validation and test pairs (see the recipe's README), RUN gets
# checkpoints and log. Learning rate and budget are those of
# galdse_weights.yaml; `--max_minutes 60 --device cuda` replaces them. The same
# command with more minutes goes on from the state that it finds in RUN. The
# test comes last, on pairs that neither training nor selection has seen; then
# the validation pairs say how many steps the packaged model should take.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
speech=$(realpath "$1") noise=$(realpath "$2") pairs=$(realpath "$3")
mkdir -p "$4"
run=$(realpath "$4")
shift 4
cd "$(dirname "$0")/.."
python recipes/VoicebankDEMAND/galdse/train.py \
    recipes/VoicebankDEMAND/galdse/hparams/galdse_weights.yaml \
    --data_folder "$pairs" --output_folder "$run" \
    --mixing "{speech_folders: ['$speech'], noise_folders: ['$noise']}" "$@"
python benchmarks/steps.py "$run/exported" "$pairs/valid/noisy" \
    "$pairs/valid/clean"
echo "now: python tools/package_weights.py $run/exported --steps N, and what the table says of bf16"
