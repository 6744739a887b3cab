"""Several draws of one system, of which the most consistent is taken.

Authors
 * The galdse developers
"""

import torch
from torch import nn
from torchaudio.functional import melscale_fbanks


class LogMel(nn.Module):
    """Logarithm of mel energies of a spectrogram that ``spec`` compressed."""

    def __init__(self, spec, sample_rate, num_mels=40):
        super().__init__()
        self.spec = spec
        bins = spec.n_fft // 2 + 1
        bands = melscale_fbanks(bins, 0, sample_rate / 2, num_mels, sample_rate)
        self.register_buffer("bands", bands.T, persistent=False)

    def forward(self, x_0):
        """(B, 2, F, T) to (B, num_mels, T)."""
        power = self.spec.expand(x_0).abs().square()
        return (self.bands @ power + 1e-6).log()


class OfWaveform(nn.Module):
    """Features of a self-supervised model of torchaudio, which is frozen."""

    def __init__(self, spec, model):
        super().__init__()
        self.spec = spec
        self.model = model.requires_grad_(False)

    def forward(self, x_0):
        """(B, 2, F, T) to (B, T, D)."""
        return self.model(self.spec.inverse(x_0))[0]


class Ensemble(nn.Module):
    """Takes the draw that is closest to the others, item by item.

    Where draws differ they have been made up. Training is the system's own.

    Arguments
    ---------
    system : torch.nn.Module
        The system that is drawn from.
    features : callable
        Spectrograms (B, 2, F, T) -> what draws are compared by, (B, ...).
    num_draws : int
        At least 1.
    """

    def __init__(self, system, features, num_draws):
        super().__init__()
        if num_draws not in range(1, 1000):
            raise ValueError(f"num_draws must be 1 to 999, got {num_draws}")
        self.system = system
        self.features = features
        self.num_draws = num_draws

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """One training pass of the system."""
        return self.system(x_0, y, objective, randn_like)

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        how = y, randn_like, num_steps
        draws = [self.system.enhance(*how) for _ in range(self.num_draws)]
        draws = torch.stack(draws)
        best = self.distances(draws).argmin(0)
        return draws[best, torch.arange(len(y), device=y.device)]

    def distances(self, draws):
        """Sum of mean absolute errors to other draws, (K, ...) to (K, B)."""
        features = torch.stack([self.features(draw) for draw in draws])
        points = features.flatten(2).transpose(0, 1)  # (B, K, D)
        apart = torch.cdist(points, points, p=1) / points.shape[-1]
        return apart.sum(-1).T
