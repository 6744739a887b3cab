"""The command ``galdse``.

Authors
 * The galdse developers
"""

import argparse
import math
import sys
import time
from io import BytesIO
from pathlib import Path

import torch
from speechbrain.utils.fetching import fetch

from galdse_brain.audio import Recording, opened_to_write
from galdse_brain.effort import AUTO_STEPS, PRECISIONS, set_precision
from galdse_brain.export import export_published, export_run, publish
from galdse_brain.inference import GALDSEEnhancement, is_folder
from galdse_brain.jobs import checked, planned, run_jobs, saved, summary
from galdse_brain.manifests import (
    manifest_jobs,
    read_manifest,
    write_manifest,
)
from galdse_brain.ranks import (
    gathered,
    is_main,
    joined,
    own_device,
    shard,
)
from galdse_brain.to_onnx import write_onnx

STANDARD = Path("-")
ONNX = "write the networks as ONNX files too"


def main(argv=None):
    """Run a command; the exit code is 1 if anything failed."""
    args = parser().parse_args(argv)
    try:
        sys.exit(args.command(args))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"galdse: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("galdse: interrupted; no half file is left", file=sys.stderr)
        sys.exit(130)


def parser():
    """The arguments of all commands."""
    top = argparse.ArgumentParser(prog="galdse", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add in (_enhance, _export, _convert, _publish, _info):
        add(commands)
    return top


def _new(commands, name, run):
    command = commands.add_parser(
        name, help=run.__doc__.splitlines()[0], description=run.__doc__
    )
    command.set_defaults(command=run, misuse=command.error)
    return command


def _number(kind, low, high=math.inf):
    """For argparse: a number from ``low`` to ``high``."""

    def number(text):
        value = kind(text)
        if not low <= value <= high:
            limits = (
                f"at least {low}" if high == math.inf else f"{low} to {high}"
            )
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    return number


def steps(text):
    """For argparse: what tells the number of steps from a model."""
    if text in AUTO_STEPS:
        return AUTO_STEPS[text]
    number = _number(int, 1)(text)
    return lambda model: number


def _device(name):
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from error
    return name


def _enhance(commands):
    add = _new(commands, "enhance", enhance).add_argument
    add("inputs", nargs="*", metavar="IN", help="file, folder, 'glob' or -")
    add("-o", "--output", required=True, metavar="OUT")
    add("--model", required=True, help="exported folder or name on the hub")
    add("--manifest", help="SpeechBrain's JSON with noisy_wav instead of IN")
    add("--data-root", default="", help="for {data_root} in the manifest")
    add("--device", type=_device, default="cpu", help="such as cuda or cuda:1")
    add(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="auto: bf16 where it is fast and the model keeps its scores",
    )
    add(
        "--steps",
        type=steps,
        default=lambda model: None,
        metavar="N",
        help="calls of the network; auto: the fewest that keep the scores",
    )
    add("--seed", type=_number(int, 0), default=0, help="of the noise")
    add(
        "--mix",
        type=_number(float, 0, 1),
        default=0.0,
        help="share of noisy speech, 0 to 1",
    )
    add(
        "--chunk-seconds",
        type=_number(float, 0.1, 3600),
        help="length of the pieces",
    )
    add("--batch-size", type=_number(int, 1), help="pieces at once")
    add("--overwrite", action="store_true", help="enhance again what is there")
    add("--plot", action="store_true", help="a picture beside every file")


def enhance(args):
    """Enhance files, folders, or standard input (wav) to standard output.

    Files keep their rate, channels, length and names. What is there already
    is not enhanced again, so that an interrupted run can be continued.
    Under torchrun the processes share the files.
    """
    if bool(args.inputs) == bool(args.manifest):
        args.misuse("give either IN or --manifest")
    options = {"seed": args.seed, "mix": args.mix}
    output, entries = Path(args.output), {}
    if STANDARD in map(Path, [*args.inputs, output]):
        if len(args.inputs) != 1 or args.plot:
            args.misuse("- takes one IN and no --plot")
        return enhance_stream(args, options)
    if args.plot:
        from galdse_brain.pictures import plot  # needs matplotlib
    if args.manifest:
        entries = read_manifest(args.manifest, args.data_root)
        made = output / Path(args.manifest).name
        jobs = checked(manifest_jobs(entries, output))
        checked([(Path(args.manifest), made)])
    else:
        jobs = planned(args.inputs, output)
    with joined():
        outcomes = shared(args, jobs, options)
        if is_main() and args.manifest:
            write_manifest(entries, output, made)
        if is_main() and args.plot:
            plot(outcomes)
    return int(any(outcome.error for outcome in outcomes))


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


def _export(commands):
    add = _new(commands, "export", export).add_argument
    add("run_folder", metavar="RUN_FOLDER", help="output_folder of a training")
    add("output", metavar="OUT", help="folder to make")
    add("--example", metavar="WAV", help="noisy file to put in")
    add("--overwrite", action="store_true", help="replace the folder")
    add("--onnx", action="store_true", help=ONNX)


def export(args):
    """Make a folder that from_hparams loads, from a trained run."""
    out = export_run(args.run_folder, args.output, args.example, args.overwrite)
    if args.onnx:
        write_onnx(out)
    print(out)


def _convert(commands):
    add = _new(commands, "convert", convert).add_argument
    add("checkpoint", metavar="CKPT", help="file of the authors' own code")
    add("output", metavar="OUT", help="folder to make")
    add("--example", metavar="WAV", required=True, help="noisy file to put in")
    add("--raw", action="store_true", help="weights that were not averaged")
    add("--overwrite", action="store_true", help="replace the folder")
    add("--onnx", action="store_true", help=ONNX)


def convert(args):
    """Make a folder that from_hparams loads, from a published checkpoint."""
    out = export_published(
        args.checkpoint,
        args.output,
        args.example,
        averaged=not args.raw,
        overwrite=args.overwrite,
    )
    if args.onnx:
        write_onnx(out)
    print(out)


def _publish(commands):
    add = _new(commands, "publish", upload).add_argument
    add("folder", metavar="FOLDER", help="exported folder")
    add("--repo-id", required=True, help="such as user/galdse")
    add("--private", action="store_true", help="only you may see it")


def upload(args):
    """Upload an exported folder to the Hugging Face hub."""
    print(publish(args.folder, args.repo_id, args.private))


def _info(commands):
    add = _new(commands, "info", info).add_argument
    add("model", metavar="MODEL", help="exported folder or name on the hub")


def info(args):
    """Say what a model is: parameters, steps, training, scores."""
    is_folder(args.model, "config.json")
    print(fetch("config.json", args.model).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
