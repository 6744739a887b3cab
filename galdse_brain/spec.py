"""Waveforms to compressed complex spectrograms and back.

Authors
 * The galdse developers
"""

import torch
from torch import nn

TINY = 1e-8  # Keeps the slope of |z|^alpha finite where z is 0.


class SpecTransform(nn.Module):
    """STFT with power-law compression, as two real channels.

    A bin z becomes ``beta |z|^alpha exp(j angle(z))``. The waveform is padded
    with zeros at its end, never the spectrogram, so ``inverse`` undoes
    ``forward`` for every length.

    Arguments
    ---------
    n_fft : int
        Length of the periodic Hann window and of the transform, in samples.
        The number of bins F is ``n_fft // 2 + 1``.
    hop_length : int
        Samples from one frame to the next.
    alpha : float
        Exponent of the compression, in (0, 1].
    beta : float
        Factor of the compression, positive.
    frame_multiple : int
        The number of frames T is a multiple of this, the stride of the U-Net.
    by_peak : bool
        Whether waveforms are to be divided by the peak of the noisy one.
        Where not, the level is part of what a system learns, and pieces of a
        recording belong together whatever their peaks.

    Example
    -------
    >>> spec = SpecTransform(alpha=0.5, beta=0.15)
    >>> wav = torch.randn(2, 1000)
    >>> spec(wav).shape
    torch.Size([2, 2, 256, 16])
    >>> torch.allclose(spec.inverse(spec(wav), 1000), wav, atol=1e-5)
    True
    """

    def __init__(
        self,
        alpha,
        beta,
        n_fft=510,
        hop_length=128,
        frame_multiple=8,
        by_peak=True,
    ):
        super().__init__()
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha must lie in (0, 1], got {alpha}")
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta}")
        self.alpha = alpha
        self.beta = beta
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.frame_multiple = frame_multiple
        self.by_peak = by_peak
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window, persistent=False)

    def scale(self, noisy):
        """What noisy waveforms (B, N) and all beside them are divided by.

        Returns
        -------
        scale : torch.Tensor
            Shape (B, 1): the peak, or 1 where it is not wanted.
        """
        if not self.by_peak:
            return noisy.new_ones(len(noisy), 1)
        return noisy.abs().amax(dim=-1, keepdim=True)

    def normalize(self, noisy, *others):
        """Waveforms (B, N) divided by the ``scale`` of ``noisy``.

        Example
        -------
        >>> spec = SpecTransform(alpha=0.5, beta=0.15)
        >>> spec.normalize(torch.tensor([[1.0, -4]]), torch.tensor([[2.0, 2]]))
        [tensor([[ 0.2500, -1.0000]]), tensor([[0.5000, 0.5000]])]
        """
        scale = self.scale(noisy).clamp(min=TINY)  # Silence stays silence.
        return [wav / scale for wav in (noisy, *others)]

    def num_frames(self, num_samples):
        """Frames of ``num_samples`` samples: the next allowed multiple."""
        hops = -(-num_samples // self.hop_length)
        # Half a window is mirrored at either end, which takes a sample more.
        frames = max(hops, self.n_fft // 2 // self.hop_length + 1) + 1
        return -(-frames // self.frame_multiple) * self.frame_multiple

    def forward(self, wav):
        """Compressed spectrogram of a waveform.

        Arguments
        ---------
        wav : torch.Tensor
            Waveforms, shape (B, N), N at least 1.

        Returns
        -------
        spec : torch.Tensor
            Real and imaginary part, shape (B, 2, F, T).
        """
        num_samples = wav.shape[-1]
        if num_samples == 0:
            raise ValueError("a waveform needs at least one sample, got 0")
        padded = (self.num_frames(num_samples) - 1) * self.hop_length
        wav = nn.functional.pad(wav, (0, padded - num_samples))
        return self.compress(
            torch.stft(
                wav,
                self.n_fft,
                self.hop_length,
                window=self.window,
                return_complex=True,
            )
        )

    def inverse(self, spec, num_samples=None):
        """Waveform of a compressed spectrogram.

        Arguments
        ---------
        spec : torch.Tensor
            Real and imaginary part, shape (B, 2, F, T).
        num_samples : int, optional
            Length N of the result; by default all samples, (T - 1) hops.

        Returns
        -------
        wav : torch.Tensor
            Waveforms, shape (B, N).
        """
        if num_samples is None:
            num_samples = (spec.shape[-1] - 1) * self.hop_length
        return torch.istft(
            self.expand(spec),
            self.n_fft,
            self.hop_length,
            window=self.window,
            length=num_samples,
        )

    def compress(self, stft):
        """Complex bins (B, F, T) to compressed channels (B, 2, F, T)."""
        gain = stft.abs().clamp(min=TINY) ** (self.alpha - 1)
        return torch.view_as_real(self.beta * gain * stft).permute(0, 3, 1, 2)

    def expand(self, spec):
        """Compressed channels (B, 2, F, T) to complex bins (B, F, T)."""
        # Half precision, as autocast gives it, has no complex counterpart.
        spec = spec.float().permute(0, 2, 3, 1).contiguous() / self.beta
        compressed = torch.view_as_complex(spec)
        gain = compressed.abs().clamp(min=TINY) ** (1 / self.alpha - 1)
        return gain * compressed
