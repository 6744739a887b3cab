"""Remixing moves noises, never the clean speech."""

import pytest
import torch

from galdse_brain.augment import EqRemix, remix, unchanged


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


@pytest.mark.parametrize("augment", [unchanged, remix, EqRemix()])
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
    bands = EqRemix().bands
    untouched = (bands == EqRemix.NUM_BANDS).nonzero().flatten().tolist()
    assert untouched == [0, 512]
    assert len(set(bands.tolist()) - {EqRemix.NUM_BANDS}) == 31 - 5
    assert (bands[1:-1].diff() >= 0).all()


def test_half_of_the_noises_are_filtered():
    clean = torch.zeros(400, 2048)
    noise = torch.randn(1, 2048).repeat(400, 1)
    _, noisy = EqRemix()(clean, clean + noise)
    filtered = (noisy / noise).std(1) > 1e-3
    assert 0.4 < filtered.float().mean() < 0.6


def test_a_filter_changes_each_bin_by_its_gain():
    augment = EqRemix()
    noise = torch.randn(3, 16000)
    torch.manual_seed(1)
    filtered = augment.filter(noise)
    torch.manual_seed(1)
    assert torch.equal(augment.filter(2 * noise), 2 * filtered)
    assert (filtered.std(1) < 3 * noise.std(1)).all()
    assert (filtered.std(1) > 0.1 * noise.std(1)).all()


def test_silent_batches_stay_finite():
    for augment in (unchanged, remix, EqRemix()):
        clean, noisy = augment(torch.zeros(2, 2048), torch.zeros(2, 2048))
        assert torch.equal(noisy, torch.zeros(2, 2048))
