"""The command ``galdse enhance``: what it asks for, and what does the work.

Authors
 * The galdse developers
"""

import sys
import time
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile

import torch

from galdse_brain.arguments import add_model, device, new_command, number, steps
from galdse_brain.audio import Recording, opened_to_write, written
from galdse_brain.effort import PRECISIONS, own_steps, set_precision
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.jobs import (
    Outcome,
    bar,
    checked,
    planned,
    run_jobs,
    summary,
    write_outcomes,
)
from galdse_brain.manifests import (
    check_ours,
    manifest_jobs,
    read_manifest,
    write_manifest,
)
from galdse_brain.ranks import gathered, is_main, joined, own_device, shard

STANDARD = Path("-")
GPUS = {"cuda": 1}  # Of each model, by the kind of its device.


def add_enhance(commands):
    """Add the command and its arguments."""
    add = new_command(commands, "enhance", enhance).add_argument
    add("inputs", nargs="*", metavar="IN", help="file, folder, 'glob' or -")
    add("-o", "--output", required=True, metavar="OUT")
    add_model(add, "--model")
    add("--manifest", help="SpeechBrain's JSON with noisy_wav instead of IN")
    add("--data-root", default="", help="for {data_root} in the manifest")
    add("--device", type=device, default="cpu", help="such as cuda or cuda:1")
    add(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="auto: bf16 where it is fast and the model keeps its scores",
    )
    add(
        "--steps",
        type=steps,
        default=own_steps,
        metavar="N",
        help="calls of the network, 0: the guidance alone; auto: the fewest "
        "that keep the scores",
    )
    add("--seed", type=number(int, 0), default=0, help="of the noise")
    add(
        "--mix",
        type=number(float, 0, 1),
        default=0.0,
        help="share of noisy speech, 0 to 1",
    )
    add(
        "--chunk-seconds",
        type=number(float, 0.1, 3600),
        help="length of the pieces; the last has half to one and a half of it",
    )
    add("--batch-size", type=number(int, 1), help="pieces at once")
    add("--overwrite", action="store_true", help="enhance again what is there")
    add("--plot", action="store_true", help="a picture beside every file")
    add("--table", metavar="CSV", help="write what became of each file")
    add(
        "--engine",
        default="process",
        choices=ENGINES,
        help="ray: a pool of models, on this machine or on a Ray cluster",
    )
    add("--workers", type=number(int, 1), help="models of the pool")


def enhance(args):
    """Enhance files, folders, or standard input (wav) to standard output.

    Files keep their rate, channels, length and names. What is there already
    is not enhanced again, so that an interrupted run can be continued.
    Under torchrun the processes share the files.
    """
    if bool(args.inputs) == bool(args.manifest):
        args.misuse("give either IN or --manifest")
    pooled = ENGINES[args.engine] is _with_ray
    if args.workers and not pooled:
        args.misuse("--workers is for --engine ray")
    output, entries, failures = Path(args.output), {}, []
    if STANDARD in map(Path, [*args.inputs, output]):
        if len(args.inputs) != 1 or args.plot or args.table or pooled:
            args.misuse("- takes one IN, no --plot, --table or --engine ray")
        return _enhance_stream(args)
    if args.plot:
        from galdse_brain.pictures import plot  # needs matplotlib
    if args.manifest:
        entries = read_manifest(args.manifest, args.data_root)
        made = output / Path(args.manifest).name
        jobs = checked(manifest_jobs(entries, output))
        checked([(Path(args.manifest), made)])
        if not args.overwrite:
            check_ours(made)
    else:
        jobs = planned(args.inputs, output)
    with joined():
        outcomes = _shared(args, jobs)
        if is_main() and args.manifest:
            write_manifest(entries, output, made)
        if is_main() and args.table:
            write_outcomes(outcomes, args.table)
        if is_main() and args.plot:
            failures = plot(outcomes)
            for failure in failures:
                print(f"no picture: {failure}", file=sys.stderr)
    return int(any(outcome.error for outcome in outcomes) or bool(failures))


def _shared(args, jobs):
    """Outcomes of all jobs, of which this process does its share."""
    started = time.perf_counter()
    mine = [jobs[i] for i in shard(len(jobs))]
    how = {"overwrite": args.overwrite, "seed": args.seed, "mix": args.mix}
    own = ENGINES[args.engine](args, mine, **how)
    outcomes = [outcome for share in gathered(own) for outcome in share]
    if is_main():
        print(summary(outcomes, started), file=sys.stderr)
    return outcomes


def _in_process(args, jobs, **how):
    return run_jobs(loader(args)(), jobs, progress=is_main(), **how)


def _with_ray(args, jobs, **how):
    try:
        from galdse_brain.ray_jobs import run_with_ray
    except ImportError as error:
        raise ImportError(
            f"--engine ray: {error}; pip install 'galdse[ray]'"
        ) from error
    num_gpus = GPUS.get(torch.device(args.device).type, 0)
    return run_with_ray(loader(args), jobs, args.workers, num_gpus, **how)


ENGINES = {"process": _in_process, "ray": _with_ray}


def loader(args):
    """() -> the model of the arguments, in this process or in another."""
    return partial(
        load,
        args.model,
        args.device,
        args.precision,
        args.steps,
        args.chunk_seconds,
        args.batch_size,
    )


def load(source, device, precision, steps, chunk_seconds, batch_size):
    """A model with the device, precision, steps and pieces of a command."""
    device = own_device(device)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {error}") from error
    run_opts = {"device": device}
    try:
        model = GALDSEEnhancement.from_hparams(source, run_opts=run_opts)
    except OSError:
        raise
    except Exception as error:  # Loading runs whatever the YAML names.
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{source} cannot be loaded: {reason}") from error
    set_precision(model, precision)
    enhancer = model.mods.enhance_model
    enhancer.num_steps = steps(model)
    spec, pieces = enhancer.spec, enhancer.pieces
    if chunk_seconds is not None:
        wanted = int(chunk_seconds * model.hparams.sample_rate)
        samples = (spec.num_frames(wanted) - 1) * spec.hop_length
        pieces = pieces.scaled(samples, spec.hop_length, spec.frame_multiple)
    if batch_size is not None:
        pieces = pieces._replace(at_once=batch_size)
    enhancer.pieces = pieces.checked()
    return model


def _enhance_stream(args):
    """Standard input or a file, to standard output as wav or to a file."""
    given, output = Path(args.inputs[0]), Path(args.output)
    if output != STANDARD and output.exists() and not args.overwrite:
        raise FileExistsError(f"{output} is there already")
    # Not in memory: what is piped can be hours long.
    with TemporaryFile() as piped, TemporaryFile() as made:
        if given == STANDARD:
            if sys.stdin is None:
                raise ValueError("standard input is closed")
            copyfileobj(sys.stdin.buffer, piped)
            source = Recording(piped, "standard input")
        else:
            source = Recording(given)
        model, started = loader(args)(), time.perf_counter()
        blocks = model.enhance_blocks(source, seed=args.seed, mix=args.mix)
        seconds = source.num_samples / source.sample_rate
        with bar(seconds) as progress:
            if output == STANDARD:
                out = opened_to_write(made, "standard output.wav", source)
            else:
                out = written(output, source)
            with out as write:
                for block in blocks:
                    write(block)
                    progress.update(block.shape[-1] / source.sample_rate)
        if output == STANDARD:
            made.seek(0)
            copyfileobj(made, sys.stdout.buffer)
    print(summary([Outcome(given, output, seconds)], started), file=sys.stderr)
    return 0
