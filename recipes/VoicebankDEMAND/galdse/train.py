#!/usr/bin/env python3
"""Recipe for training a diffusion speech enhancer on VoiceBank-DEMAND.

To run this recipe, do the following:
> python train.py hparams/galdse.yaml --data_folder /path/to/VoiceBank-DEMAND

On several GPUs:
> torchrun --standalone --nproc_per_node=4 train.py hparams/galdse.yaml ...

Authors
 * The galdse developers
"""

import sys

import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.distributed import ddp_init_group, run_on_main
from voicebank_prepare import prepare_voicebank

from galdse_brain.brain import EnhancementBrain
from galdse_brain.export import export_run
from galdse_brain.memory import keep_freed_memory
from galdse_brain.recipe import read_recipe, save_resolved

if __name__ == "__main__":
    keep_freed_memory()
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    ddp_init_group(run_opts)
    hparams = load_hyperpyyaml(read_recipe(hparams_file, overrides))
    sb.create_experiment_directory(hparams["output_folder"])
    run_on_main(
        save_resolved, [hparams_file, overrides, hparams["output_folder"]]
    )

    run_on_main(
        prepare_voicebank,
        kwargs={
            "data_folder": hparams["data_folder"],
            "save_folder": hparams["save_folder"],
            "valid_speakers": hparams["valid_speakers"],
            "download": hparams["download"],
            "skip_prep": hparams["skip_prep"],
            "splits": list(hparams["annotations"]),
        },
    )
    datasets = hparams["datasets"]()

    brain = EnhancementBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit(
        epoch_counter=hparams["epoch_counter"],
        train_set=datasets["train"],
        valid_set=datasets["valid"],
        train_loader_kwargs=hparams["train_dataloader_opts"],
        valid_loader_kwargs=hparams["valid_dataloader_opts"],
    )
    brain.evaluate(
        test_set=datasets["test"],
        max_key=hparams["selection_metric"],
        test_loader_kwargs=hparams["test_dataloader_opts"],
    )
    if not brain.debug:
        run_on_main(
            export_run,
            kwargs={
                "run_folder": hparams["output_folder"],
                "out": hparams["exported_folder"],
                "overwrite": True,
            },
        )
