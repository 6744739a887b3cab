"""The errors: 0 at the target, golden values, silence."""

import pytest
import torch
import torch_pesq.loss
from torch import nn
from torchaudio.functional import lfilter
from weights import official_checkpoint

from galdse_brain.convert import published
from galdse_brain.objectives import (
    NegSISNR,
    Objective,
    PESQLoss,
    filter_by_fft,
)
from galdse_brain.paths.residual_shift import ResidualShift
from galdse_brain.spec import SpecTransform

SPECTROGRAM = {"spec_mse": nn.MSELoss}
WAVEFORM = {"wave_l1": nn.L1Loss, "neg_si_snr": NegSISNR, "pesq": PESQLoss}


@pytest.fixture(scope="module")
def objective():
    """All terms."""
    return Objective(
        SpecTransform(alpha=0.5, beta=0.15),
        {name: error() for name, error in SPECTROGRAM.items()},
        {name: error() for name, error in WAVEFORM.items()},
    )


@pytest.mark.parametrize(
    "mode, kappa, min_noise_level, exponent",
    [("train", 0.5, 0.005, 1.0), ("finetune", 0.1, 0.006, 0.5)],
)
@torch.no_grad()
def test_every_term_of_the_golden_batch(
    tmp_path, golden, objective, mode, kappa, min_noise_level, exponent
):
    torch.save(official_checkpoint(), tmp_path / "published.ckpt")
    enhancer = published(tmp_path / "published.ckpt", averaged=False)
    system, spec = enhancer.system, enhancer.spec
    system.path = ResidualShift(kappa, 0.39, min_noise_level)
    system.mask_exponent = exponent
    t = golden["obj_steps"].long() + 1
    system.path.sample_time = lambda y: t
    pair = golden["obj_noisy"], golden["obj_clean"]
    noisy, clean = spec.normalize(*pair)
    x_0, y = spec(clean), spec(noisy)

    def eps(x):
        return golden["obj_eps"]

    x_t = system.diffuse(x_0, y, t, system.guidance(y).mask, eps)
    torch.testing.assert_close(
        x_t, golden[f"obj_{mode}_z"], atol=1e-4, rtol=1e-4
    )
    losses = system(x_0, y, objective, randn_like=eps)
    expected = {
        "spec_mse": golden[f"obj_{mode}_spectrum"],
        "guidance": golden[f"obj_{mode}_mask"],
        "wave_l1": 2 * golden[f"obj_{mode}_l1"],
        "neg_si_snr": golden[f"obj_{mode}_si_snr"],
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        losses["pesq"], golden[f"obj_{mode}_pesq"], atol=1e-2, rtol=0
    )
    weights = {
        "spec_mse": 1.0,
        "guidance": 1.0,
        "wave_l1": 0.5 * 5e-4,
        "neg_si_snr": 3e-5,
        "pesq": 1e-3,
    }
    total = sum(weights[name] * losses[name] for name in losses)
    torch.testing.assert_close(
        total, golden[f"obj_{mode}_total"], atol=1e-4, rtol=1e-4
    )


def test_errors_vanish_at_the_target(objective):
    clean = objective.spec(torch.randn(2, 16000))
    errors = objective(clean, clean)
    assert set(errors) == {*SPECTROGRAM, *WAVEFORM}
    for name in ("spec_mse", "wave_l1", "pesq"):
        assert errors[name].item() == pytest.approx(0, abs=1e-5)
    assert errors["neg_si_snr"] < -90


def test_one_item_counts_as_two_of_the_same(objective):
    estimate, clean = (objective.spec(torch.randn(1, 16000)) for _ in "xy")
    alone = objective(estimate, clean)
    twice = objective(estimate.repeat(2, 1, 1, 1), clean.repeat(2, 1, 1, 1))
    for name, error in alone.items():
        torch.testing.assert_close(twice[name], error, atol=1e-4, rtol=1e-4)


def test_l1_of_the_four_sample_example_keeps_its_batch():
    estimate, clean = torch.tensor([[[1.0, 2, 3, 5]], [[1.0, 2, 3, 4]]])
    assert nn.L1Loss()(estimate, clean) * 0.5 == 0.125
    assert NegSISNR()(estimate, clean).item() == pytest.approx(-19.168297)


def test_si_snr_ignores_the_level_of_the_estimate():
    estimate, clean = torch.randn(2, 3, 1000)
    torch.testing.assert_close(
        NegSISNR()(estimate, clean), NegSISNR()(5 * estimate, clean)
    )


def test_pesq_grows_with_the_noise():
    clean = torch.randn(1, 16000).cumsum(-1)
    clean = clean - clean.mean()
    noise = torch.randn(1, 16000)
    errors = [PESQLoss()(clean + g * noise, clean) for g in (0.1, 1, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_filters_in_the_spectrum_are_the_recursion(monkeypatch):
    loss = PESQLoss()  # Of torch-pesq, with the filters replaced
    calls = []

    def spy(*args, clamp):
        calls.append(args)
        return filter_by_fft(*args, clamp=clamp)

    monkeypatch.setattr(torch_pesq.loss, "lfilter", spy)
    clean = 0.1 * torch.randn(2, 16000)
    estimate = (clean + 0.05 * torch.randn(2, 16000)).requires_grad_()
    ours = loss(estimate, clean)
    assert {len(a) for _, a, _ in calls} == {3, 11}
    for wav, a, b in calls:
        wav = wav.detach()
        expected = lfilter(wav.double(), a.double(), b.double(), clamp=False)
        error = filter_by_fft(wav, a, b, clamp=False) - expected
        assert error.abs().max() < 1e-6 * expected.abs().max()
    monkeypatch.setattr(torch_pesq.loss, "lfilter", lfilter)
    torch.testing.assert_close(ours, loss(estimate, clean), atol=0, rtol=1e-4)


@pytest.mark.parametrize("silent", [("x_0",), ("y",), ("x_0", "y")])
def test_silence_gives_no_nan_in_losses_and_gradients(objective, silent):
    wavs = {"x_0": torch.randn(2, 8064), "y": torch.randn(2, 8064)}
    for name in silent:
        wavs[name][0] = 0
    y, x_0 = objective.spec.normalize(wavs["y"], wavs["x_0"])
    estimate = objective.spec(y).requires_grad_()
    errors = objective(estimate, objective.spec(x_0))
    sum(errors.values()).backward()
    assert all(error.isfinite() for error in errors.values())
    assert estimate.grad.isfinite().all()


def test_no_error_on_the_waveform_inverts_nothing():
    def fail(spec):
        raise AssertionError("inverted")

    spec = SpecTransform(alpha=0.5, beta=0.15)
    spec.inverse = fail
    objective = Objective(spec, {"spec_mse": nn.MSELoss()}, {})
    clean = spec(torch.randn(1, 1000))
    assert objective(clean, clean) == {"spec_mse": torch.tensor(0.0)}
