"""The model card of an exported folder.

Authors
 * The galdse developers
"""

from galdse_brain.report import LABELS, trained_on
from galdse_brain.results import SYSTEM, markdown

TEMPLATE = """\
---
language: en
license: apache-2.0
tags:
- audio-to-audio
- Speech Enhancement
- speechbrain
- PyTorch
- galdse
{metrics_tag}---

# Speech enhancement with {system}

{parameters:,} parameters; network calls per enhancement: {calls}. The model
works on 16 kHz. Files of 8 to 96 kHz with up to eight channels come back at
their own rate, each channel enhanced by itself, without what lies above 8 kHz.

## Use

With galdse installed, in this folder:

```bash
galdse enhance --model . example.wav -o enhanced.wav
```

```python
from galdse_brain.inference import GALDSEEnhancement

model = GALDSEEnhancement.from_hparams(source=".")  # or its name on the hub
model.enhance_file("example.wav", "enhanced.wav")
```

SpeechBrain's own classes load it as well:

```python
from speechbrain.inference.enhancement import WaveformEnhancement

model = WaveformEnhancement.from_hparams(source=".")
enhanced = model.enhance_file("example.wav", "enhanced_16k.wav")
```

Loading runs what `hyperparams.yaml` names: load only what you trust. The
weights are plain tensors.

## Training

{training}

## Scores

{scores}

## Licence

The code is Apache-2.0. The weights come under the terms of the data that they
were trained on; `example.wav` belongs to its source.

Made with galdse {version} and [SpeechBrain](https://speechbrain.github.io).
"""


def card(about):
    """Markdown for the content of ``config.json``.

    Arguments
    ---------
    about : dict
        ``system``, ``parameters``, ``network_calls`` and ``galdse_version``;
        from a training also ``training_data``, ``epoch``,
        ``selection_metric``, ``loss_weights`` and ``losses``, those of earlier
        stages too; after its test ``scores`` and
        ``test_pairs``.

    Returns
    -------
    text : str
    """
    tag = "".join(f"- {name}\n" for name in _metrics(about))
    calls = about["network_calls"].items()
    return TEMPLATE.format(
        metrics_tag=f"metrics:\n{tag}" if tag else "",
        system=about["system"],
        parameters=about["parameters"],
        calls=", ".join(f"{n} × `{name}`" for name, n in calls),
        training=_training(about),
        scores=scores_text(about),
        version=about["galdse_version"],
    )


def _metrics(about):
    return list(about.get("scores", {}).get(SYSTEM, {}))


def _training(about):
    if "training_data" not in about:
        return f"Not known: converted from `{about['converted_from']}`."
    losses = ", ".join(
        f"{name} ({weight:g})" for name, weight in about["loss_weights"].items()
    )
    return (
        f"Trained on {about['training_data']}. Losses and their weights: "
        f"{losses}. The averaged weights of epoch {about['epoch']} had the "
        f"best {about['selection_metric']} on the validation set."
    )


def scores_text(about):
    """Markdown table of the scores in ``config.json``."""
    metrics, signals = _metrics(about), about.get("scores", {})
    if not metrics:
        return "Not measured."
    trained = trained_on(about["losses"])
    rows = [
        [
            LABELS.get(name, name) + " †" * (name in trained),
            *(_cell(cells.get(name)) for cells in signals.values()),
        ]
        for name in metrics
    ]
    lines = [
        f"Mean ± standard deviation over {about['test_pairs']} test pairs, "
        "whole utterances; – where it is infinite or undefined:",
        markdown(["", *signals], rows),
    ]
    if trained & set(metrics):
        lines.append("† part of the training loss")
    return "\n\n".join(lines)


LISTED = "pesq", "estoi", "si_sdr", "dnsmos_ovrl"


def models_text(abouts):
    """Table and lines on models for people who choose one.

    Arguments
    ---------
    abouts : dict
        Name to the content of ``config.json``, with ``cost``, ``summary``,
        ``licence`` and scores.

    Returns
    -------
    text : str
    """
    labels = [LABELS[name].partition(",")[0] for name in LISTED]
    rows, lines, hardware = [], [], set()
    for name, about in abouts.items():
        cost, scores = about["cost"], about["scores"][SYSTEM]
        trained = trained_on(about["losses"])
        speed, _, _ = cost["real-time factor"].partition(" ")
        hardware.add(cost["hardware"])
        rows.append(
            [
                name,
                f"{about['parameters']:,}",
                cost["GMAC per second of audio"],
                speed,
                *(
                    f"{scores[metric]['mean']:.3f}" + " †" * (metric in trained)
                    for metric in LISTED
                ),
                about["licence"],
            ]
        )
        lines.append(f"{name}: {about['summary']}")
    header = ["model", "parameters", "GMAC/s", "RTF", *labels, "licence"]
    pairs = {about["test_pairs"] for about in abouts.values()}
    return "\n".join(
        [
            markdown(header, rows),
            "",
            *lines,
            "",
            f"Scores of {', '.join(map(str, pairs))} test pairs of "
            "VoiceBank-DEMAND; † part of the training loss. RTF: time of 30 s "
            f"of audio over 30 s, {', '.join(sorted(hardware))}.",
        ]
    )


def _cell(cell):
    if cell is None:
        return "–"
    failed = f" ({cell['failures']} failed)" if cell["failures"] else ""
    return f"{cell['mean']:.3f} ± {cell['std']:.3f}{failed}"
