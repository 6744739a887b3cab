"""Pictures of an utterance. Needs matplotlib (extra ``plot``).

Authors
 * The galdse developers
"""

from itertools import takewhile

import torch

try:
    import matplotlib
except ImportError as error:
    raise ImportError(
        'pictures need matplotlib: pip install "galdse[plot]"'
    ) from error

matplotlib.use("agg")

from matplotlib.figure import Figure  # noqa: E402
from matplotlib.image import imsave  # noqa: E402

from galdse_brain.audio import Recording, whole  # noqa: E402
from galdse_brain.streams import first  # noqa: E402

N_FFT = 512
HOP = 128


def decibels(wav):
    """Power spectrogram (F, T) of a waveform (N,), in dB."""
    window = torch.hann_window(N_FFT)
    wav = torch.nn.functional.pad(wav, (0, max(0, N_FFT - len(wav))))
    stft = torch.stft(wav, N_FFT, HOP, window=window, return_complex=True)
    return 20 * torch.log10(stft.abs().clamp(min=1e-5))


def image(file, wav, top):
    """Write the bare spectrogram of a waveform (N,) as webp.

    ``file`` is open for bytes; the brightest colour is ``top`` dB, the darkest
    80 dB below.
    """
    imsave(
        file,
        decibels(wav).numpy(),
        vmin=top - 80,
        vmax=top,
        cmap="magma",
        origin="lower",
        format="webp",
    )


def spectrograms(path, wavs, maps, sample_rate):
    """Write one picture: waveforms as spectrograms, and maps beside them.

    Arguments
    ---------
    path : pathlib.Path
        The picture, for instance a png.
    wavs : dict
        Title to waveform (N,); all share one scale of 80 dB.
    maps : dict
        Title to a map (F, T) from 0 to 1.
    sample_rate : int
        In Hz.
    """
    wavs = {title: wav.float().cpu() for title, wav in wavs.items()}
    seconds = max(len(wav) for wav in wavs.values()) / sample_rate
    extent = (0, seconds, 0, sample_rate / 2000)
    levels = {title: decibels(wav) for title, wav in wavs.items()}
    top = max(float(level.max()) for level in levels.values())
    panels = [
        *((title, level, top - 80, top) for title, level in levels.items()),
        *((title, image.float().cpu(), 0, 1) for title, image in maps.items()),
    ]
    figure = Figure(figsize=(8, 2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axis, (title, image, low, high) in zip(axes, panels):
        drawn = axis.imshow(
            image.numpy(),
            origin="lower",
            aspect="auto",
            extent=extent,
            vmin=low,
            vmax=high,
            cmap="magma",
        )
        axis.set(title=title, ylabel="kHz")
        figure.colorbar(drawn, ax=axis)
    axes[-1].set_xlabel("seconds")
    with whole(path) as half:
        figure.savefig(half, dpi=100, format=path.suffix[1:])


def plot(outcomes):
    """Spectrograms of the first minute, beside each file that is there.

    Arguments
    ---------
    outcomes : list of Outcome
        See ``galdse_brain.jobs``. ``a.wav`` gets an ``a.wav.png``, if it was
        made now or has none.

    Returns
    -------
    failures : list of str
        Of pictures that could not be written; the others are.
    """
    failures = []
    for outcome in outcomes:
        path = outcome.target.with_name(f"{outcome.target.name}.png")
        try:
            if outcome.error or outcome.skipped and path.exists():
                continue
            pair = {"noisy": outcome.source, "enhanced": outcome.target}
            wavs = {name: beginning(path) for name, path in pair.items()}
            rate = Recording(outcome.source).sample_rate
            spectrograms(path, wavs, {}, rate)
        except OSError as error:
            failures.append(f"{path}: {error}")
    return failures


def beginning(path, seconds=60):
    """First channel of the first minute of a file."""
    recording = Recording(path)
    blocks = first(recording.blocks(), seconds * recording.sample_rate)
    return torch.cat([*takewhile(torch.numel, blocks)], dim=1)[0]
