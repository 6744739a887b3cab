"""The model that a command asks for, and what it is given through it.

Authors
 * The galdse developers
"""

import sys
import time
from io import BytesIO
from pathlib import Path

from galdse_brain.audio import Recording, opened_to_write
from galdse_brain.effort import set_precision
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.jobs import run_jobs, saved, summary
from galdse_brain.ranks import gathered, is_main, own_device, shard

STANDARD = Path("-")


def shared(args, jobs, options):
    """Outcomes of all jobs, of which this process does its share."""
    model, started = load(args), time.perf_counter()
    mine = [jobs[i] for i in shard(len(jobs))]
    options = {**options, "num_steps": args.steps(model)}
    own = run_jobs(model, mine, args.overwrite, is_main(), **options)
    outcomes = [outcome for share in gathered(own) for outcome in share]
    if is_main():
        print(summary(outcomes, started), file=sys.stderr)
    return outcomes


def load(args):
    """The model of the arguments, with its pieces."""
    run_opts = {"device": own_device(args.device)}
    try:
        model = GALDSEEnhancement.from_hparams(args.model, run_opts=run_opts)
    except OSError:
        raise
    except Exception as error:  # Loading runs whatever the YAML names.
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{args.model} cannot be loaded: {reason}") from error
    set_precision(model, args.precision)
    enhancer = model.mods.enhance_model
    changes = {}
    if args.chunk_seconds is not None:
        spec = enhancer.spec
        wanted = int(args.chunk_seconds * model.hparams.sample_rate)
        hops = spec.num_frames(wanted) - 1
        changes["num_samples"] = hops * spec.hop_length
        changes["overlap"] = hops // 4 * spec.hop_length
    if args.batch_size is not None:
        changes["at_once"] = args.batch_size
    enhancer.pieces = enhancer.pieces._replace(**changes).checked()
    return model


def enhance_stream(args, options):
    """Standard input or a file, to standard output as wav or to a file."""
    given, output = Path(args.inputs[0]), Path(args.output)
    if output != STANDARD and output.exists() and not args.overwrite:
        raise FileExistsError(f"{output} is there already")
    if given == STANDARD:
        wav = BytesIO(sys.stdin.buffer.read())
        source = Recording(wav, "standard input")
    else:
        source = Recording(given)
    model = load(args)
    options = {**options, "num_steps": args.steps(model)}
    blocks = model.enhance_blocks(source, **options)
    if output != STANDARD:
        for _ in saved(blocks, source, output):
            pass
        return 0
    target = BytesIO()
    with opened_to_write(target, "standard output.wav", source) as write:
        for block in blocks:
            write(block)
    sys.stdout.buffer.write(target.getvalue())
    return 0
