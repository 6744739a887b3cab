#!/usr/bin/env bash
# Train the weights that come with the package.
#
#   tools/train_weights.sh SPEECH NOISE PAIRS RUN [OPTIONS OF train.py]
#
# SPEECH and NOISE hold a folder for each speaker and each kind of noise, PAIRS
# a corpus with validation and test pairs (see the recipe's README), RUN gets
# two runs: six_steps, then one_step, which goes on from it through one step of
# the sampler. Learning rates and budgets are those of galdse_weights.yaml and
# galdse_weights_crp.yaml; options hold for both: `--max_minutes 15 --device
# cuda`. The same command with more minutes goes on from the state that it
# finds in RUN; once the second stage has begun the first is left alone. Each
# ends with its test, on pairs that neither training nor selection has seen;
# then the validation pairs say how many steps the packaged model should take.
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
train() {
    python recipes/VoicebankDEMAND/galdse/train.py \
        "recipes/VoicebankDEMAND/galdse/hparams/$1.yaml" \
        --data_folder "$pairs" --output_folder "$2" --mixing \
        "{speech_folders: ['$speech'], noise_folders: ['$noise'], items: $3}" \
        "${@:4}"
}
[ -d "$run/one_step/save" ] || train galdse_weights "$run/six_steps" 4000 "$@"
train galdse_weights_crp "$run/one_step" 1600 \
    --start_from "$run/six_steps" "$@"
model=$run/one_step/exported
python benchmarks/steps.py "$model" "$pairs/valid/noisy" "$pairs/valid/clean"
echo "now: python tools/package_weights.py $model --steps N, and what the table says of bf16"
