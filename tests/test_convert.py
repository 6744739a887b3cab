"""Published checkpoints: exact stage by stage; files that do not fit."""

import numpy as np
import pytest
import torch
from conftest import FixedMask
from torch.nn.functional import pad
from weights import official_checkpoint

from galdse_brain.convert import published


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file as it is published."""
    path = tmp_path_factory.mktemp("published") / "epoch=700.ckpt"
    torch.save(official_checkpoint(), path)
    return path


@pytest.fixture(scope="module")
def raw(checkpoint):
    """The Enhancer with raw parameters."""
    return published(checkpoint, averaged=False)


def stages(enhancer, golden):
    """Peak, and the spectrogram as published inference pads it."""
    noisy = golden["raw_noisy"][None]
    peak = noisy.abs().max()
    spec = enhancer.spec
    stft = torch.stft(
        noisy / peak, 510, 128, window=spec.window, return_complex=True
    )
    y = spec.compress(stft)
    return peak, pad(y, (0, -y.shape[-1] % 64))


def recorded_noise():
    """The noise of the golden run; the last step multiplies its by 0."""
    noise = np.random.RandomState(12).standard_normal((6, 1, 2, 256, 64))
    stages = iter([*noise.astype(np.float32), np.zeros_like(noise[0])])
    return lambda x: torch.from_numpy(next(stages)).float()


@torch.no_grad()
def test_mask_of_the_golden_input(raw, golden):
    mask = raw.system.guidance(golden["z"][:, 2:4]).mask
    torch.testing.assert_close(mask, golden["frontend_mask"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("i", [0, 3, 5])
@torch.no_grad()
def test_denoiser_on_the_golden_input(raw, golden, i):
    x_t, y, mask = golden["z"].split([2, 2, 1], dim=1)
    t = torch.full((2,), i + 1)
    output = raw.system.denoiser(y, FixedMask(mask)(y))(x_t, t)
    torch.testing.assert_close(output, golden[f"dnn_t{i}"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_six_steps_of_the_raw_weights(raw, golden):
    peak, y = stages(raw, golden)
    system = raw.system
    guidance = system.guidance(y)
    mask = guidance.mask
    torch.testing.assert_close(mask, golden["raw_mask"], atol=1e-5, rtol=0)

    noise = recorded_noise()
    mean, std = system.path.prior(y)
    prior = mean + std * mask * noise(y)
    torch.testing.assert_close(prior, golden["raw_prior"], atol=1e-5, rtol=0)
    first = system.denoiser(y, guidance)(prior, torch.tensor([6]))
    scale = golden["raw_pred0_first"].abs().max().item()
    torch.testing.assert_close(
        first, golden["raw_pred0_first"], atol=1e-4 * scale, rtol=0
    )

    x_0 = system.enhance(y, randn_like=recorded_noise())
    scale = golden["raw_x0"].abs().max().item()
    torch.testing.assert_close(x_0, golden["raw_x0"], atol=1e-3 * scale, rtol=0)
    wav = raw.spec.inverse(x_0, 8000)[0] * peak
    scale = golden["raw_enhanced"].abs().max().item()
    torch.testing.assert_close(
        wav, golden["raw_enhanced"], atol=1e-3 * scale, rtol=0
    )


@torch.no_grad()
def test_six_steps_of_the_averaged_weights(checkpoint, golden):
    enhancer = published(checkpoint)
    peak, y = stages(enhancer, golden)
    mask = enhancer.system.guidance(y).mask
    torch.testing.assert_close(mask, golden["ema_mask"], atol=1e-5, rtol=0)
    x_0 = enhancer.system.enhance(y, randn_like=recorded_noise())
    wav = enhancer.spec.inverse(x_0, 8000)[0] * peak
    scale = golden["ema_enhanced"].abs().max().item()
    torch.testing.assert_close(
        wav, golden["ema_enhanced"], atol=1e-3 * scale, rtol=0
    )


def test_hyper_parameters_of_the_file_are_taken(tmp_path, published_content):
    content = published_content
    content["hyper_parameters"].update(
        kappa=0.1,
        min_noise_level=0.006,
        spec_abs_exponent=0.76,
        spec_factor=0.3,
        num_diffusion_steps=4,
        finetuned=True,
    )
    torch.save(content, tmp_path / "finetuned.ckpt")
    enhancer = published(tmp_path / "finetuned.ckpt")
    assert (enhancer.spec.alpha, enhancer.spec.beta) == (0.76, 0.3)
    assert enhancer.system.mask_exponent == 0.5
    _, std = enhancer.system.path.prior(torch.zeros(1))
    assert std.item() == pytest.approx(0.099)
    assert enhancer.system.path.times().tolist() == [4, 3, 2, 1, 0]


@pytest.fixture
def edited(tmp_path, published_content):
    """Writes a published file after ``edit`` changed its content."""

    def write(edit):
        edit(published_content)
        torch.save(published_content, tmp_path / "edited.ckpt")
        return tmp_path / "edited.ckpt"

    return write


def rename(content):
    """One key under another name."""
    state = content["state_dict"]
    state["dnn.extra"] = state.pop("dnn.output_layer.bias")


def test_first_missing_and_unexpected_keys_are_named(edited):
    with pytest.raises(ValueError, match="edited.ckpt") as error:
        published(edited(rename))
    assert "dnn.output_layer.bias" in str(error.value)
    assert "dnn.extra" in str(error.value)


def test_a_tensor_of_another_shape_is_named(edited):
    def transpose(content):
        name = "dnn.all_modules.0.weight"
        content["state_dict"][name] = content["state_dict"][name].t()

    with pytest.raises(ValueError, match=r"all_modules.0.weight.*\(32, 128\)"):
        published(edited(transpose), averaged=False)


def test_averaged_parameters_of_another_number_are_counted(edited):
    path = edited(lambda c: c["ema"]["shadow_params"].pop())
    with pytest.raises(ValueError, match="shadow_params holds"):
        published(path)


def test_a_file_without_averages_gives_its_raw_parameters(edited):
    path = edited(lambda c: c.pop("ema"))
    assert not published(path, averaged=False).training
    with pytest.raises(ValueError, match="no published .* but no 'ema'"):
        published(path)


def test_a_missing_hyper_parameter_is_named(edited):
    path = edited(lambda c: c["hyper_parameters"].pop("kappa"))
    with pytest.raises(ValueError, match="hyper_parameter: .* no 'kappa'"):
        published(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="other.ckpt is no published"):
        published(tmp_path / "other.ckpt")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_code_in_a_file_is_never_run(edited, capsys):
    path = edited(lambda c: c.update(trap=Trap()))
    with pytest.raises(Exception, match="weights_only|Weights only"):
        published(path)
    assert "unpickled" not in capsys.readouterr().out
