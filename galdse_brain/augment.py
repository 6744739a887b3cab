"""Augmentation of a batch: the noises change places.

Every function takes clean and noisy waveforms (B, N) and gives both back;
the clean ones stay where they are.

Authors
 * The galdse developers
"""

import torch
from torch import nn


def unchanged(clean, noisy):
    """No augmentation."""
    return clean, noisy


def shuffled_noise(clean, noisy):
    """Noise of another item at 0.5 to 2 times its level, shape (B, N)."""
    noise = (noisy - clean)[torch.randperm(len(clean), device=clean.device)]
    gain = torch.empty_like(clean[:, :1]).uniform_(0.5, 2)
    return gain * noise


def remix(clean, noisy):
    """Remix: each clean item gets the noise of another one.

    Example
    -------
    >>> clean, noisy = torch.randn(2, 4, 100)
    >>> torch.equal(remix(clean, noisy)[0], clean)
    True
    """
    return clean, clean + shuffled_noise(clean, noisy)


class EqRemix(nn.Module):
    """Remix whose noise is, half of the time, filtered at random.

    The filter multiplies 31 bands, equally wide on a logarithmic scale from
    10 Hz to 8 kHz, by gains from 0.1 to 3. DC and 8 kHz never change.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    """

    NUM_BANDS = 31
    N_FFT = 1024

    def __init__(self, sample_rate=16000):
        super().__init__()
        edges = torch.logspace(1, torch.tensor(8000.0).log10(), 32)
        edges[-1] = 8000.0
        bins = torch.arange(self.N_FFT // 2 + 1) * sample_rate / self.N_FFT
        bands = torch.bucketize(bins, edges, right=True) - 1
        inside = (0 <= bands) & (bands < self.NUM_BANDS)
        # The gain behind the last band stays 1.
        bands = torch.where(inside, bands, self.NUM_BANDS)
        self.register_buffer("bands", bands, persistent=False)
        window = torch.hann_window(self.N_FFT)
        self.register_buffer("window", window, persistent=False)

    def forward(self, clean, noisy):
        """Clean (B, N) as it is, and clean with a new noise."""
        noise = shuffled_noise(clean, noisy)
        chosen = torch.rand_like(noise[:, :1]) < 0.5
        return clean, clean + torch.where(chosen, self.filter(noise), noise)

    def filter(self, noise):
        """Noise (B, N) under random gains, one set for each item."""
        gains = noise.new_ones(len(noise), self.NUM_BANDS + 1)
        gains[:, :-1].uniform_(0.1, 3)
        stft = torch.stft(
            noise,
            self.N_FFT,
            self.N_FFT // 2,
            window=self.window,
            return_complex=True,
        )
        stft = stft * gains[:, self.bands, None]
        return torch.istft(
            stft,
            self.N_FFT,
            self.N_FFT // 2,
            window=self.window,
            length=noise.shape[1],
        )
