"""The report as a page that holds its charts, pictures and sounds.

Authors
 * The galdse developers
"""

import math
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import jinja2
import soundfile
import torch

from galdse_brain.charts import distribution, score_against_snr
from galdse_brain.metrics import SAMPLE_RATE
from galdse_brain.pictures import decibels, image
from galdse_brain.report import change
from galdse_brain.results import CONTROL

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def embedded(kind, write, *args, **kwargs):
    """Address that holds what ``write(file, ...)`` writes."""
    file = BytesIO()
    write(file, *args, **kwargs)
    return f"data:{kind};base64,{b64encode(file.getvalue()).decode()}"


def players(wavs):
    """Title, picture and sound of waveforms (N,) on one scale of 80 dB."""
    wavs = {title: torch.as_tensor(wav).float() for title, wav in wavs.items()}
    top = max(float(decibels(wav).max()) for wav in wavs.values())
    for title, wav in wavs.items():
        yield {
            "title": title,
            "seconds": f"{len(wav) / SAMPLE_RATE:.1f}",
            "picture": embedded("image/webp", image, wav, top),
            "sound": embedded(
                *("audio/flac", soundfile.write, wav.numpy(), SAMPLE_RATE),
                format="FLAC",
            ),
        }


def charts(report, signals):
    """Name, score against input SNR and distribution of every metric."""
    for name in report.results.names:
        series = [
            [
                (row["id"], row.get("snr", math.nan), row[name])
                for row in report.results.of(signal).values()
                if math.isfinite(row[name])
            ]
            for signal in signals
        ]
        scores = [[point[2] for point in points] for points in series[:2]]
        noisy = [[p for p in ps if math.isfinite(p[1])] for ps in series]
        yield {
            "title": report.label(name),
            "charts": [
                *([score_against_snr(noisy, name)] if any(noisy) else []),
                *([distribution(scores, name)] if any(scores) else []),
            ],
        }


def examples(report, wavs):
    """Title to the best and the worst utterances, to be seen and heard."""
    return {
        title: [
            {
                "id": utterance,
                "gain": change(gain),
                "players": list(players(wavs(utterance))),
            }
            for utterance, gain in utterances
        ]
        for title, utterances in report.ends().items()
    }


def html(report, wavs):
    """The page of a report, see ``evaluate.write_report``."""
    signals = [signal for signal in report.signals if signal != CONTROL]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        report=report,
        signals=signals,
        metrics=list(charts(report, signals)),
        examples=examples(report, wavs),
    )
