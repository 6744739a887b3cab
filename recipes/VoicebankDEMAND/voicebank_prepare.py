"""Prepares VoiceBank-DEMAND for speech enhancement.

Download: https://datashare.ed.ac.uk/handle/10283/2791 (DOI 10.7488/ds/2117),
by hand or with ``download=True``. Needs no lexicon and no transcripts, and a
network only to download.

    python voicebank_prepare.py DATA_FOLDER SAVE_FOLDER [--download]

Authors
 * The galdse developers
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import soundfile
from speechbrain.dataio import audio_io
from torchaudio.functional import resample
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

SAMPLE_RATE = 16000
SAMPLE_RATES = (SAMPLE_RATE, 48000)
SPLITS = ("train", "valid", "test")
TRANSCRIPTS = ("trainset_28spk_txt", "testset_txt")

# Clean and noisy folder of each split: the official names, SpeechBrain's, and
# a folder per split. The first layout that is complete is used.
OFFICIAL = {
    "train": ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav"),
    "test": ("clean_testset_wav", "noisy_testset_wav"),
}
LAYOUTS = (
    OFFICIAL,
    {key: (f"{c}_16k", f"{n}_16k") for key, (c, n) in OFFICIAL.items()},
    {key: (f"{key}/clean", f"{key}/noisy") for key in SPLITS},
)

# The REST address: the older /bitstream/handle/ addresses may answer with a
# web page, and only this one can resume.
BASE_URL = "https://datashare.ed.ac.uk/server/api/core/bitstreams"
# From the metadata of DataShare's record 10283/2791, as several independent
# public projects quote them alike.
BITSTREAMS = {
    "clean_testset_wav": "dec213d3-bf57-4777-9663-c24bdce92d5e",
    "noisy_testset_wav": "13c1bfbf-14a6-41db-9b41-8f7310f01ad5",
    "clean_trainset_28spk_wav": "245452b6-6235-44b6-a6f9-e7eb19797769",
    "noisy_trainset_28spk_wav": "ecb5a102-bb00-46d3-8af5-40c79823b837",
}
MD5S = {
    "clean_testset_wav": "34eb1c0ba7ef667e9b966866c542fc16",
    "noisy_testset_wav": "fb1b86caa31e8ba5b506c0c64da9aab5",
    "clean_trainset_28spk_wav": "d2d5a45ec32f8fcbf201bde0447e20ba",
    "noisy_trainset_28spk_wav": "1fca9e8bafb8cd069f6653c6d92f9e9c",
}


def prepare_voicebank(
    data_folder,
    save_folder,
    valid_speakers=("p226", "p287"),
    download=False,
    skip_prep=False,
    num_workers=None,
    splits=SPLITS,
):
    """Writes train.json, valid.json and test.json for VoiceBank-DEMAND.

    Each item holds ``noisy_wav``, ``clean_wav``, ``length`` in seconds and,
    if its transcript is in trainset_28spk_txt or testset_txt, ``words`` in
    upper case. The corpus, mono wav or flac files, lies in the official
    folders (clean_trainset_28spk_wav, ...), in SpeechBrain's (the same with
    _16k), or in clean/ and noisy/ of train/, valid/ and test/. Files at 48 kHz
    are resampled once to 16 kHz, into ``<folder>_16k`` beside their folder.
    A file that breaks a rule is a ValueError, one that is missing is a
    FileNotFoundError, and no JSON file is written.

    Arguments
    ---------
    data_folder : str
        Folder of the corpus, ``{data_root}`` in the JSON files.
    save_folder : str
        Folder for the JSON files, which are always written anew.
    valid_speakers : tuple of str
        Speakers that are taken out of train for validation, unless the corpus
        has a folder valid/.
    download : bool
        Whether to call ``download_voicebank`` first. None counts as True:
        SpeechBrain reads a bare ``--download`` of the command line as None.
    skip_prep : bool
        Whether to only check that the files exist. None as for download.
    num_workers : int, optional
        Threads that check and resample, by default a few more than cores.
    splits : sequence of str
        Those that are written, or checked.

    Example
    -------
    >>> import torch
    >>> corpus = Path(getfixture("tmpdir"))
    >>> for folder in ("train", "valid", "test"):
    ...     for kind in ("clean", "noisy"):
    ...         (corpus / folder / kind).mkdir(parents=True)
    ...         path = corpus / folder / kind / "p232_001.wav"
    ...         audio_io.save(path, torch.zeros(8000), 16000)
    >>> prepare_voicebank(corpus, corpus)
    >>> json.loads((corpus / "test.json").read_text())["p232_001"]["length"]
    0.5
    """
    data_folder, save_folder = Path(data_folder), Path(save_folder)
    jsons = {split: save_folder / f"{split}.json" for split in splits}
    if skip_prep in (True, None):
        check_jsons(jsons.values())
        return
    if download in (True, None):
        download_voicebank(data_folder)

    items = {
        split: prepare_split(split, pairs, data_folder, num_workers)
        for split, pairs in find_splits(data_folder, valid_speakers).items()
        if split in splits
    }
    save_folder.mkdir(parents=True, exist_ok=True)
    for split, path in jsons.items():
        write_json(items[split], path)


def check_jsons(paths):
    """Raises FileNotFoundError if a file is missing."""
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: skip_prep must be off to write it"
            )


def find_splits(data_folder, valid_speakers):
    """Finds the (clean, noisy) paths of train, valid and test."""
    splits = {
        split: pair_wavs(data_folder / clean, data_folder / noisy)
        for split, (clean, noisy) in find_layout(data_folder).items()
    }
    if "valid" not in splits:
        splits["train"], splits["valid"] = split_speakers(
            splits["train"], valid_speakers
        )
    return splits


def find_layout(data_folder):
    """Returns the first of LAYOUTS of which all folders exist."""
    if not data_folder.is_dir():
        raise FileNotFoundError(f"data_folder {data_folder} does not exist")
    looked_for = ""
    for layout in LAYOUTS:
        names = [name for pair in layout.values() for name in pair]
        missing = [n for n in names if not (data_folder / n).is_dir()]
        if not missing:
            return layout
        looked_for += f"\n  {', '.join(names)}: no {', '.join(missing)}"
    raise FileNotFoundError(
        f"{data_folder} must hold all folders of one of these:{looked_for}"
    )


def pair_wavs(clean_folder, noisy_folder):
    """Returns the (clean, noisy) paths of two folders, sorted by id."""
    clean, noisy = find_wavs(clean_folder), find_wavs(noisy_folder)
    alone = sorted(clean.keys() ^ noisy.keys())
    if alone:
        path = {**clean, **noisy}[alone[0]]
        raise FileNotFoundError(
            f"{path} has no partner: {path.stem}.wav or .flac must be in both "
            f"{clean_folder} and {noisy_folder}"
        )
    return [(clean[stem], noisy[stem]) for stem in sorted(noisy)]


def find_wavs(folder):
    """Maps each id (file stem) to its wav or flac file."""
    paths = sorted((*folder.glob("*.wav"), *folder.glob("*.flac")))
    wavs = {path.stem: path for path in paths}
    if not 0 < len(wavs) == len(paths):
        raise ValueError(
            f"{folder} has {len(paths)} wav and flac files and {len(wavs)} "
            "ids: it must not be empty, and an id must have one file"
        )
    return wavs


def split_speakers(pairs, valid_speakers):
    """Splits pairs into those of the other and of the valid speakers."""
    prefixes = tuple(f"{speaker}_" for speaker in valid_speakers)
    train = [pair for pair in pairs if not pair[0].stem.startswith(prefixes)]
    valid = [pair for pair in pairs if pair[0].stem.startswith(prefixes)]
    if not train or not valid:
        found = sorted({clean.stem.split("_")[0] for clean, _ in pairs})
        raise ValueError(
            f"valid_speakers are {', '.join(valid_speakers)}, the first of "
            f"the {len(found)} speakers in {pairs[0][0].parent} are "
            f"{', '.join(found[:5])}: train and valid must not be empty"
        )
    return train, valid


def prepare_split(split, pairs, data_folder, num_workers):
    """Returns the items of a split by id."""
    # Threads: reading and resampling release the GIL, and a process would
    # spend longer on importing torch than it saves.
    items = thread_map(
        functools.partial(prepare_item, data_folder),
        pairs,
        max_workers=num_workers,
        desc=f"Preparing {split}",
    )
    return dict(items)


def prepare_item(data_folder, pair):
    """Returns the id and the JSON item of a (clean, noisy) pair of paths."""
    clean, noisy, seconds = prepare_pair(*pair)
    return noisy.stem, {
        "noisy_wav": f"{{data_root}}/{noisy.relative_to(data_folder)}",
        "clean_wav": f"{{data_root}}/{clean.relative_to(data_folder)}",
        "length": seconds,
        **read_words(data_folder, noisy.stem),
    }


def prepare_pair(clean, noisy):
    """Checks a pair, returns its paths at 16 kHz and its length in seconds."""
    header, clean_header = read_header(noisy), read_header(clean)
    rate, count = header.sample_rate, header.num_frames
    if (rate, count) != (clean_header.sample_rate, clean_header.num_frames):
        raise ValueError(
            f"{noisy} has {count} samples at {rate} Hz, {clean} has "
            f"{clean_header.num_frames} at {clean_header.sample_rate} Hz: a "
            "pair must have one length and one sample rate"
        )
    if rate == SAMPLE_RATE:
        return clean, noisy, header.duration
    return prepare_pair(resample_once(clean), resample_once(noisy))


def read_header(path):
    """Returns the header of a mono file at 16 or 48 kHz."""
    try:
        header = audio_io.info(path)
    except RuntimeError as error:
        raise ValueError(f"{path} must be wav or flac: {error}") from error
    rate, channels = header.sample_rate, header.num_channels
    if not header.num_frames or channels != 1 or rate not in SAMPLE_RATES:
        raise ValueError(
            f"{path} has {header.num_frames} samples in {channels} channels "
            f"at {rate} Hz: it must have at least 1 sample in 1 channel at "
            f"{' or '.join(map(str, SAMPLE_RATES))} Hz"
        )
    return header


def resample_once(path):
    """Returns the path of a file's 16-kHz version, made if need be."""
    target = path.parent.with_name(f"{path.parent.name}_16k") / path.name
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        wav, rate = audio_io.load(path, always_2d=False)
        wav = resample(wav, rate, SAMPLE_RATE).numpy()
        file_type = {"subtype": "PCM_16", "format": path.suffix[1:]}
        soundfile.write(part, wav, SAMPLE_RATE, **file_type)
        os.replace(part, target)
    return target


def read_words(data_folder, stem):
    """Returns {"words": text} of an utterance, {} without a transcript."""
    for folder in TRANSCRIPTS:
        path = data_folder / folder / f"{stem}.txt"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            return {"words": " ".join(text.upper().split())}
    return {}


def write_json(items, path):
    """Writes a JSON file, which replaces an older one when it is whole."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(items, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def download_voicebank(data_folder, base_url=BASE_URL, md5s=MD5S):
    """Downloads and unpacks the four official archives, 5.6 GB.

    Skips the folders that are there, also as ``<folder>_16k``, and archives
    that are there, so they can be put there by hand. Goes on where an earlier
    download broke off. The size must be the server's, the MD5 the published
    one, before an archive is called .zip.

    Arguments
    ---------
    data_folder : str
        Folder for the archives and what is in them, made if need be.
    base_url : str
        Where ``<base_url>/<bitstream id>/content`` is an archive.
    md5s : dict
        MD5 of the archive of each folder.

    Example
    -------
    >>> corpus = Path(getfixture("tmpdir"))
    >>> for folder in MD5S:
    ...     (corpus / folder).mkdir()
    >>> download_voicebank(corpus)  # Nothing to do.
    """
    Path(data_folder).mkdir(parents=True, exist_ok=True)
    for name, bitstream in BITSTREAMS.items():
        folder = Path(data_folder, name)
        if folder.is_dir() or folder.with_name(f"{name}_16k").is_dir():
            continue
        archive = folder.with_name(f"{name}.zip")
        found = archive
        if not archive.is_file():
            found = folder.with_name(f"{name}.zip.part")
            fetch(f"{base_url}/{bitstream}/content", found)
        check_md5(found, md5s[name])
        os.replace(found, archive)
        unpack(archive, folder)


def fetch(url, path):
    """Downloads a file, from where an earlier download of it broke off."""
    path.touch()
    # From the last byte on: a range of no bytes would be an error.
    start = max(path.stat().st_size - 1, 0)
    request = Request(url, headers={"Range": f"bytes={start}-"})
    with open_url(request, path) as response, path.open("r+b") as file:
        if response.status != 206:
            start = 0  # The server sends the whole file.
        total = start + int(response.headers["Content-Length"])
        file.truncate(start)
        file.seek(start)
        with tqdm.wrapattr(
            file, "write", total=total, initial=start, desc=path.name
        ) as progress:
            # Whatever breaks the transfer off, the size tells.
            with suppress(TimeoutError, ConnectionError, HTTPException):
                shutil.copyfileobj(response, progress)
    size = path.stat().st_size
    if size != total:
        raise ConnectionError(
            f"{path} has {size} of {total} bytes, the connection broke off: "
            "run this again to go on from there"
        )


def open_url(request, path):
    """Opens a URL, raises ConnectionError that says what to do instead."""
    try:
        response = urlopen(request, timeout=60)
        if response.headers.get_content_type().startswith("text/"):
            raise URLError("a web page came instead of the archive")
        return response
    except URLError as error:
        raise ConnectionError(
            f"{request.full_url} cannot be read ({error}): run this again "
            f"later, or download {path.stem} to {path.parent} by hand"
        ) from error


def check_md5(path, md5):
    """Raises ValueError if a file has another MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for chunk in iter(functools.partial(file.read, 2**20), b""):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise ValueError(
            f"{path} has the MD5 {digest.hexdigest()}, it must be {md5}: "
            "delete this file to download it anew"
        )


def unpack(archive, folder):
    """Unpacks the folder in an archive, which appears when it is whole."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        with zipfile.ZipFile(archive) as file:
            for member in tqdm(file.infolist(), desc=f"Unpacking {folder}"):
                file.extract(member, temporary)
        os.replace(Path(temporary, folder.name), folder)


def main():
    """Prepares the corpus from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_folder")
    parser.add_argument("save_folder")
    parser.add_argument(
        "--valid-speakers", nargs="+", default=("p226", "p287"), metavar="ID"
    )
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--skip-prep", action="store_true")
    parser.add_argument("--num-workers", type=int)
    prepare_voicebank(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
