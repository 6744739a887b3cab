"""Audio files: every sample that is there, and never half a file."""

import io
import os
import resource
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galdse_brain.audio import (
    BLOCK,
    Recording,
    Waveform,
    check_finite,
    encoding,
    file_format,
    floats,
    written,
)


def like(rate=16000, channels=1, kind="WAV", subtype="PCM_16"):
    """What a file is written like."""
    return SimpleNamespace(
        sample_rate=rate, channels=channels, format=kind, subtype=subtype
    )


def noise(num_samples, channels=1):
    """White noise (C, N) that clips nowhere."""
    return (0.1 * torch.randn(channels, num_samples)).clamp(-1, 1)


def read(path):
    """All blocks of a file, (C, N)."""
    return torch.cat(list(Recording(path).blocks()), dim=-1)


def write(path, wav, source=None):
    """Write (C, N) in two blocks."""
    with written(path, source or like(channels=len(wav))) as write_block:
        for part in wav.tensor_split(2, dim=-1):
            write_block(part)
    return path


@pytest.mark.parametrize(
    "suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff"]
)
def test_a_stream_reads_what_one_call_reads(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", noise(2 * BLOCK + 999))
    expected, _ = soundfile.read(path, dtype="float32")
    found = read(path)[0]
    assert len(found) == 2 * BLOCK + 999
    torch.testing.assert_close(
        found, torch.from_numpy(expected), atol=1e-6, rtol=0
    )


@settings(max_examples=25, derandomize=True, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([8000, 11025, 44100, 96000]),
    st.integers(1, 8),
    st.sampled_from(["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]),
)
def test_what_was_written_is_read(tmp_path_factory, n, rate, channels, subtype):
    path = tmp_path_factory.getbasetemp() / "any.wav"
    wav = noise(n, channels)
    source = like(rate, channels, subtype=subtype)
    write(path, wav, source)
    recording = Recording(path)
    assert vars(source).items() <= vars(recording).items()
    torch.testing.assert_close(read(path), wav, atol=2.0**-15, rtol=0)
    write(path, read(path), source)
    assert torch.equal(read(path), read(write(path, read(path), source)))


def test_16_bits_survive_reading_and_writing_exactly(tmp_path):
    levels = np.arange(-(2**15), 2**15, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", levels, 16000)
    write(tmp_path / "b.wav", read(tmp_path / "a.wav"))
    found, _ = soundfile.read(tmp_path / "b.wav", dtype="int16")
    assert np.array_equal(found, levels)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
def test_integers_clip_what_exceeds_full_scale(tmp_path, subtype):
    wav = torch.linspace(-3, 3, 1001)[None]
    path = write(tmp_path / "a.wav", wav, like(subtype=subtype))
    torch.testing.assert_close(
        read(path), wav.clamp(-1, 1), atol=2.0**-7, rtol=0
    )


def test_floats_keep_what_exceeds_full_scale(tmp_path):
    wav = torch.linspace(-3, 3, 1001)[None]
    path = write(tmp_path / "a.wav", wav, like(subtype="FLOAT"))
    assert torch.equal(read(path), wav)


@pytest.mark.parametrize(
    "name, source, expected",
    [
        ("a.wav", like(subtype="PCM_24"), ("WAV", "PCM_24")),
        ("a.WAV", like(kind="WAVEX", subtype="FLOAT"), ("WAVEX", "FLOAT")),
        ("a.wav", like(kind="RF64", subtype="PCM_24"), ("RF64", "PCM_24")),
        ("a.wav", like(kind="MP3", subtype="MPEG_LAYER_III"), ("WAV", None)),
        ("a.flac", like(subtype="PCM_24"), ("FLAC", None)),
        ("a.opus", like(), ("OGG", "OPUS")),
        ("a.opus", like(kind="OGG", subtype="VORBIS"), ("OGG", "OPUS")),
        ("a.ogg", like(kind="OGG", subtype="VORBIS"), ("OGG", "VORBIS")),
        ("a.sph", like(kind="NIST", subtype="ULAW"), ("NIST", "ULAW")),
        ("a.aif", like(), ("AIFF", None)),
    ],
)
def test_a_name_chooses_the_format_and_the_source_the_encoding(
    name, source, expected
):
    assert encoding(name, source) == expected


@pytest.mark.parametrize("name", ["a.raw", "a", "a.xyz", ".wav"])
def test_a_name_that_means_no_format_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: .* formats that can be wri"):
        file_format(name)


@pytest.mark.parametrize("suffix, channels", [("ogg", 1), ("mp3", 2)])
def test_a_block_of_minutes_can_be_compressed(tmp_path, suffix, channels):
    wav = torch.zeros(channels, 6_000_000)
    source = like(48000, channels)
    with written(tmp_path / f"a.{suffix}", source) as write_block:
        write_block(wav)
    assert Recording(tmp_path / f"a.{suffix}").num_samples == 6_000_000


@pytest.mark.parametrize(
    "suffix, rate, channels",
    [("opus", 44100, 1), ("mp3", 96000, 1), ("mp3", 16000, 8)],
)
def test_what_a_format_cannot_hold_is_named(tmp_path, suffix, rate, channels):
    path = tmp_path / f"a.{suffix}"
    wrong = rf"a.{suffix} cannot be written as .* {rate} Hz with {channels} cha"
    with pytest.raises(ValueError, match=wrong):
        write(path, noise(100, channels), like(rate, channels))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_no_half_file_and_the_old_one(tmp_path, error):
    path = write(tmp_path / "a.wav", noise(100))
    before = path.read_bytes()
    with pytest.raises(error):
        with written(path, like()) as write_block:
            write_block(noise(5))
            raise error
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, suffix):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
    try:
        with pytest.raises(ValueError, match=f"a.{suffix} cannot be written"):
            write(tmp_path / f"a.{suffix}", noise(400000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "a.wav", noise(5))


NAMES = [
    "ünïcödé 语音 🎤.wav",
    "with space.wav",
    "[a]*?.wav",
    "-a.wav",
    "x" * 251 + ".wav",
    "语" * 83 + ".wav",
    os.fsdecode(b"\xff\xfe.wav"),
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_that_a_disk_takes_can_be_read_and_written(tmp_path, name):
    wav = noise(50)
    path = write(tmp_path / name, wav, like(subtype="FLOAT"))
    assert torch.equal(read(path), wav)
    assert torch.equal(read(str(path)), wav)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.wav"):
        Recording(tmp_path / "nothing.wav")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(IsADirectoryError, match="folder.wav"):
        Recording(tmp_path / "folder.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.raw", "a"])
@pytest.mark.parametrize("content", [b"", b"It is a text.\n" * 50])
def test_what_is_no_audio_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is no audio file"):
        Recording(tmp_path / name)


def test_of_a_truncated_wav_all_that_is_there_is_read(tmp_path):
    wav = noise(1000)
    whole = write(tmp_path / "a.wav", wav, like(subtype="FLOAT")).read_bytes()
    (tmp_path / "b.wav").write_bytes(whole[:-2001])
    found = read(tmp_path / "b.wav")
    assert found.shape == (1, 499)
    assert torch.equal(found, wav[:, :499])


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_a_truncated_stream_is_an_error_and_no_invention(tmp_path, suffix):
    whole = write(tmp_path / f"a.{suffix}", noise(3 * BLOCK)).read_bytes()
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=f"b.{suffix} (ends after|is no audio)"
    ):
        read(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_does_not_know_its_length_is_read_to_its_end(size):
    samples = np.arange(1000, dtype="<i2").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", size, b"WAVE"),
        *(b"fmt ", 16, 1, 1, 16000, 32000, 2, 16),
        *(b"data", size),
    )
    recording = Recording(io.BytesIO(header + samples), "standard input")
    assert recording.num_samples == 1000
    for _ in range(2):
        found = torch.cat(list(recording.blocks()), dim=-1)
        assert torch.equal(found[0] * 32768, torch.arange(1000.0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named_with_its_place(tmp_path, value):
    wav = np.zeros((BLOCK + 100, 3), dtype="float32")
    wav[BLOCK + 7, 1] = value
    wav[BLOCK + 9, 0] = value
    path = tmp_path / "bad.wav"
    soundfile.write(path, wav, 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match="bad.wav") as error:
        read(path)
    assert f"sample {BLOCK + 7} of channel 1 is {value}" in str(error.value)


@pytest.mark.parametrize(
    "shape, rate, wrong",
    [
        ((1, 0), 16000, "noise has 0 samples"),
        ((0, 5), 16000, "noise has 0 channels"),
        ((9, 5), 16000, "noise has 9 channels, 1 to 8"),
        ((1, 5), 7999, "noise has 7999 Hz, 8000 to 96000"),
        ((1, 5), 96001, "noise has 96001 Hz"),
        ((1, 5), 0, "noise has 0 Hz"),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_read(shape, rate, wrong):
    with pytest.raises(ValueError, match=wrong):
        Waveform("noise", torch.zeros(shape), rate).blocks()


def test_the_first_bad_sample_in_time_is_found():
    block = torch.zeros(2, 10)
    block[0, 5] = block[1, 4] = torch.nan
    with pytest.raises(ValueError, match="x: sample 104 of channel 1 is nan"):
        check_finite("x", block, start=100)


@pytest.mark.parametrize("kind", [torch.int16, torch.int32])
def test_integers_come_to_full_scale(kind):
    lowest, highest = torch.iinfo(kind).min, torch.iinfo(kind).max
    found = floats(torch.tensor([lowest, 0, highest], dtype=kind))
    torch.testing.assert_close(
        found, torch.tensor([-1.0, 0.0, 1.0]), atol=4e-5, rtol=0
    )
    assert found.dtype == torch.float32


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_all_floats_become_single_precision(kind):
    wav = torch.tensor([-1.5, 0.25], dtype=kind)
    assert torch.equal(floats(wav), torch.tensor([-1.5, 0.25]))


@pytest.mark.parametrize(
    "kind", [torch.uint8, torch.int8, torch.int64, torch.bool, torch.complex64]
)
def test_other_kinds_of_samples_are_refused(kind):
    with pytest.raises(ValueError, match=f"int16 or int32, got {kind}"):
        floats(torch.zeros(5, dtype=kind))


def test_flac_that_does_not_say_its_length_is_counted(tmp_path):
    """An encoder that writes to a pipe cannot go back and say it."""
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(3000)[0].numpy(), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    recording = Recording(path)
    assert recording.num_samples == 3000
    assert sum(block.shape[1] for block in recording.blocks()) == 3000
