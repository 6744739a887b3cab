"""Many files: what is enhanced to what, and what became of it.

Authors
 * The galdse developers
"""

import csv
import glob
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from galdse_brain.audio import SUFFIXES, Recording, whole, written

BAR = "{l_bar}{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}{postfix}]"


class Outcome(NamedTuple):
    """What became of a file: its seconds, the error, or that it was there."""

    source: Path
    target: Path
    seconds: float = 0.0
    error: str = ""
    skipped: bool = False


def planned(inputs, output):
    """Pairs of source and target.

    Arguments
    ---------
    inputs : list of str or pathlib.Path
        Files, folders (all audio files below them, without those in
        ``output``) and globs.
    output : str or pathlib.Path
        A folder; for a single file also a file, if it has a suffix.

    Returns
    -------
    jobs : list of (pathlib.Path, pathlib.Path)
        FileNotFoundError for an input that is not there, ValueError if two
        inputs would have one output, or one would be its own.
    """
    output, jobs = Path(output), []
    if "" in inputs:
        raise FileNotFoundError("an empty name is no file, folder or pattern")
    for given in map(Path, inputs):
        found = [given] if given.exists() else sorted(_matches(given, output))
        for path in found:
            is_dir = path.is_dir()
            below = sorted(_audio_files(path, output)) if is_dir else [path]
            base = path if is_dir else path.parent
            jobs += [(one, output / one.relative_to(base)) for one in below]
    one_file = len(jobs) == 1 and not any(Path(i).is_dir() for i in inputs)
    if one_file and output.suffix and not output.is_dir():
        jobs = [(jobs[0][0], output)]
    return checked(jobs)


def checked(jobs):
    """Jobs without repetitions.

    ValueError if two sources would have one target, or one would be its own.
    """
    owners = {}
    for source, target in jobs:
        other = owners.setdefault(target, source)
        if other.resolve() != source.resolve():
            raise ValueError(f"{other} and {source} would both become {target}")
        if target.resolve() == source.resolve():
            raise ValueError(f"{source} would be replaced, choose another name")
    return [(source, target) for target, source in owners.items()]


def _matches(pattern, output):
    found = [Path(name) for name in glob.glob(str(pattern), recursive=True)]
    made = output.resolve()
    found = [path for path in found if made not in path.resolve().parents]
    if not found:
        raise FileNotFoundError(f"{pattern} is no file, folder or pattern")
    return found


def _audio_files(folder, output):
    made = output.resolve()
    inside = folder.resolve() in made.parents
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not (inside and made in path.resolve().parents)
    ]
    if not found:
        raise FileNotFoundError(f"{folder} holds no audio file")
    return found


def saved(blocks, source, path):
    """Hand blocks on while they are written; with the last, the file is there.

    Arguments
    ---------
    blocks : iterable of torch.Tensor
        Blocks (C, n) at the rate of ``source``.
    source : Recording
        Whose rate, channels and encoding the file gets.
    path : str or pathlib.Path
        Its suffix chooses the format.

    Yields
    ------
    block : torch.Tensor
        The same blocks.
    """
    with written(path, source) as write:
        for block in blocks:
            write(block)
            yield block


def bar(total, disable=False):
    """A progress bar in seconds of audio, on standard error."""
    return tqdm(total=total, bar_format=BAR, disable=disable)


def run_jobs(model, jobs, overwrite=False, progress=True, **options):
    """Enhance files one after the other; a failure does not stop the rest.

    Arguments
    ---------
    model : GALDSEEnhancement
        The enhancer.
    jobs : list of (pathlib.Path, pathlib.Path)
        Sources and targets, see ``planned``.
    overwrite : bool
        Enhance again what is there already.
    progress : bool
        Show a bar of the seconds of audio.
    **options
        For ``enhance_blocks``.

    Returns
    -------
    outcomes : list of Outcome
        One for each job.
    """
    total, outcomes = sum(_seconds(source) for source, _ in jobs), []
    with bar(total, disable=not progress) as shown:
        for source, target in jobs:
            shown.set_postfix_str(source.name)
            try:
                if target.is_file() and not overwrite:
                    shown.update(_seconds(source))
                    outcomes.append(Outcome(source, target, skipped=True))
                    continue
                recording = Recording(source)
                blocks = model.enhance_blocks(recording, **options)
                with closing(saved(blocks, recording, target)) as made:
                    for block in made:
                        shown.update(block.shape[-1] / recording.sample_rate)
            except (OSError, ValueError, RuntimeError) as error:
                outcomes.append(
                    Outcome(source, target, error=str(error) or repr(error))
                )
            else:
                seconds = recording.num_samples / recording.sample_rate
                outcomes.append(Outcome(source, target, seconds))
    return outcomes


def _seconds(source):
    try:
        recording = Recording(source)
    except (OSError, ValueError):
        return 0.0
    return recording.num_samples / recording.sample_rate


def summary(outcomes, started):
    """Lines for people: failures, files, seconds of audio, speed.

    Arguments
    ---------
    outcomes : list of Outcome
        See ``run_jobs``.
    started : float
        ``time.perf_counter()`` before the first file.

    Returns
    -------
    text : str
    """
    elapsed = time.perf_counter() - started
    failed = [outcome for outcome in outcomes if outcome.error]
    skipped = sum(outcome.skipped for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines = [f"failed: {one.source}: {one.error}" for one in failed]
    done = len(outcomes) - len(failed) - skipped
    line = f"{done} enhanced, {skipped} there already, {len(failed)} failed"
    if seconds:
        line += (
            f"; {seconds:.1f} s of audio in {elapsed:.1f} s, real-time "
            f"factor {elapsed / seconds:.2f}"
        )
    return "\n".join([*lines, line])


def write_outcomes(outcomes, path):
    """Write what became of each file as CSV, one line a file."""
    how = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with whole(path) as half, open(half, "w", **how) as file:
        writer = csv.writer(file)
        writer.writerow(Outcome._fields)
        writer.writerows(outcomes)
