"""The command ``galdse``.

Authors
 * The galdse developers
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from speechbrain.utils.fetching import fetch

from galdse_brain.arguments import add_model, new_command, number
from galdse_brain.card import models_text
from galdse_brain.compare import compare, compare_table
from galdse_brain.enhancing import add_enhance
from galdse_brain.evaluate import evaluate_folders, write_report
from galdse_brain.export import (
    export_model,
    export_published,
    export_run,
    publish,
)
from galdse_brain.inputs import is_folder
from galdse_brain.memory import keep_freed_memory
from galdse_brain.released import FOLDER, NAMES, packaged
from galdse_brain.scoring import all_metrics
from galdse_brain.to_onnx import write_onnx


def main(argv=None):
    """Run a command; the exit code is 1 if anything failed."""
    args = parser().parse_args(argv)
    keep_freed_memory()
    # What ends a job on a cluster, or closes a terminal, should leave no half
    # file either; what is ignored, as under nohup, stays so.
    ends = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    before = {end: signal.getsignal(end) for end in ends if end}
    for end, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(end, signal.default_int_handler)
    try:
        sys.exit(args.command(args))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"galdse: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("galdse: interrupted; no half file is left", file=sys.stderr)
        sys.exit(130)
    finally:
        for end, handler in before.items():
            signal.signal(end, handler)


def parser():
    """The arguments of all commands."""
    top = argparse.ArgumentParser(prog="galdse", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_enhance, _evaluate, _compare):
        add(commands)
    for add in (_export, _convert, _publish, _info, _models):
        add(commands)
    return top


def _evaluate(commands):
    add = new_command(commands, "evaluate", evaluate).add_argument
    add("--clean", required=True, metavar="DIR", help="what speech should be")
    add("--enhanced", required=True, metavar="DIR", help="files to score")
    add("--noisy", metavar="DIR", help="what was enhanced")
    add("--model", help="what has enhanced: cost, losses, controls")
    add("-o", "--output", metavar="OUT", help="folder for the report")
    add("--jobs", type=number(int, 0), default=os.cpu_count())


def evaluate(args):
    """Score a folder of enhanced speech against the clean originals.

    Files of one name belong together: mono, 16 kHz, of one length. With the
    noisy speech the scores are grouped by its SNR and stand beside its own;
    with the model, metrics that it was trained on are marked; with both, what
    its mask and a single step give is scored too. OUT gets results.csv,
    report.md and report.html.
    """
    report, wavs = evaluate_folders(
        all_metrics(),
        args.clean,
        args.enhanced,
        args.noisy,
        args.jobs,
        args.model,
    )
    if args.noisy is None:
        print("warning: no --noisy to compare with", file=sys.stderr)
    print(report.table("Scores"))
    for text in report.warnings():
        print(f"warning: {text}", file=sys.stderr)
    if args.output:
        print(write_report(args.output, report, wavs), file=sys.stderr)


def _compare(commands):
    add = new_command(commands, "compare", compare_two).add_argument
    for name in "AB":
        add(name, help="results.csv, or a folder that holds one")


def compare_two(args):
    """Say how much better B is than A, utterance by utterance."""
    print(compare_table(compare(args.A, args.B)))


def _add_folder(add, example, required=False):
    add("output", metavar="OUT", help="folder to make")
    add("--example", metavar="WAV", required=required, help=example)
    add("--overwrite", action="store_true", help="replace the folder")
    add("--onnx", action="store_true", help="ONNX files of the networks too")


def _export(commands):
    add = new_command(commands, "export", export).add_argument
    add(
        "run_folder",
        metavar="RUN",
        help="output_folder of a training, or a model",
    )
    _add_folder(add, example="noisy file to put in; default: of the test")


def export(args):
    """Make a folder that from_hparams loads, from a trained run or a model."""
    source = Path(packaged(args.run_folder))
    if (source / "enhance_model.ckpt").is_file():
        if args.example:
            args.misuse("--example is for a training; a model has its own")
        out = export_model(source, args.output, args.overwrite)
    else:
        out = export_run(source, args.output, args.example, args.overwrite)
    if args.onnx:
        write_onnx(out)
    print(out)


def _convert(commands):
    add = new_command(commands, "convert", convert).add_argument
    add("checkpoint", metavar="CKPT", help="file of the authors' own code")
    _add_folder(add, example="noisy file to put in", required=True)
    add("--raw", action="store_true", help="weights that were not averaged")


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
    add = new_command(commands, "publish", upload).add_argument
    add("folder", metavar="FOLDER", help="exported folder")
    add("--repo-id", required=True, help="such as user/galdse")
    add("--private", action="store_true", help="only you may see it")


def upload(args):
    """Upload an exported folder to the Hugging Face hub."""
    print(publish(args.folder, args.repo_id, args.private))


def _info(commands):
    add = new_command(commands, "info", info).add_argument
    add_model(add, "model", metavar="MODEL", nargs="?")


def info(args):
    """Say what a model is: parameters, steps, training, scores."""
    source = str(packaged(args.model))
    is_folder(source, "config.json")
    print(fetch("config.json", source).read_text(encoding="utf-8"))


def _models(commands):
    new_command(commands, "models", models)


def models(args):
    """List the models of the package: size, cost, scores, what each is for."""
    found = {
        name: json.loads((FOLDER / name / "config.json").read_text("utf-8"))
        for name in NAMES
    }
    print(models_text(found))


if __name__ == "__main__":
    main()
