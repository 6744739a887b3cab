"""ONNX files compute what torch computes, and need torch no more."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import CPU
from examples_runs import EXAMPLES, run

from galdse_brain import cli
from galdse_brain.enhancer import Enhancer
from galdse_brain.export import WIRING, write_folder
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.systems.few_steps import FewSteps
from galdse_brain.to_onnx import FILES, write_onnx

ort = pytest.importorskip("onnxruntime", reason="the extra [onnx] is missing")
pytest.importorskip("onnx", reason="the extra [onnx] is missing")


@pytest.fixture(scope="module", params=["galdse", "light"])
def folder(exported, light_folder, tmp_path_factory, request):
    """A tiny model whose output hangs on all inputs, with ONNX files."""
    exported = {"galdse": exported, "light": light_folder}[request.param]
    model = GALDSEEnhancement.from_hparams(exported, run_opts=CPU)
    enhancer = model.mods.enhance_model
    torch.manual_seed(2)
    for parameter in enhancer.system.net.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            torch.nn.init.normal_(parameter, std=fan_in**-0.5)
    yaml, *_ = (exported / "hyperparams.yaml").read_text().split(WIRING)
    place = tmp_path_factory.mktemp("onnx") / "exported"
    about, example = {"converted_from": "a"}, exported / "example.wav"
    folder = write_folder(place, yaml, enhancer, about, example)
    assert [path.name for path in write_onnx(folder)] == list(FILES)
    return folder


@pytest.fixture(scope="module")
def enhancer(folder):
    """The same model in torch."""
    return GALDSEEnhancement.from_hparams(
        folder, run_opts=CPU
    ).mods.enhance_model


@pytest.mark.parametrize("batch, frames", [(1, 8), (3, 40)])
def test_the_networks_are_those_of_torch_at_any_length(
    folder, enhancer, batch, frames
):
    y, x_t = torch.randn(2, batch, 2, 256, frames)
    t = torch.arange(1, batch + 1)
    guidance, denoiser = (ort.InferenceSession(folder / f) for f in FILES)
    system = enhancer.system
    with torch.no_grad():
        found = system.guidance(y)
        x_0 = system.denoiser(y, found)(x_t, t)
    mask, estimate, *cond = guidance.run(None, {"y": y.numpy()})
    assert np.abs(mask - found.mask.numpy()).max() < 1e-4
    assert np.abs(estimate - found.estimate.numpy()).max() < 1e-4
    names = [given.name for given in denoiser.get_inputs()]
    given = dict(zip(names, [x_t.numpy(), t.numpy(), *cond]))
    assert x_0.std() > 0.1 and (x_0[..., 0] - x_0[..., 1]).std() > 0.1
    assert np.abs(denoiser.run(None, given)[0] - x_0.numpy()).max() < 1e-4


@pytest.mark.parametrize("num_steps", [None, 0, 1, 4])
def test_numpy_alone_walks_as_torch_does(folder, enhancer, num_steps):
    script = run(EXAMPLES / "onnx_enhance.py", *arguments(folder))
    noisy = 0.3 * torch.randn(5000)
    drawn = np.random.default_rng(3).standard_normal
    ours = script["Model"](folder).enhance_piece(
        noisy.numpy(), num_steps, drawn
    )
    rng = np.random.default_rng(3)

    def randn_like(x):
        return torch.from_numpy(rng.standard_normal(x.shape)).to(x)

    with torch.no_grad():
        theirs = enhancer._enhance(noisy[None], randn_like, num_steps)[0]
    assert np.abs(ours - theirs.numpy()).max() < 1e-4 * theirs.abs().max()


def test_a_few_step_model_walks_as_the_system_in_it(
    folder, enhancer, monkeypatch, tmp_path
):
    """By itself in its own steps, with numpy too."""
    system = FewSteps(enhancer.system, 2)
    few = Enhancer(system, enhancer.spec)
    loaded = SimpleNamespace(
        mods=SimpleNamespace(enhance_model=few),
        hparams=SimpleNamespace(sample_rate=16000),
    )
    monkeypatch.setattr(
        GALDSEEnhancement, "from_hparams", lambda *_, **__: loaded
    )
    write_onnx(tmp_path)
    script = run(EXAMPLES / "onnx_enhance.py", *arguments(folder))
    noisy = 0.3 * torch.randn(5000)
    silent = script["Model"](tmp_path).enhance_piece(
        noisy.numpy(), normal=np.zeros
    )
    with torch.no_grad():
        theirs = few._enhance(noisy[None], torch.zeros_like, 2)[0]
    assert np.abs(silent - theirs.numpy()).max() < 1e-4 * theirs.abs().max()


def arguments(folder):
    """Of the example: model, noisy and enhanced file."""
    return folder, folder / "example.wav", folder / "enhanced.wav"


def test_the_example_writes_a_file_and_is_short(folder):
    run(EXAMPLES / "onnx_enhance.py", *arguments(folder))
    noisy, enhanced = map(soundfile.read, arguments(folder)[1:])
    assert enhanced[1] == noisy[1] and enhanced[0].shape == noisy[0].shape
    text = (EXAMPLES / "onnx_enhance.py").read_text()
    assert len(text.splitlines()) < 120 and "torch\n" not in text


def test_weights_that_are_exported_anew_leave_no_networks_of_the_old(
    folder, enhancer, tmp_path
):
    copied = shutil.copytree(folder, tmp_path / "copied")
    example = folder / "example.wav"
    write_folder(copied, "", enhancer, {"converted_from": "a"}, example, True)
    assert not list(copied.glob("*.onnx"))


@pytest.mark.parametrize("command", ["export", "convert"])
def test_the_commands_write_them_on_demand(command, folder, monkeypatch):
    written = []
    monkeypatch.setattr(cli, "write_onnx", written.append)
    for name in ("export_run", "export_published"):
        monkeypatch.setattr(cli, name, lambda *_, **__: folder)
    words = [command, "from", "to", "--example=a.wav"]
    for flags in ([], ["--onnx"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, *flags])
        assert not ended.value.code
        assert written == [folder] * len(flags)
