"""Remixing moves noises, never the clean speech."""

import pytest
import torch

from galdse_brain.augment import (
    BANDS,
    NUM_BANDS,
    eq_remix,
    equalize,
    remix,
    unchanged,
)


def ratios(noise, new_noise):
    """Gain of each item's new noise over every old one, and the misfit."""
    gains = (new_noise[:, None] * noise).sum(-1) / noise.square().sum(-1)
    misfit = (new_noise[:, None] - gains[..., None] * noise).abs().amax(-1)
    best = misfit.argmin(1)
    rows = torch.arange(len(noise))
    return gains[rows, best], misfit[rows, best], best


@pytest.fixture
def batch():
    """Clean and noisy, six items."""
    clean, noise = torch.randn(2, 6, 2000)
    return clean, clean + noise


@pytest.mark.parametrize("augment", [unchanged, remix, eq_remix])
def test_clean_rows_stay_in_place(batch, augment):
    clean, _ = augment(*batch)
    assert torch.equal(clean, batch[0])


def test_unchanged_is_the_identity(batch):
    assert all(map(torch.equal, unchanged(*batch), batch))


def test_remix_permutes_the_noises_within_six_decibels(batch):
    clean, noisy = batch
    gains, misfit, source = ratios(noisy - clean, remix(*batch)[1] - clean)
    assert misfit.max() < 1e-4
    assert sorted(source.tolist()) == list(range(6))
    assert (0.5 <= gains).all() and (gains <= 2).all()
    assert len(set(gains.tolist())) == 6


def test_equalised_bands_cover_all_but_dc_and_the_highest_bin():
    untouched = (BANDS == NUM_BANDS).nonzero().flatten().tolist()
    assert untouched == [0, 512]
    assert len(set(BANDS.tolist()) - {NUM_BANDS}) == 31 - 5
    assert (BANDS[1:-1].diff() >= 0).all()


def test_half_of_the_noises_are_filtered():
    clean = torch.zeros(400, 2048)
    noise = torch.randn(1, 2048).repeat(400, 1)
    _, noisy = eq_remix(clean, clean + noise)
    filtered = (noisy / noise).std(1) > 1e-3
    assert 0.4 < filtered.float().mean() < 0.6


def test_a_filter_changes_each_bin_by_its_gain():
    noise = torch.randn(3, 16000)
    torch.manual_seed(1)
    filtered = equalize(noise)
    torch.manual_seed(1)
    assert torch.equal(equalize(2 * noise), 2 * filtered)
    assert (filtered.std(1) < 3 * noise.std(1)).all()
    assert (filtered.std(1) > 0.1 * noise.std(1)).all()


@pytest.mark.parametrize("augment", [unchanged, remix])
def test_augmentation_stays_on_the_device_of_the_batch(augment):
    batch = torch.zeros(2, 4, 2048, device="meta")
    assert all(wav.device.type == "meta" for wav in augment(*batch))


def test_silent_batches_stay_finite():
    for augment in (unchanged, remix, eq_remix):
        clean, noisy = augment(torch.zeros(2, 2048), torch.zeros(2, 2048))
        assert torch.equal(noisy, torch.zeros(2, 2048))
