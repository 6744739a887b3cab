"""The interface: same rate, channels, length and place, whatever comes in."""

import math
import socket

import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
from conftest import CPU, make_unchanged
from hypothesis import given, settings
from hypothesis import strategies as st

from galdse_brain import inference
from galdse_brain.audio import Waveform
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.pieces import Pieces

RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


def noise(*shape):
    """White noise that clips nowhere."""
    return (0.1 * torch.randn(shape)).clamp(-1, 1)


def speech_band(num_samples, rate):
    """A sum of tones (N,) that every rate and the model can hold."""
    time = torch.arange(num_samples, dtype=torch.float64) / rate
    tones = [
        (2 * math.pi * f * time + f).sin() for f in (130, 370, 990, 2210, 3130)
    ]
    return 0.1 * torch.stack(tones).sum(0).float()


def lag(first, second):
    """By how many samples the second is later."""
    size = 2 * len(first)
    spectrum = torch.fft.rfft(first, size).conj() * torch.fft.rfft(second, size)
    place = torch.fft.irfft(spectrum, size).argmax().item()
    return place if place < len(first) else place - size


@pytest.fixture
def no_network(monkeypatch):
    """Whatever asks the hub or opens a connection fails."""

    def forbidden(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", forbidden)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", RATES)
def test_rate_channels_length_and_place_are_kept(unchanged, rate, channels):
    wav = torch.stack(
        [speech_band(rate + 7 * i, rate)[7 * i :] for i in range(channels)]
    )
    found = unchanged.enhance_waveform(wav, rate)
    assert found.shape == wav.shape
    inside = slice(rate // 20, -rate // 20)
    for ours, theirs in zip(found, wav):
        assert lag(theirs, ours) == 0
        torch.testing.assert_close(
            ours[inside], theirs[inside], atol=1e-4, rtol=0
        )


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.data())
def test_any_length_rate_and_number_of_channels(tmp_path_factory, data):
    n = data.draw(st.integers(1, 30000), "samples")
    rate = data.draw(st.integers(8000, 96000), "rate")
    channels = data.draw(st.integers(1, min(8, n)), "channels")
    model = make_unchanged()
    wav = noise(channels, n)
    found = model.enhance_waveform(wav, rate)
    assert found.shape == wav.shape and found.isfinite().all()
    assert torch.equal(model.enhance_waveform(wav, rate, mix=1.0), wav)
    path = tmp_path_factory.getbasetemp() / "any_input.wav"
    soundfile.write(path, wav.t().numpy(), rate, subtype="FLOAT")
    from_file = model.enhance_file(path).reshape(channels, n)
    assert torch.equal(from_file, found)


def test_above_eight_kilohertz_nothing_comes_out(unchanged):
    time = torch.arange(48000, dtype=torch.float64) / 48000
    low, high = ((2 * math.pi * f * time).sin().float() for f in (3000, 12000))
    found = unchanged.enhance_waveform(low + high, 48000)
    inside = slice(2400, -2400)
    torch.testing.assert_close(found[inside], low[inside], atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", [16000, 22050])
def test_each_channel_is_enhanced_as_if_it_were_alone(tiny, rate):
    wav = noise(3, 3000)
    found = tiny.enhance_waveform(wav, rate)
    for together, channel in zip(found, wav):
        alone = tiny.enhance_waveform(channel, rate)
        assert (together - alone).norm() < 1e-4 * alone.norm()


def test_time_may_come_first_or_last(tiny):
    wav = noise(2, 1500)
    found = tiny.enhance_waveform(wav, 16000)
    turned = tiny.enhance_waveform(wav.t(), 16000)
    assert torch.equal(turned, found.t())
    one = tiny.enhance_waveform(wav[:1], 16000)
    assert torch.equal(one[0], tiny.enhance_waveform(wav[0], 16000))
    assert torch.equal(one.t(), tiny.enhance_waveform(wav[:1].t(), 16000))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_floats_of_numpy_are_taken(unchanged, kind):
    wav = noise(2, 900).numpy().astype(kind)
    expected = unchanged.enhance_waveform(torch.from_numpy(wav), 16000)
    found = unchanged.enhance_waveform(wav, 16000)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    np.testing.assert_allclose(found, wav, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [lambda x: x[::-1][::-1], lambda x: x.astype(">f4"), lambda x: x[:, None]],
    ids=["reversed", "big endian", "time first"],
)
def test_arrays_of_any_layout_are_taken(tiny, other):
    wav = 0.1 * torch.randn(900).numpy()
    found = tiny.enhance_waveform(other(wav), 16000, num_steps=1)
    expected = tiny.enhance_waveform(wav, 16000, num_steps=1)
    assert torch.equal(found.flatten(), expected)


def test_batches_of_arrays_are_taken(tiny):
    noisy, lengths = 0.1 * torch.randn(2, 900), torch.tensor([1.0, 0.5])
    found = tiny.enhance_batch(noisy.numpy(), lengths.numpy(), num_steps=1)
    assert torch.equal(found, tiny.enhance_batch(noisy, lengths, num_steps=1))


@pytest.mark.parametrize("kind", ["int16", "int32"])
def test_integers_mean_what_a_file_of_them_means(unchanged, tmp_path, kind):
    bits = np.iinfo(kind).bits
    wav = (noise(900).numpy() * 2.0 ** (bits - 1)).astype(kind)
    subtype = f"PCM_{bits}"
    soundfile.write(tmp_path / "a.wav", wav, 16000, subtype=subtype)
    expected = unchanged.enhance_file(tmp_path / "a.wav")
    found = unchanged.enhance_waveform(wav, 16000)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    "wav, wrong",
    [
        (torch.zeros(0), "0 samples"),
        (torch.zeros(5, 0), "0 channels"),
        (torch.zeros(0, 5), "0 channels"),
        (torch.zeros(0, 0), "0 samples"),
        (torch.zeros(9, 10), "9 channels"),
        (torch.zeros(1, 1, 5), r"got \(1, 1, 5\)"),
        (torch.zeros(()), r"got \(\)"),
        (torch.zeros(5, dtype=torch.uint8), "got torch.uint8"),
        (torch.tensor([0.0, torch.nan]), "sample 1 of channel 0 is nan"),
        (np.array([0.0, 1e300]), "sample 1 of channel 0 is inf"),
    ],
)
def test_a_waveform_that_cannot_be_enhanced_is_refused(unchanged, wav, wrong):
    with pytest.raises(ValueError, match=wrong):
        unchanged.enhance_waveform(wav, 16000)


@pytest.mark.parametrize("rate", [0, -16000, 7999, 96001])
def test_a_rate_that_cannot_be_used_is_refused(unchanged, rate):
    with pytest.raises(ValueError, match=f"{rate} Hz, 8000 to 96000"):
        unchanged.enhance_waveform(torch.zeros(5), rate)


@pytest.mark.parametrize(
    "wav",
    [
        torch.ones(1),
        torch.ones(1, 1),
        torch.randn(160),
        torch.full((2000,), 0.7),
        (10 * torch.randn(2000)).clamp(-1, 1),
        1e-30 * torch.randn(2000),
        1e30 * torch.randn(2000),
    ],
    ids=["one", "1x1", "10ms", "dc", "clipped", "faint", "huge"],
)
def test_strange_waveforms_come_back_finite(tiny, wav):
    found = tiny.enhance_waveform(wav, 16000)
    assert found.shape == wav.shape and found.isfinite().all()
    assert found.abs().max() <= 10 * wav.abs().max()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_silence_stays_silence(tiny, rate):
    silence = torch.zeros(2, 1000)
    assert torch.equal(tiny.enhance_waveform(silence, rate), silence)


def test_a_waveform_with_a_gradient_is_taken(unchanged):
    wav = noise(500).requires_grad_()
    for rate in (16000, 44100):
        assert not unchanged.enhance_waveform(wav, rate).requires_grad


def test_an_item_in_a_padded_batch_equals_the_item_alone(tiny):
    noisy, samples = noise(4, 6000), [6000, 2000, 1990, 1]
    lengths = torch.tensor(samples) / 6000
    found = tiny.enhance_batch(noisy, lengths)
    turned = tiny.enhance_batch(noisy.flip(0), lengths.flip(0)).flip(0)
    for i, n in enumerate(samples):
        alone = tiny.enhance_batch(noisy[i : i + 1, :n])[0]
        assert (found[i, :n] - alone).norm() < 1e-3 * alone.norm()
        assert (turned[i, :n] - alone).norm() < 1e-3 * alone.norm()
        assert not found[i, n:].any()


def test_what_is_beyond_an_item_does_not_matter(tiny):
    noisy = noise(2, 2000)
    lengths = torch.tensor([0.5, 1.0])
    expected = tiny.enhance_batch(noisy, lengths)
    noisy[0, 1000:] = torch.nan
    assert torch.equal(tiny.enhance_batch(noisy, lengths), expected)


def test_the_global_random_state_is_neither_read_nor_changed(tiny):
    wav = noise(1500)
    first = tiny.enhance_waveform(wav, 16000)
    torch.manual_seed(99)
    np.random.seed(99)
    state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert torch.equal(tiny.enhance_waveform(wav, 16000), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpys)


def test_a_seed_decides_and_no_seed_draws(tiny):
    def at(seed):
        return tiny.enhance_waveform(wav, 16000, seed=seed)

    wav = noise(1500)
    assert torch.equal(at(0), tiny.enhance_waveform(wav, 16000))
    assert torch.equal(at(7), at(7))
    assert not torch.equal(at(7), at(0))
    assert not torch.equal(at(None), at(None))
    torch.manual_seed(5)
    drawn = at(None)
    torch.manual_seed(5)
    assert torch.equal(drawn, at(None))


def test_fewer_steps_are_fewer_calls_of_the_network(tiny):
    calls = []
    net = tiny.mods.enhance_model.system.net
    net.register_forward_hook(lambda *_: calls.append(1))
    for steps, expected in ((1, 1), (3, 3), (None, 6)):
        calls.clear()
        tiny.enhance_waveform(noise(500), 16000, num_steps=steps)
        tiny.enhance_batch(noise(1, 500), num_steps=steps)
        assert len(calls) == 2 * expected
    with pytest.raises(ValueError, match="must be 1 to 6.* got 7"):
        tiny.enhance_waveform(noise(500), 16000, num_steps=7)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_mixture_lies_between_enhanced_and_noisy(tiny, rate):
    noisy = noise(2, 1500)
    found = {
        mix: tiny.enhance_waveform(noisy, rate, mix=mix)
        for mix in (0.0, 0.25, 1.0)
    }
    assert torch.equal(found[0.0], tiny.enhance_waveform(noisy, rate))
    assert torch.equal(found[1.0], noisy)
    between = 0.75 * found[0.0] + 0.25 * noisy
    torch.testing.assert_close(found[0.25], between, atol=1e-7, rtol=1e-5)


def test_a_mixture_of_a_batch_is_silent_beyond_each_item(tiny):
    noisy, lengths = noise(2, 1000), torch.tensor([0.3, 1.0])
    found = tiny.enhance_batch(noisy, lengths, mix=1.0)
    assert torch.equal(found[1], noisy[1])
    assert torch.equal(found[0, :300], noisy[0, :300])
    assert not found[0, 300:].any()


@pytest.mark.parametrize("options", [{"mix": 1.1}, {"mix": -0.1}, {"seed": -1}])
def test_options_out_of_range_are_refused(unchanged, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must .* got -?[01]"):
        unchanged.enhance_waveform(noise(5), 16000, **options)
    with pytest.raises(ValueError, match=f"{name} must .* got -?[01]"):
        unchanged.enhance_batch(noise(1, 5), **options)


def test_an_option_that_does_not_exist_is_an_error(unchanged, tmp_path):
    with pytest.raises(TypeError, match="stesp"):
        unchanged.enhance_waveform(noise(5), 16000, stesp=3)


@pytest.mark.parametrize(
    "noisy, lengths, wrong",
    [
        (torch.zeros(5), None, r"shape \(B, N\).* got \(5,\)"),
        (torch.zeros(0, 5), None, r"got \(0, 5\)"),
        (torch.zeros(5, 0), None, r"got \(5, 0\)"),
        (torch.zeros(2, 5), torch.ones(3), r"2 items .* got shape \(3,\)"),
        (torch.zeros(1, 5), torch.zeros(1), r"\(0, 1\] .* got \[0.0\]"),
        (torch.zeros(1, 5), torch.full((1,), 1.5), r"got \[1.5\]"),
        (torch.zeros(1, 5), torch.full((1,), torch.nan), r"got \[nan\]"),
        (torch.zeros(1, 5), torch.full((1,), 0.01), "one of the 5 sam"),
        (torch.full((2, 5), torch.nan), None, "item 0 of the batch: sample 0"),
        (torch.zeros(2, 5, dtype=torch.int64), None, "got torch.int64"),
    ],
)
def test_a_batch_that_cannot_be_enhanced_is_refused(
    unchanged, noisy, lengths, wrong
):
    with pytest.raises(ValueError, match=wrong):
        unchanged.enhance_batch(noisy, lengths)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_a_batch_may_have_any_precision(unchanged, kind):
    noisy = noise(2, 900).to(kind)
    found = unchanged.enhance_batch(noisy)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, noisy.float(), atol=1e-4, rtol=0)


def test_forward_is_enhance_batch(tiny):
    noisy, lengths = noise(2, 900), torch.tensor([1.0, 0.5])
    assert torch.equal(tiny(noisy, lengths), tiny.enhance_batch(noisy, lengths))


def test_pieces_give_what_one_pass_gives(unchanged):
    wav = noise(2, 40000)
    enhancer = unchanged.mods.enhance_model
    enhancer.pieces = Pieces(10**6)
    whole = unchanged.enhance_waveform(wav, 16000)
    enhancer.pieces = Pieces(8 * 128, 2 * 128, at_once=3)
    in_pieces = unchanged.enhance_waveform(wav, 16000)
    torch.testing.assert_close(in_pieces, whole, atol=1e-5, rtol=0)


def test_how_many_pieces_run_at_once_changes_nothing(tiny):
    wav = noise(2, 9000)
    enhancer = tiny.mods.enhance_model
    found = []
    for at_once in (1, 3):
        enhancer.pieces = Pieces(23 * 128, 4 * 128, at_once=at_once)
        found.append(tiny.enhance_waveform(wav, 16000))
    assert (found[0] - found[1]).norm() < 1e-4 * found[0].norm()


@pytest.mark.parametrize("mix", [0.0, 0.5])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_recording_is_read_only_a_little_ahead(unchanged, rate, mix):
    class Endless(Waveform):
        """Counts the samples that were read of an hour of silence."""

        num_samples = 3600 * rate

        def blocks(self):
            for _ in range(3600):
                read.append(rate)
                yield torch.zeros(1, rate)

    read, made = [], 0
    source = Endless("an hour", torch.zeros(1, 1), rate)
    readers = 2 if mix else 1
    stream = unchanged.enhance_blocks(source, mix=mix)
    for _ in range(20):
        made += next(stream).shape[-1]
        assert sum(read) / readers - made < 10 * rate
    assert made > 30 * rate


def test_half_precision_runs_and_stays_close(exported, tiny):
    half = GALDSEEnhancement.from_hparams(
        exported, run_opts={"device": "cpu", "precision": "bf16"}
    )
    wav = noise(3000)
    full = tiny.enhance_waveform(wav, 16000)
    for found in (
        half.enhance_waveform(wav, 16000),
        half.enhance_batch(wav[None])[0],
    ):
        assert found.dtype == torch.float32
        assert 0 < (found - full).norm() < 0.2 * full.norm()


def test_gradients_flow_unless_all_is_frozen(exported, tiny):
    noisy = noise(1, 900).requires_grad_()
    assert not tiny.enhance_batch(noisy).requires_grad
    free = GALDSEEnhancement.from_hparams(
        exported, run_opts=CPU, freeze_params=False
    )
    free.enhance_batch(noisy).square().sum().backward()
    assert noisy.grad.isfinite().all() and noisy.grad.any()
    grads = [p.grad for p in free.mods.enhance_model.system.net.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)
    assert not free.enhance_waveform(noise(500), 16000).requires_grad


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_what_is_returned_is_what_is_written(tiny, tmp_path, kind):
    wav = noise(2, 2500)
    path = tmp_path / "noisy.wav"
    soundfile.write(path, wav.t().numpy(), 22050, subtype="FLOAT")
    made = tmp_path / "new" / "folder" / "enhanced.wav"
    found = tiny.enhance_file(kind(path), kind(made))
    assert torch.equal(found, tiny.enhance_waveform(wav, 22050))
    samples, rate = soundfile.read(made, dtype="float32")
    assert rate == 22050 and soundfile.info(made).subtype == "FLOAT"
    assert torch.equal(torch.from_numpy(samples).t(), found)


def test_one_channel_comes_back_as_one_axis(unchanged, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(700).numpy(), 8000)
    assert unchanged.enhance_file(tmp_path / "a.wav").shape == (700,)


def test_a_file_may_take_its_own_place(tiny, tmp_path):
    wav, path = noise(900), tmp_path / "a.wav"
    soundfile.write(path, wav.numpy(), 16000, subtype="FLOAT")
    found = tiny.enhance_file(path, path, mix=0.5)
    expected = tiny.enhance_waveform(wav, 16000, mix=0.5)
    assert torch.equal(found, expected)
    assert torch.equal(tiny.enhance_file(path, mix=1.0), expected)


def test_a_bad_sample_names_its_file_and_leaves_no_output(unchanged, tmp_path):
    wav = noise(900).numpy()
    wav[700] = np.nan
    path = tmp_path / "bad.wav"
    soundfile.write(path, wav, 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match="bad.wav: sample 700 of channel 0"):
        unchanged.enhance_file(path, tmp_path / "out.wav")
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("missing", ["nothing.wav", "speechbrain/nothing.wav"])
def test_a_missing_file_is_an_error_before_the_hub_is_asked(
    unchanged, no_network, missing
):
    with pytest.raises(FileNotFoundError, match=missing):
        unchanged.enhance_file(missing)


@pytest.mark.parametrize(
    "source", ["nothing", "./no/thing", "/no/thing", "a/b/c", "no thing/x", ""]
)
def test_a_missing_folder_is_an_error_before_the_hub_is_asked(
    no_network, source, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{source} (is|has) no"):
        GALDSEEnhancement.from_hparams(source)


def test_a_folder_that_is_no_model_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="no hyperparams.*galdse expo"):
        GALDSEEnhancement.from_hparams(tmp_path)


def test_a_folder_of_files_keeps_names_and_subfolders(
    unchanged, tmp_path, capsys
):
    noisy, made = tmp_path / "noisy", tmp_path / "made"
    names = ["a.wav", "b/c.flac", "b/ü/d.wav"]
    for i, name in enumerate(names):
        (noisy / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(noisy / name, noise(500 + i).numpy(), 16000)
    (noisy / "notes.txt").write_text("not audio")
    outcomes = unchanged.enhance_folder(noisy, made, progress=False)
    assert capsys.readouterr() == ("", "")
    assert [one.target for one in outcomes] == [made / name for name in names]
    assert not any(one.error or one.skipped for one in outcomes)
    for i, name in enumerate(names):
        assert soundfile.info(made / name).frames == 500 + i
    again = unchanged.enhance_folder(noisy, made)
    assert all(one.skipped for one in again)
    anew = unchanged.enhance_folder(noisy, made, overwrite=True)
    assert not any(one.skipped for one in anew)


def test_memory_is_given_back_after_every_minute_of_audio(tiny, monkeypatch):
    released = []
    monkeypatch.setattr(
        inference, "release_freed_memory", lambda: released.append(True)
    )
    monkeypatch.setattr(inference, "RELEASE_AFTER", 0.1)
    for _ in range(7):
        tiny.enhance_waveform(noise(1, 800), 16000)  # 0.05 s
    assert len(released) == 2
