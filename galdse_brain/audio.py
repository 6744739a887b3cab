"""Audio files and waveforms as streams of blocks (C, n), at any rate.

Authors
 * The galdse developers
"""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import soundfile
import torch

FORMATS = sorted(set(soundfile.available_formats()) - {"RAW"})  # headerless
ALIASES = {"OPUS": "OGG", "OGA": "OGG", "AIF": "AIFF", "SPH": "NIST"}
SUBTYPES = {".opus": "OPUS"}  # where a suffix says more than the format
WAVS = {"WAV", "WAVEX", "RF64"}  # one suffix; RF64 may exceed 4 GB
SUFFIXES = {f".{name.lower()}" for name in (*FORMATS, *ALIASES)}
BLOCK = 160000  # samples that are read at once
UNKNOWN_LENGTH = 2**63 - 1  # As libsndfile says it of piped FLAC
RATES = 8000, 96000  # Hz
MAX_CHANNELS = 8


class Waveform(NamedTuple):
    """Samples in memory: a name for messages, (C, N), the rate in Hz."""

    name: str
    samples: torch.Tensor
    sample_rate: int

    @property
    def num_samples(self):
        """Samples of each channel."""
        return self.samples.shape[-1]

    def blocks(self):
        """Consecutive blocks (C, n), all of them finite."""
        _check(self.name, self.sample_rate, *self.samples.shape)
        return _finite(self.name, self.samples.split(BLOCK, dim=-1))


def floats(wav):
    """float32 samples; int16 and int32 are divided by their full scale.

    Example
    -------
    >>> floats(torch.tensor([-32768, 16384], dtype=torch.int16))
    tensor([-1.0000,  0.5000])
    """
    if wav.is_floating_point():
        return wav.float()
    if wav.dtype not in (torch.int16, torch.int32):
        raise ValueError(
            f"samples must be floats, int16 or int32, got {wav.dtype}"
        )
    return (wav.double() / -torch.iinfo(wav.dtype).min).float()


class Recording:
    """An audio file that libsndfile reads, as a stream.

    Arguments
    ---------
    path : str, pathlib.Path or file object
        FileNotFoundError, IsADirectoryError or ValueError, with its name, if
        it is no audio file.
    name : str, optional
        For messages, by default the path.
    """

    def __init__(self, path, name=None):
        self.path, self.name = path, name or str(path)
        if name is None and not Path(path).is_file():
            wrong = IsADirectoryError if Path(path).is_dir() else None
            raise (wrong or FileNotFoundError)(f"{path} is no file")
        with self._opened() as file:
            self.sample_rate, self.num_samples = file.samplerate, file.frames
            self.channels, self.subtype = file.channels, file.subtype
            self.format = file.format
            if self.num_samples == UNKNOWN_LENGTH:
                count = iter(lambda: len(file.read(BLOCK, "float32")), 0)
                self.num_samples = sum(count)

    @contextmanager
    def _opened(self):
        try:
            with soundfile.SoundFile(_opened_anew(self.path)) as file:
                # soundfile would seek after each read: mp3 clicks there.
                file.seekable = lambda: False
                yield file
        except (soundfile.LibsndfileError, TypeError) as error:
            raise ValueError(
                f"{self.name} is no audio file that can be read: "
                f"{getattr(error, 'error_string', error)}"
            ) from error

    def blocks(self):
        """Consecutive blocks (C, n), all of them finite."""
        _check(self.name, self.sample_rate, self.channels, self.num_samples)
        return _finite(self.name, self._read())

    def _read(self):
        found = 0
        with self._opened() as file:
            while found < self.num_samples:
                wanted = min(BLOCK, self.num_samples - found)
                block = file.read(wanted, dtype="float32", always_2d=True)
                found += len(block)
                if not len(block):
                    raise ValueError(
                        f"{self.name} ends after {found} of "
                        f"{self.num_samples} samples"
                    )
                yield torch.from_numpy(block.T.copy())


def _opened_anew(path):
    """A path as it is, a file object from its start."""
    if hasattr(path, "seek"):
        path.seek(0)
        return path
    return os.fsencode(path)


def _check(name, sample_rate, channels, num_samples):
    if num_samples == 0:
        raise ValueError(f"{name} has 0 samples, at least one is needed")
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(
            f"{name} has {sample_rate} Hz, {RATES[0]} to {RATES[1]} can be used"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(
            f"{name} has {channels} channels, 1 to {MAX_CHANNELS} can be used"
        )


def check_finite(name, block, start=0):
    """ValueError names the first NaN or infinity in a block (C, n)."""
    bad = (~block.isfinite()).nonzero()
    if len(bad):
        channel, sample = bad[bad[:, 1].argmin()].tolist()
        raise ValueError(
            f"{name}: sample {start + sample} of channel {channel} is "
            f"{block[channel, sample].item()}, all must be finite"
        )


def _finite(name, blocks):
    start = 0
    for block in blocks:
        check_finite(name, block, start)
        start += block.shape[-1]
        yield block


def file_format(path):
    """What libsndfile calls the format of a name, ``WAV`` for ``a.wav``.

    ValueError names the formats that can be written.
    """
    suffix = Path(path).suffix.removeprefix(".").upper()
    found = ALIASES.get(suffix, suffix)
    if found not in FORMATS:
        raise ValueError(
            f"{path}: {suffix or 'no suffix'} is none of the formats that can "
            f"be written: {', '.join(FORMATS)}"
        )
    return found


def encoding(path, source):
    """Format and subtype of a name that is written from a recording.

    The suffix chooses the format; the recording's own subtype is kept if it
    has the same one.
    """
    kind = file_format(path)
    if {kind, source.format} <= WAVS:
        kind = source.format
    same = source.subtype if kind == source.format else None
    return kind, SUBTYPES.get(Path(path).suffix.lower(), same)


@contextmanager
def written(path, source):
    """An audio file to write blocks to; all of it appears, or nothing.

    Arguments
    ---------
    path : str or pathlib.Path
        Its suffix chooses the format. Folders are made.
    source : Recording
        Whose rate and channels the file gets, and its ``encoding``.

    Yields
    ------
    write : callable
        Takes blocks (C, n); what exceeds full scale is clipped by integer
        encodings. ValueError names a file that cannot be written.
    """
    with whole(path) as half:
        with opened_to_write(os.fsencode(half), path, source) as write:
            yield write


@contextmanager
def whole(path):
    """Another name to write to; then all of the file appears, or nothing.

    Folders are made. OSError if nothing can be written there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".galdse-{uuid4().hex}.part")
    try:
        half.touch()
        yield half
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def opened_to_write(target, name, source):
    """As ``written``, under this name but into another path or file object."""
    kind, subtype = encoding(name, source)
    shape = source.sample_rate, source.channels
    try:
        with soundfile.SoundFile(
            target, "w", *shape, subtype, format=kind
        ) as file:

            def write(block):
                for part in block.split(BLOCK, dim=-1):  # Vorbis dies of more.
                    file.write(part.T.numpy())

            yield write
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{name} cannot be written as {kind} of {shape[0]} Hz with "
            f"{shape[1]} channels: {error.error_string}"
        ) from error
