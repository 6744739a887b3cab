"""Augmentation of a batch: the noises change places.

Every function takes clean and noisy waveforms (B, N) and gives both back;
the clean ones stay where they are.

Authors
 * The galdse developers
"""

import math

import torch

SAMPLE_RATE = 16000
N_FFT = 1024
NUM_BANDS = 31


def bands_of_bins():
    """Band of each STFT bin; those of no band have the number NUM_BANDS.

    The bands are equally wide on a logarithmic scale from 10 Hz to 8 kHz.
    """
    top = math.log10(SAMPLE_RATE / 2)
    edges = torch.logspace(1, top, NUM_BANDS + 1, dtype=torch.float64)
    bins = torch.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    bands = torch.bucketize(bins.double(), edges, right=True) - 1
    inside = (0 <= bands) & (bins > 0) & (bins < SAMPLE_RATE / 2)
    return torch.where(inside, bands.clamp(max=NUM_BANDS - 1), NUM_BANDS)


BANDS = bands_of_bins()


def unchanged(clean, noisy):
    """No augmentation."""
    return clean, noisy


def shuffled_noise(clean, noisy):
    """Noise of another item at 0.5 to 2 times its level, shape (B, N)."""
    noise = (noisy - clean)[torch.randperm(len(clean), device=clean.device)]
    gain = torch.empty_like(clean[:, :1]).uniform_(0.5, 2)
    return gain * noise


def without_rumble(clean, noisy, corner=58.0, width=5.0):
    """Clean speech (B, N) without what lies below 60 Hz, noisy as it is.

    No voice goes so low: what a clean recording has there is noise, and a
    network that is to give it back learns to keep the rumble of noisy ones.
    The filter is a logistic function of the frequency in Hz, without delay.

    Example
    -------
    >>> t = torch.arange(16000) / 16000
    >>> tones = torch.stack([(6.2832 * f * t).sin() for f in (20, 200)])
    >>> clean, _ = without_rumble(tones, tones)
    >>> [round(float(wav.norm() / tones[1].norm()), 2) for wav in clean]
    [0.0, 1.0]
    """
    size = clean.shape[-1]
    spectrum = torch.fft.rfft(clean)
    hertz = torch.arange(size // 2 + 1, device=clean.device)
    hertz = hertz * (SAMPLE_RATE / size)
    gain = torch.sigmoid((hertz - corner) / width)
    return torch.fft.irfft(gain * spectrum, size), noisy


def remix_without_rumble(clean, noisy):
    """``remix``, and clean speech as of ``without_rumble``.

    Example
    -------
    >>> clean, noisy = torch.randn(2, 4, 1600)
    >>> [wav.shape for wav in remix_without_rumble(clean, noisy)]
    [torch.Size([4, 1600]), torch.Size([4, 1600])]
    """
    return without_rumble(*remix(clean, noisy))


def remix(clean, noisy):
    """Remix: each clean item gets the noise of another one.

    Published code clips the noise to [-1, 1] on the way; here it stays whole.

    Example
    -------
    >>> clean, noisy = torch.randn(2, 4, 100)
    >>> torch.equal(remix(clean, noisy)[0], clean)
    True
    """
    return clean, clean + shuffled_noise(clean, noisy)


def eq_remix(clean, noisy):
    """Remix whose noise is, half of the time, filtered at random."""
    noise = shuffled_noise(clean, noisy)
    chosen = torch.rand_like(noise[:, :1]) < 0.5
    return clean, clean + torch.where(chosen, equalize(noise), noise)


def equalize(noise):
    """Noise (B, N) under random gains from 0.1 to 3, one for each of BANDS.

    DC and the highest frequency, which belong to no band, never change.
    """
    gains = noise.new_ones(len(noise), NUM_BANDS + 1)
    gains[:, :-1].uniform_(0.1, 3)
    window = torch.hann_window(N_FFT, device=noise.device)
    stft = torch.stft(noise, N_FFT, window=window, return_complex=True)
    stft = stft * gains[:, BANDS, None]
    return torch.istft(stft, N_FFT, window=window, length=noise.shape[1])


def random_filter(wav):
    """Waveforms (B, N), each through a mild random filter of second order.

    ``(1 + r1 z + r2 z^2) / (1 + r3 z + r4 z^2)`` with z a delay of one sample
    and r uniform in [-3/8, 3/8] (Valin, arXiv 1709.08243); applied to the
    spectrum, as its response has faded after some samples.
    """
    length = wav.shape[-1] + 64
    r = wav.new_empty(4, len(wav), 1).uniform_(-0.375, 0.375)
    delay = torch.fft.rfft(wav.new_tensor([0.0, 1.0]), length)
    response = (1 + r[0] * delay + r[1] * delay**2) / (
        1 + r[2] * delay + r[3] * delay**2
    )
    filtered = torch.fft.irfft(torch.fft.rfft(wav, length) * response, length)
    return filtered[..., : wav.shape[-1]]
