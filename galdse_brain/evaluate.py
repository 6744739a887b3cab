"""Scores of a folder of enhanced speech against the clean originals.

Authors
 * The galdse developers
"""

import os
from pathlib import Path

import soundfile
import torch

from galdse_brain.composite import composite
from galdse_brain.metrics import SAMPLE_RATE, estoi, pesq_nb, si_sdr, stoi
from galdse_brain.results import Results

STANDARD = {
    "pesq, csig, cbak, covl, seg_snr": composite,
    "pesq_nb": pesq_nb,
    "stoi": stoi,
    "estoi": estoi,
    "si_sdr": si_sdr,
}
SUFFIXES = {".wav", ".flac", ".ogg"}


def find(folder):
    """Name without suffix, relative to the folder, to path, sorted.

    ValueError names two files of one name, FileNotFoundError a folder
    without files.
    """
    folder, found = Path(folder), {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{found[name]} and {path} have one name")
        found[name] = path
    if not found:
        raise FileNotFoundError(f"no {', '.join(SUFFIXES)} in {folder}")
    return found


def check_names(first, second):
    """ValueError names a file that only one of two folders has."""
    for here, there in ((first, second), (second, first)):
        missing = sorted(find(here).keys() - find(there).keys())
        if missing:
            raise ValueError(
                f"{find(here)[missing[0]]} has no partner in {there} "
                f"({len(missing)} such files)"
            )


def check_pair(first, second):
    """ValueError names two files that differ in length, rate or channels."""
    infos = soundfile.info(first), soundfile.info(second)
    for what, values in {
        "Hz": [info.samplerate for info in infos],
        "channels": [info.channels for info in infos],
        "samples": [info.frames for info in infos],
    }.items():
        if values[0] != values[1]:
            raise ValueError(
                f"{first} has {values[0]} {what} but {second} has {values[1]}"
            )
    if (infos[0].samplerate, infos[0].channels) != (SAMPLE_RATE, 1):
        raise ValueError(
            f"{first} has {infos[0].samplerate} Hz and {infos[0].channels} "
            f"channels; scores are defined for mono at {SAMPLE_RATE} Hz"
        )


def read(path):
    """Waveform (N,) of a file."""
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def evaluate_folders(
    clean,
    enhanced,
    noisy=None,
    out=None,
    metrics=STANDARD,
    n_jobs=None,
    facts=None,
    in_loss=(),
):
    """Score all files of a folder, and write the report.

    Arguments
    ---------
    clean, enhanced, noisy : str or pathlib.Path
        Folders with files of equal names (wav, flac, ogg), mono at 16 kHz. The
        noisy speech is scored too, and gives input SNR, SI-SIR and SI-SAR.
    out : str or pathlib.Path, optional
        Gets ``results.csv``, ``report.md`` and ``report.html``.
    metrics : dict
        See ``Results``.
    n_jobs : int, optional
        Processes, all processors by default.
    facts : dict, optional
        Name to text, for the head of the report, such as seed and checkpoint.
    in_loss : iterable of str
        Metrics that the system was trained on; the report marks them.

    Returns
    -------
    results : Results
        Signals ``clean``, ``enhanced`` and perhaps ``noisy``. ValueError names
        files that differ in name, length or rate.
    """
    folders = {"noisy": noisy, "enhanced": enhanced, "clean": clean}
    folders = {title: f for title, f in folders.items() if f is not None}
    for folder in folders.values():
        check_names(clean, folder)
    paths = {title: find(folder) for title, folder in folders.items()}
    for names in paths.values():
        for name, path in names.items():
            check_pair(paths["clean"][name], path)

    def wavs(name):
        return {title: read(names[name]) for title, names in paths.items()}

    results = Results(metrics, os.cpu_count() if n_jobs is None else n_jobs)
    for name in paths["clean"]:
        pair = wavs(name)
        results.add_utterance(
            *(name, {"enhanced": pair["enhanced"]}, pair["clean"]),
            noisy=pair.get("noisy"),
        )
    results.collect()
    if out is not None:
        from galdse_brain.page import write_report  # Needs the extra plot.

        facts = {**folders, **(facts or {})}
        write_report(out, results, wavs, facts, in_loss=in_loss)
    return results
