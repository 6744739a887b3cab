"""Pairs of clean and noisy speech from SpeechBrain's JSON manifests.

Authors
 * The galdse developers
"""

from contextlib import contextmanager
from zlib import crc32

import torch
from speechbrain.dataio import audio_io
from speechbrain.dataio.dataset import DynamicItemDataset

OUTPUT_KEYS = ["id", "clean_sig", "noisy_sig"]


def read(path, sample_rate, start=0, num_samples=-1):
    """Samples (N,) of a mono file, read from ``start`` on.

    ValueError names a file of another rate, with several channels or with
    values that are not finite.
    """
    wav, rate = audio_io.load(
        path, frame_offset=start, num_frames=num_samples, always_2d=False
    )
    if rate != sample_rate:
        raise ValueError(f"{path} has {rate} Hz, expected {sample_rate} Hz")
    if wav.ndim != 1:
        raise ValueError(f"{path} has {wav.shape[0]} channels, expected one")
    if not wav.isfinite().all():
        raise ValueError(f"{path} holds values that are not finite")
    return wav


@contextmanager
def item_randomness(*key):
    """Random numbers that depend on a key alone, such as (seed, epoch, id).

    Example
    -------
    >>> with item_randomness(3234, 1, "p226_001"):
    ...     torch.randint(1000, ())
    tensor(286)
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(crc32(repr(key).encode()))
        yield


def same_length(clean_wav, noisy_wav):
    """Samples of a pair; ValueError if its files differ."""
    clean, noisy = (
        audio_io.info(path).num_frames for path in (clean_wav, noisy_wav)
    )
    if clean != noisy:
        raise ValueError(
            f"{clean_wav} has {clean} samples but {noisy_wav} has {noisy}; "
            "a pair has one length"
        )
    return clean


def pad_around(wav, num_samples):
    """Zeros on both sides up to ``num_samples``; longer waveforms stay."""
    missing = max(num_samples - len(wav), 0)
    before = missing // 2
    return torch.nn.functional.pad(wav, (before, missing - before))


def random_start(length, num_samples):
    """Where a piece of ``num_samples`` out of ``length`` starts."""
    return int(torch.randint(max(length - num_samples, 0) + 1, ()))


def random_piece(path, sample_rate, num_samples):
    """A random piece (num_samples,) of a file, or all of a shorter one."""
    length = audio_io.info(path).num_frames
    if not length:
        raise ValueError(f"{path} holds no samples")
    start = random_start(length, num_samples)
    return read(path, sample_rate, start, num_samples)


def random_crop(sample_rate, num_samples, seed, epochs):
    """Pipeline that reads a crop of a pair, in every epoch another one."""

    def crop(name, clean_wav, noisy_wav):
        length = same_length(clean_wav, noisy_wav)
        with item_randomness(seed, epochs.current, name):
            start = random_start(length, num_samples)
        for path in (clean_wav, noisy_wav):
            wav = read(path, sample_rate, start, num_samples)
            yield pad_around(wav, num_samples)

    return crop


def whole(sample_rate):
    """Pipeline that reads whole utterances, as they are."""

    def utterance(name, clean_wav, noisy_wav):
        same_length(clean_wav, noisy_wav)
        yield read(clean_wav, sample_rate)
        yield read(noisy_wav, sample_rate)

    return utterance


def paired_datasets(
    annotations, data_folder, sample_rate, segment_samples, seed, epochs
):
    """Datasets of the three splits.

    Arguments
    ---------
    annotations : dict
        ``train``, ``valid`` and ``test``: paths of JSON manifests with the
        keys ``clean_wav`` and ``noisy_wav``.
    data_folder : str
        Takes the place of ``{data_root}`` in the manifests.
    sample_rate : int
        In Hz; other files are an error.
    segment_samples : int
        Length of the training crops.
    seed : int
        Of the crops.
    epochs : speechbrain.utils.epoch_loop.EpochCounter
        Crops depend on its current epoch and on their id, so that neither
        workers nor an interruption change them. Workers see it when they
        start, so they must not be persistent.

    Returns
    -------
    datasets : dict
        Split to DynamicItemDataset with ``id``, ``clean_sig``, ``noisy_sig``.
    """
    readers = {split: whole(sample_rate) for split in annotations}
    readers["train"] = random_crop(sample_rate, segment_samples, seed, epochs)
    datasets = {}
    for split, path in annotations.items():
        datasets[split] = dataset = DynamicItemDataset.from_json(
            path, replacements={"data_root": data_folder}
        )
        dataset.add_dynamic_item(
            readers[split],
            takes=["id", "clean_wav", "noisy_wav"],
            provides=["clean_sig", "noisy_sig"],
        )
        dataset.set_output_keys(OUTPUT_KEYS)
    return datasets
