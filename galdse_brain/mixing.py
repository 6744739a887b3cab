"""Noisy speech that is mixed while it is read: no two epochs are alike.

Authors
 * The galdse developers
"""

from fnmatch import fnmatch
from pathlib import Path

import torch
from speechbrain.dataio.dataio import load_data_csv, load_data_json
from speechbrain.processing.signal_processing import reverberate
from torch.utils.data import ConcatDataset, Dataset

from galdse_brain.audio import SUFFIXES
from galdse_brain.data import (
    item_randomness,
    pad_around,
    random_piece,
    random_start,
    read,
)

MANIFESTS = {".json": load_data_json, ".csv": load_data_csv}
QUIET = 1e-3  # RMS below which nothing is made louder


class AudioFiles:
    """Audio files in groups, such as speakers or kinds of noise.

    Arguments
    ---------
    roots : list of str
        Folders, whose first level of folders is the groups (in a flat one,
        the names up to the first ``_``), or SpeechBrain manifests (JSON or
        CSV) with the keys ``wav`` and, for the group, ``spk_id``.
    exponent : float
        A group is drawn in proportion to its number of files to this power:
        0 treats all groups alike, 1 all files.
    only, never : list of str
        Patterns of the groups that are used, and of those that are not.
    """

    def __init__(self, roots, exponent, only=("*",), never=()):
        self.groups = {}
        for root in roots:
            for group, path in listed(Path(root)):
                wanted = matches(group, only) and not matches(group, never)
                if wanted:
                    self.groups.setdefault(group, []).append(path)
        if roots and not self.groups:
            raise FileNotFoundError(
                f"no audio in {list(roots)} of the groups {list(only)} "
                f"without {list(never)}"
            )
        self.exponent = exponent

    def draw(self, never=()):
        """A random group whose name has no pattern of ``never``, and a file."""
        names = [name for name in self.groups if not matches(name, never)]
        if not names:
            raise ValueError(
                f"all of the groups {sorted(self.groups)} are kept apart: "
                f"{list(never)}"
            )
        sizes = [len(self.groups[name]) for name in names]
        weights = torch.tensor(sizes, dtype=torch.float64) ** self.exponent
        name = names[int(torch.multinomial(weights, 1))]
        files = self.groups[name]
        return name, files[int(torch.randint(len(files), ()))]


def listed(root):
    """Groups and paths of the audio of a folder or manifest, in order."""
    if root.suffix in MANIFESTS:
        for name, row in MANIFESTS[root.suffix](root).items():
            yield row.get("spk_id", name), row["wav"]
        return
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            folder, *rest = path.relative_to(root).parts
            yield folder if rest else path.stem.partition("_")[0], str(path)


def matches(name, patterns):
    """Whether a name has one of the patterns, as in a shell."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def active_level(wav):
    """RMS of a waveform (N,) over its frames within 30 dB of the loudest."""
    size = min(400, len(wav))
    power = wav.unfold(0, size, size).square().mean(1)
    return power[power >= power.max() * 1e-3].mean().sqrt()


class DynamicMixing(Dataset):
    """Pairs of clean speech and of its mixture with noise.

    An item depends on seed, epoch and index alone: neither the number of
    workers nor that of processes, whose indices differ, changes it. Clean is
    the speech as it is in the mixture, after its effects and in its room.

    Arguments
    ---------
    speech, noise : AudioFiles
        Where both come from. Files are read in pieces, never as a whole.
    sample_rate : int
        In Hz; other files are an error.
    num_items : int
        Of an epoch.
    num_samples, window_samples : int
        Length of an item, and of the piece of speech that it is cut from,
        over which the level of the speech is taken.
    snr : list of float
        Lowest and highest ratio of speech to noise in dB, equally likely.
    seed : int
        Of the experiment.
    epochs : speechbrain.utils.epoch_loop.EpochCounter
        Its current epoch is that of the items; one that never counts gives
        the same items for ever. Workers see it when they start, so they must
        not be persistent.
    speech_effects, noise_effects : list of callable
        Random changes (1, N) -> (1, M), such as SpeechBrain's
        ``augment.time_domain.SpeedPerturb``.
    apart : list of (str, str)
        Patterns of noise and speaker that are never mixed: babble must not
        hold the voice that is to be enhanced.
    rooms : AudioFiles
        Impulse responses.
    room_share : float
        Share of the items that get one; ValueError if there is none.
    """

    def __init__(
        self,
        speech,
        noise,
        sample_rate,
        num_items,
        num_samples,
        window_samples,
        snr,
        seed,
        epochs,
        speech_effects=(),
        noise_effects=(),
        apart=(),
        rooms=AudioFiles([], exponent=1.0),  # noqa: B008 immutable
        room_share=0.0,
    ):
        self.speech, self.noise, self.rooms = speech, noise, rooms
        self.sample_rate, self.num_items = sample_rate, num_items
        self.num_samples = num_samples
        self.window_samples = max(window_samples, num_samples)
        self.snr = snr
        self.seed, self.epochs = seed, epochs
        self.speech_effects = speech_effects
        self.noise_effects = noise_effects
        self.apart = apart
        self.room_share = room_share
        if room_share and not rooms.groups:
            raise ValueError(f"room_share is {room_share}, but rooms has none")

    def __len__(self):
        return self.num_items

    def __getitem__(self, index):
        """Id, clean and noisy waveform, both (num_samples,)."""
        if not 0 <= index < self.num_items:
            raise IndexError(f"item {index} of {self.num_items}")
        with item_randomness(self.seed, self.epochs.current, index):
            speaker, window = self.draw_speech()
            noise = self.draw_noise(speaker)
            snr = torch.empty(()).uniform_(*self.snr)
            start = random_start(len(window), self.num_samples)
        clean = window[start : start + self.num_samples]
        clean = pad_around(clean, self.num_samples)
        speech_level = active_level(window).clamp(min=QUIET)
        noise_level = noise.square().mean().sqrt().clamp(min=QUIET)
        gain = speech_level / noise_level * 10 ** (-snr / 20)
        return {
            "id": f"mixture_{index:06d}",
            "clean_sig": clean,
            "noisy_sig": clean + gain * noise,
        }

    def draw_speech(self):
        """A speaker and a window of speech (N,)."""
        speaker, path = self.speech.draw()
        wav = random_piece(path, self.sample_rate, self.window_samples)
        wav = changed(wav, self.speech_effects)
        if torch.rand(()) < self.room_share:
            _, path = self.rooms.draw()
            wav = reverberate(wav[None], read(path, self.sample_rate))[0]
        return speaker, wav

    def draw_noise(self, speaker):
        """Noise (num_samples,) of a kind that goes with a speaker."""
        never = [kind for kind, who in self.apart if fnmatch(speaker, who)]
        _, path = self.noise.draw(never)
        wav = random_piece(path, self.sample_rate, self.num_samples)
        wav = changed(wav, self.noise_effects)
        return wav.repeat(-(-self.num_samples // len(wav)))[: self.num_samples]


def changed(wav, effects):
    """A waveform (N,) after its effects."""
    for effect in effects:
        wav = effect(wav[None])[0]
    return wav


def with_mixtures(pairs, mixtures):
    """Datasets whose splits hold pairs, mixtures or both.

    Arguments
    ---------
    pairs : callable
        Gives the datasets of pairs by split, see ``data.paired_datasets``.
    mixtures : dict
        Split to a DynamicMixing.

    Returns
    -------
    datasets : dict
        Split to a dataset of ``id``, ``clean_sig`` and ``noisy_sig``.
    """
    parts = {split: [dataset] for split, dataset in pairs().items()}
    for split, mixing in mixtures.items():
        parts.setdefault(split, []).append(mixing)
    return {split: ConcatDataset(part) for split, part in parts.items()}
