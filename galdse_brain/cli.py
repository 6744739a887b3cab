"""The command ``galdse``.

Authors
 * The galdse developers
"""

import argparse
import math
import os
import signal
import sys
from pathlib import Path

import torch
from speechbrain.utils.fetching import fetch

from galdse_brain.compare import compare, compare_table
from galdse_brain.effort import AUTO_STEPS, PRECISIONS
from galdse_brain.evaluate import evaluate_folders, write_report
from galdse_brain.export import export_published, export_run, publish
from galdse_brain.inference import is_folder
from galdse_brain.jobs import checked, planned
from galdse_brain.loading import STANDARD, enhance_stream, shared
from galdse_brain.manifests import (
    manifest_jobs,
    read_manifest,
    write_manifest,
)
from galdse_brain.ranks import is_main, joined
from galdse_brain.released import FOLDER
from galdse_brain.scoring import all_metrics
from galdse_brain.to_onnx import write_onnx

ONNX = "write the networks as ONNX files too"


def main(argv=None):
    """Run a command; the exit code is 1 if anything failed."""
    args = parser().parse_args(argv)
    # What ends a job on a cluster should leave no half file either.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(args.command(args))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"galdse: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("galdse: interrupted; no half file is left", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)


def parser():
    """The arguments of all commands."""
    top = argparse.ArgumentParser(prog="galdse", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add in (_enhance, _evaluate, _compare):
        add(commands)
    for add in (_export, _convert, _publish, _info):
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
    add(
        "--model",
        default=str(FOLDER),
        help="exported folder or name on the hub; default: the package's own",
    )
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


def _evaluate(commands):
    add = _new(commands, "evaluate", evaluate).add_argument
    add("--clean", required=True, metavar="DIR", help="what speech should be")
    add("--enhanced", required=True, metavar="DIR", help="files to score")
    add("--noisy", metavar="DIR", help="what was enhanced")
    add("-o", "--output", metavar="OUT", help="folder for the report")
    add("--jobs", type=_number(int, 0), default=os.cpu_count())


def evaluate(args):
    """Score a folder of enhanced speech against the clean originals.

    Files of one name belong together: mono, 16 kHz, of one length. With the
    noisy speech the scores are grouped by its SNR. OUT gets results.csv,
    report.md and report.html.
    """
    folders = args.clean, args.enhanced, args.noisy
    report, wavs = evaluate_folders(all_metrics(), *folders, args.jobs)
    print(report.table("Scores"))
    for text in report.warnings():
        print(f"warning: {text}", file=sys.stderr)
    if args.output:
        print(write_report(args.output, report, wavs), file=sys.stderr)


def _compare(commands):
    add = _new(commands, "compare", compare_two).add_argument
    for name in "AB":
        add(name, help="results.csv, or a folder that holds one")


def compare_two(args):
    """Say how much better B is than A, utterance by utterance."""
    print(compare_table(compare(args.A, args.B)))


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
    add(
        "model",
        metavar="MODEL",
        nargs="?",
        default=str(FOLDER),
        help="exported folder or name on the hub; default: the package's own",
    )


def info(args):
    """Say what a model is: parameters, steps, training, scores."""
    is_folder(args.model, "config.json")
    print(fetch("config.json", args.model).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
