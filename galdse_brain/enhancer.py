"""The one way from a noisy waveform to an enhanced one.

Authors
 * The galdse developers
"""

import torch
from torch import nn

from galdse_brain.noise import placed_randn_like
from galdse_brain.pieces import Pieces
from galdse_brain.systems.parts import keep_statistics


class Enhancer(nn.Module):
    """A system and its transform, from waveform to waveform.

    Weights that do not fit are an error for every way of loading them, also
    those that ask torch to be lenient.

    Arguments
    ---------
    system : object
        Anything with ``enhance(y, randn_like, num_steps)`` on spectrograms.
    spec : SpecTransform
        Waveforms to spectrograms and back.
    pieces : Pieces
        How long recordings are cut.
    num_steps : int, optional
        Calls of the network where none are asked for; else the system's own.
    """

    def __init__(
        self,
        system,
        spec,
        pieces=Pieces(),  # noqa: B008 immutable
        num_steps=None,
    ):
        super().__init__()
        if num_steps is not None and num_steps < 0:
            raise ValueError(f"num_steps must be at least 0, got {num_steps}")
        self.num_steps = num_steps
        self.system = system
        self.spec = spec
        self.pieces = pieces
        self.register_load_state_dict_post_hook(_check_fit)
        keep_statistics(self)

    def train(self, mode=True):
        """As of any module, but batch normalisation stays as it is in use."""
        return keep_statistics(super().train(mode))

    def forward(self, noisy, lengths=None, seed=0, num_steps=None):
        """Enhance a batch; each item as if it were alone.

        Arguments
        ---------
        noisy : torch.Tensor
            Noisy waveforms at the rate of training, shape (B, N).
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape (B,). Items with equally many
            frames run together, because padding would leak through the
            networks.
        seed : int, optional
            Of each item's noise; None draws from torch's global generator.
        num_steps : int, optional
            Calls of the network; by default the enhancer's, or the system's.

        Returns
        -------
        wavs : torch.Tensor
            Enhanced waveforms, shape (B, N), zero beyond each length.
        feats : torch.Tensor
            Their spectrograms, shape (B, 2, F, T).
        """
        if lengths is None:
            lengths = noisy.new_ones(len(noisy))
        samples = (lengths * noisy.shape[1]).round().long().tolist()
        rows = [None] * len(noisy)
        for group in self._groups(samples):
            size = max(samples[i] for i in group)
            items = [_padded(noisy[i, : samples[i]], size) for i in group]
            blocks = self.stream([torch.stack(items)], seed, num_steps)
            for i, wav in zip(group, torch.cat(list(blocks), dim=-1)):
                rows[i] = _padded(wav[: samples[i]], noisy.shape[1])
        wavs = torch.stack(rows)
        return wavs, self.spec(wavs)

    def _groups(self, samples):
        """Rows that may share a batch, as lists of indices."""
        groups = {}
        for i, n in enumerate(samples):
            frames = self.spec.num_frames(n)
            long = n > self.pieces.longest
            groups.setdefault((frames, n if long else 0), []).append(i)
        return groups.values()

    def stream(self, blocks, seed=0, num_steps=None):
        """Enhance recordings that come in blocks; memory stays flat.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            Consecutive parts of equally long recordings, each (C, n).
        seed, num_steps : int, optional
            As in ``forward``.

        Yields
        ------
        block : torch.Tensor
            Consecutive parts of the enhanced recordings, each (C, n).
        """

        if num_steps is None:
            num_steps = self.num_steps

        def process(heard, starts, last):
            waves = heard.flatten(0, 1)
            firsts = [s // self.spec.hop_length for s in starts]
            firsts = [first for first in firsts for _ in heard[0]]
            randn_like = self._randn_like(seed, firsts)
            return self._enhance(waves, randn_like, num_steps).view_as(heard)

        if getattr(self.system, "causal", False):
            process = Carried(self, seed, num_steps)
        return self.pieces.stream(blocks, process)

    def _randn_like(self, seed, first_frames):
        """Noise of items that start at these frames; without a seed, any."""
        if seed is None:
            return torch.randn_like
        return placed_randn_like(seed, first_frames)

    def _enhance(self, noisy, randn_like, num_steps):
        y = self.spec(*self.spec.normalize(noisy))
        x_0 = self.system.enhance(y, randn_like, num_steps)
        wav = self.spec.inverse(x_0, noisy.shape[1]) * self.spec.scale(noisy)
        return wav.where(noisy.any(-1, keepdim=True), 0)  # Silence stays.


class Carried:
    """Pieces of a recording, one after the other, as if they were one.

    A causal system goes on from what it knew at the end of the last piece.
    Every frame is seen once, as soon as all its samples are there, and kept
    until the samples of the next piece are made, so that what comes out does
    not depend on how a recording is cut.

    Arguments
    ---------
    enhancer : Enhancer
        Its system's ``enhance`` takes ``past``, see ``galdse_brain.nets.band``.
    seed, num_steps : int, optional
        As of ``Enhancer.stream``.
    """

    def __init__(self, enhancer, seed, num_steps):
        self.enhancer, self.seed, self.num_steps = enhancer, seed, num_steps
        self.past, self.done, self.before = {}, 0, None

    def __call__(self, heard, starts, last):
        """As ``process`` of ``Pieces.stream``."""
        waves = [self.enhance(*piece, last) for piece in zip(heard, starts)]
        return torch.stack(waves)

    def enhance(self, noisy, start, last):
        """Waveforms (C, n) from sample ``start`` on, right where they are new.

        ``last`` says that the recording ends with them.
        """
        spec = self.enhancer.spec
        hop, reach = spec.hop_length, -(-spec.n_fft // 2 // spec.hop_length)
        y = spec(noisy)
        first = start // hop
        end = noisy.shape[-1] // hop - reach  # All samples of these are there.
        end -= (first + end - self.done) % spec.frame_multiple
        new = y[..., self.done - first : None if last else end]
        noise = self.enhancer._randn_like(self.seed, [self.done] * len(noisy))
        x_0 = self.enhancer.system.enhance(
            new, noise, self.num_steps, past=self.past
        )
        if self.before is not None:
            x_0 = torch.cat([self.before, x_0], -1)
        self.done += new.shape[-1]
        origin = self.done - x_0.shape[-1]
        kept = self.enhancer.pieces.context // hop + reach
        self.before = x_0[..., -kept:]
        made = spec.inverse(x_0)
        # To where the samples of the piece are; before the first frame and
        # after the last one is context.
        at = origin * hop - start
        return _padded(nn.functional.pad(made, (at, 0)), noisy.shape[-1])


def _padded(wav, num_samples):
    return nn.functional.pad(wav, (0, num_samples - wav.shape[-1]))


def _check_fit(_, keys):
    if keys.missing_keys or keys.unexpected_keys:
        raise ValueError(
            f"the weights do not fit: {len(keys.missing_keys)} keys missing "
            f"(first: {next(iter(keys.missing_keys), None)}), "
            f"{len(keys.unexpected_keys)} unexpected "
            f"(first: {next(iter(keys.unexpected_keys), None)})"
        )
