"""Trained enhancers behind SpeechBrain's interface.

Authors
 * The galdse developers
"""

from contextlib import ExitStack
from pathlib import Path

import torch
from speechbrain.inference.interfaces import Pretrained

from galdse_brain.audio import Recording, Waveform
from galdse_brain.inputs import (
    batch,
    by_channel,
    check_options,
    is_folder,
    tensor,
)
from galdse_brain.jobs import planned, run_jobs, saved
from galdse_brain.memory import release_freed_memory
from galdse_brain.released import DEFAULT, packaged
from galdse_brain.streams import first, mixed, resampled, resampled_length

PIECES_AT_ONCE = {"cuda": 32}
RELEASE_AFTER = 60  # Seconds of audio; files of many lengths leave gaps.
NEEDED = "hyperparams.yaml", "enhance_model.*"


class GALDSEEnhancement(Pretrained):
    """Enhances batches, waveforms, files and folders with any system.

    Files and waveforms keep rate, channels and length; each channel is
    enhanced by itself. The model hears what its own rate (16 kHz) can hold:
    at higher rates nothing above 8 kHz comes out, because there the noise
    would stay. Long recordings run in overlapping pieces that fade into each
    other, so that memory stays flat.

    What all methods share: ``num_steps``, calls of the network, fewer are
    faster; ``seed`` of the noise of each item, None draws from torch's
    generator; ``mix`` in [0, 1], the share of noisy speech in the output.
    Gradients flow with ``from_hparams(..., freeze_params=False)``.

    Example
    -------
    >>> model = GALDSEEnhancement.from_hparams()
    >>> model.enhance_file("noisy.wav", "enhanced.wav")  # doctest: +SKIP
    >>> model.enhance_waveform(torch.randn(2, 4410), 44100).shape
    torch.Size([2, 4410])
    """

    HPARAMS_NEEDED = ["sample_rate"]
    MODULES_NEEDED = ["enhance_model"]

    def __init__(
        self, modules=None, hparams=None, run_opts=None, freeze_params=True
    ):
        super().__init__(modules, hparams, run_opts, freeze_params)
        enhancer = self.mods.enhance_model
        self.unreleased = 0  # Samples since memory was given back.
        at_once = PIECES_AT_ONCE.get(self.device_type, enhancer.pieces.at_once)
        enhancer.pieces = enhancer.pieces._replace(at_once=at_once)

    @classmethod
    def from_hparams(cls, source=DEFAULT, *args, savedir=None, **kwargs):
        """Load an exported folder, or a repository of the Hugging Face hub.

        Arguments
        ---------
        source : str or pathlib.Path
            The folder, a name such as ``user/model``, or that of a model
            that comes with the package: ``light`` or ``galdse``.
        *args, savedir, **kwargs
            As SpeechBrain's ``from_hparams``. A local folder is read where it
            is; from the hub every model gets a folder of its own in
            ``savedir``.

        Returns
        -------
        model : GALDSEEnhancement
            FileNotFoundError if there is no such folder. ValueError if its
            weights do not fit.
        """
        source = str(packaged(source))
        if is_folder(source, *NEEDED):
            savedir = None
        if savedir is not None:
            savedir = Path(savedir) / source.replace("/", "--")
        return super().from_hparams(source, *args, savedir=savedir, **kwargs)

    def enhance_batch(
        self, noisy, lengths=None, *, num_steps=None, seed=0, mix=0.0
    ):
        """Enhance a batch at the model's rate; each item as if it were alone.

        Arguments
        ---------
        noisy : torch.Tensor or numpy.ndarray
            Waveforms, shape (B, N), of a kind that ``enhance_waveform``
            takes.
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape (B,). What is beyond does not
            matter.
        num_steps, seed, mix
            See the class.

        Returns
        -------
        wavs : torch.Tensor
            Enhanced waveforms, shape (B, N), zero beyond each length.
        """
        check_options(seed, mix)
        noisy, lengths = batch(tensor(noisy).to(self.device), lengths)
        with self._context():
            wavs, _ = self.mods.enhance_model(noisy, lengths, seed, num_steps)
            return wavs.lerp(noisy, mix)

    def forward(self, noisy, lengths=None):
        """As ``enhance_batch``."""
        return self.enhance_batch(noisy, lengths)

    def enhance_file(
        self, filename, output_filename=None, savedir=None, **options
    ):
        """Enhance an audio file of any length.

        Arguments
        ---------
        filename : str or pathlib.Path
            A file that libsndfile reads, with up to 8 channels and 8 to
            96 kHz.
        output_filename : str or pathlib.Path, optional
            Written if given, with the file's rate and channels, and with its
            encoding if the format is the same.
        savedir : str, optional
            Of SpeechBrain's interface; a file is read where it is.
        **options
            ``num_steps``, ``seed``, ``mix``: see the class.

        Returns
        -------
        wav : torch.Tensor
            Enhanced samples at the file's own rate, shape (N,) for one
            channel, else (C, N). FileNotFoundError, IsADirectoryError or
            ValueError names a file that cannot be enhanced.
        """
        source = Recording(filename)
        blocks = self.enhance_blocks(source, **options)
        if output_filename is not None:
            blocks = saved(blocks, source, output_filename)
        wav, start = torch.empty(source.channels, source.num_samples), 0
        for block in blocks:
            wav[:, start : start + block.shape[-1]] = block
            start += block.shape[-1]
        return wav[0] if len(wav) == 1 else wav

    def enhance_waveform(self, wav, sample_rate, **options):
        """Enhance samples that are in memory.

        Arguments
        ---------
        wav : torch.Tensor or numpy.ndarray
            Shape (N,), (C, N) or (N, C): the longer axis is time. Floats, or
            int16 or int32 of which full scale is 1.
        sample_rate : int
            In Hz, 8000 to 96000.
        **options
            ``num_steps``, ``seed``, ``mix``: see the class.

        Returns
        -------
        wav : torch.Tensor
            Enhanced floats of the same shape.
        """
        wav = tensor(wav).detach().cpu()
        channels, time_first = by_channel(wav)
        source = Waveform("the waveform", channels, sample_rate)
        blocks = self.enhance_blocks(source, **options)
        enhanced = torch.cat(list(blocks), dim=-1)
        return (enhanced.t() if time_first else enhanced).reshape(wav.shape)

    def enhance_folder(
        self, folder, output_folder, overwrite=False, progress=True, **options
    ):
        """Enhance all audio files below a folder.

        Arguments
        ---------
        folder, output_folder : str or pathlib.Path
            Files keep their names and subfolders.
        overwrite : bool
            Files that are there already are skipped otherwise.
        progress : bool
            Show a bar of the seconds of audio.
        **options
            ``num_steps``, ``seed``, ``mix``: see the class.

        Returns
        -------
        outcomes : list of Outcome
            One for each file; a file that failed has an ``error``.
        """
        jobs = planned([folder], output_folder)
        return run_jobs(self, jobs, overwrite, progress, **options)

    def enhance_blocks(self, source, *, num_steps=None, seed=0, mix=0.0):
        """Enhance a stream, for recordings that should not be in memory.

        Arguments
        ---------
        source : Recording or Waveform
            What to enhance.
        num_steps, seed, mix
            See the class.

        Yields
        ------
        block : torch.Tensor
            Consecutive blocks (C, n) at the rate of the source.
        """
        check_options(seed, mix)
        rates = source.sample_rate, self.hparams.sample_rate
        noisy = resampled(source.blocks(), *rates, source.num_samples)
        noisy = (block.to(self.device) for block in noisy)
        enhanced = resampled(
            self._in_context(
                self.mods.enhance_model.stream(noisy, seed, num_steps)
            ),
            *rates[::-1],
            resampled_length(source.num_samples, *rates),
        )
        exact = first(enhanced, source.num_samples)
        return mixed(exact, source.blocks(), mix) if mix else exact

    def _context(self):
        """Precision of the run options; no graph if all is frozen."""
        context = ExitStack()
        trained = any(p.requires_grad for p in self.mods.parameters())
        context.enter_context(torch.set_grad_enabled(trained))
        context.enter_context(self.inference_ctx)
        return context

    def _in_context(self, blocks):
        while True:
            with self._context():
                block = next(blocks, None)
            if block is None:
                break
            self.unreleased += block.shape[-1]
            yield block.float().detach().cpu()
        if self.unreleased > RELEASE_AFTER * self.hparams.sample_rate:
            release_freed_memory()
            self.unreleased = 0
