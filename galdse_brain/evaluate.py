"""Scores of a folder of enhanced speech, and the report of any test.

Authors
 * The galdse developers
"""

import hashlib
import logging
from pathlib import Path
from types import SimpleNamespace

import soundfile
import torch
from tqdm import tqdm

from galdse_brain.audio import SUFFIXES, Recording
from galdse_brain.cost import cost
from galdse_brain.enhancer import Enhancer
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import SAMPLE_RATE
from galdse_brain.report import Report, trained_on
from galdse_brain.results import CONTROL, REFERENCE, SYSTEM, Results
from galdse_brain.runs import losses_of
from galdse_brain.scoring import Scorer
from galdse_brain.systems.parts import controls

logger = logging.getLogger(__name__)


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
        raise FileNotFoundError(f"{folder} holds no audio file")
    return found


def paired(folders):
    """Utterance to title to path, of a dict of title to folder.

    ValueError names a file that a folder lacks, that differs from its partner
    in length, or that is not mono at 16 kHz.
    """
    files = {title: find(folder) for title, folder in folders.items()}
    names = sorted(set().union(*files.values()))
    for title, paths in files.items():
        lost = [name for name in names if name not in paths]
        if lost:
            raise ValueError(
                f"{folders[title]} lacks {lost[0]!r} ({len(lost)} such files)"
            )
    utterances = {
        name: {title: paths[name] for title, paths in files.items()}
        for name in names
    }
    for paths in utterances.values():
        _check(paths.values())
    return utterances


def _check(paths):
    lengths = {}
    for file in map(Recording, paths):
        if (file.sample_rate, file.channels) != (SAMPLE_RATE, 1):
            raise ValueError(
                f"{file.name} has {file.sample_rate} Hz and {file.channels} "
                f"channels; scores are defined for mono at {SAMPLE_RATE} Hz"
            )
        lengths.setdefault(file.num_samples, file.name)
    if len(lengths) > 1:
        (n, name), (other_n, other), *_ = lengths.items()
        raise ValueError(
            f"{name} has {n} samples but {other} has {other_n}; partners have "
            "one length"
        )


def read(paths):
    """Title to waveform (N,), of a dict of title to path."""
    return {
        title: torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        for title, path in paths.items()
    }


def facts_of(enhancer):
    """Name to text: what a report says of weights, and what they cost."""
    digest = hashlib.sha256()
    for _, tensor in sorted(enhancer.state_dict().items()):
        digest.update(tensor.cpu().numpy().tobytes())
    return {
        "weights": f"SHA-256 {digest.hexdigest()[:12]} of their values",
        **cost(enhancer, "cpu"),
    }


def with_controls(wavs, enhancer):
    """Add what the controls of an enhancer make of the noisy speech.

    Arguments
    ---------
    wavs : dict
        Title to waveform (N,), the noisy one among them.
    enhancer : Enhancer
        What has enhanced.

    Returns
    -------
    wavs : dict
        The noisy speech, the controls, then the others.
    """
    noisy = wavs[REFERENCE]
    made = {REFERENCE: noisy}
    for title, enhance in controls(enhancer.system).items():
        control = Enhancer(
            SimpleNamespace(enhance=enhance), enhancer.spec, enhancer.pieces
        )
        with torch.inference_mode():
            made[title] = control(noisy[None])[0][0]
    return {**made, **wavs}


def evaluate_folders(
    metrics, clean, enhanced, noisy=None, num_jobs=0, model=None
):
    """Score all files of a folder.

    Arguments
    ---------
    metrics : dict
        See ``Scorer``.
    clean, enhanced, noisy : str or pathlib.Path
        Folders with files of equal names, mono at 16 kHz. The noisy speech is
        scored too, and gives input SNR, SI-SIR and SI-SAR.
    num_jobs : int
        Processes that score; 0 scores in this one.
    model : str or pathlib.Path, optional
        What has enhanced, an exported folder or its name on the hub: the
        report has its ``facts_of``, marks the metrics that it was trained on,
        and has its controls if there is noisy speech.

    Returns
    -------
    report : Report
        With the signals ``enhanced``, ``clean``, perhaps ``noisy``, and with
        noisy speech and a model its controls, under the seed 0.
        ValueError names files that do not fit together.
    wavs : callable
        Utterance to a dict of title to waveform (N,).
    """
    folders = {REFERENCE: noisy, SYSTEM: enhanced, CONTROL: clean}
    folders = {title: f for title, f in folders.items() if f is not None}
    facts, in_loss, enhancer = dict(folders), set(), None
    utterances = paired(folders)
    if model is not None:
        enhancer = GALDSEEnhancement.from_hparams(model).mods.enhance_model
        facts |= {"model": str(model), "seed": "0, of its controls"}
        facts |= facts_of(enhancer)
        in_loss = trained_on(losses_of(model))
    scorer = Scorer(metrics, num_jobs)
    for at, (name, paths) in enumerate(tqdm(utterances.items(), "scores")):
        wavs = read(paths)
        if enhancer is not None and noisy is not None:
            wavs = with_controls(wavs, enhancer)
        scorer.add(at, name, wavs, wavs[CONTROL], wavs.get(REFERENCE))
    results = Results(row for _, row in scorer.rows())
    return Report(results, facts, in_loss), lambda name: read(utterances[name])


def write_report(folder, report, wavs):
    """Write ``results.csv``, ``report.md`` and ``report.html``.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to.
    report : Report
        What to write.
    wavs : callable
        Utterance to a dict of title to waveform (N,), what the page lets hear;
        called for the few utterances that it shows.

    Returns
    -------
    path : pathlib.Path
        The page; the text if the page lacks the extra ``plot``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report.results.write_csv(folder / "results.csv")
    text, page = folder / "report.md", folder / "report.html"
    text.write_text(report.markdown(), encoding="utf-8")
    try:
        from galdse_brain.page import html
    except ImportError as error:
        logger.warning("no report.html: %s", error)
        return text
    page.write_text(html(report, wavs), encoding="utf-8")
    return page
