"""What a test leaves to be heard and seen.

Authors
 * The galdse developers
"""

import warnings
from pathlib import Path

from speechbrain.dataio import audio_io


class Gallery:
    """Writes enhanced waveforms, and a picture of some.

    Arguments
    ---------
    wav_folder, picture_folder : str
        Where to.
    picture_every : int
        One of so many utterances gets a picture, with the extra ``plot``.
    panels : dict
        Title to (system, y) -> map (1, 1, F, T), what the system shows of
        itself.
    spec : SpecTransform
        Gives y.
    ema : torch.optim.swa_utils.AveragedModel
        Holds the system.
    sample_rate : int
        In Hz.
    """

    def __init__(
        self,
        wav_folder,
        picture_folder,
        picture_every,
        panels,
        spec,
        ema,
        sample_rate,
    ):
        self.wav_folder, self.picture_folder = wav_folder, picture_folder
        self.picture_every = picture_every
        self.panels, self.spec, self.ema = panels, spec, ema
        self.sample_rate = sample_rate

    def show(self, position, name, noisy, clean, enhanced):
        """Keep the utterance (N,) at a position of its set."""
        path = _file(self.wav_folder, f"{name}.wav")
        audio_io.save(path, enhanced.cpu(), self.sample_rate)
        if position % self.picture_every:
            return
        try:
            from galdse_brain.pictures import spectrograms
        except ImportError as error:
            warnings.warn(str(error), stacklevel=1)  # Once, not every time.
            return
        y = self.spec(*self.spec.normalize(noisy[None]))
        frames = len(noisy) // self.spec.hop_length + 1
        spectrograms(
            _file(self.picture_folder, f"{name}.png"),
            {"noisy": noisy, "enhanced": enhanced, "clean": clean},
            {
                title: panel(self.ema.module, y)[0, 0, :, :frames]
                for title, panel in self.panels.items()
            },
            self.sample_rate,
        )


def _file(folder, name):
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
