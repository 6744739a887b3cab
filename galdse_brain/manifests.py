"""SpeechBrain's JSON manifests with an ``enh_wav`` beside the ``noisy_wav``.

Authors
 * The galdse developers
"""

import json
from pathlib import Path


def read_manifest(path, data_root):
    """Id to entry; ``{data_root}`` is filled in.

    Arguments
    ---------
    path : str or pathlib.Path
        The manifest.
    data_root : str
        A folder.

    Returns
    -------
    entries : dict
        ValueError if an entry has no ``noisy_wav``.
    """
    text = Path(path).read_text(encoding="utf-8")
    entries = json.loads(text.replace("{data_root}", str(data_root)))
    for name, entry in entries.items():
        if "noisy_wav" not in entry:
            raise ValueError(f"{path}: {name} has no noisy_wav")
    return entries


def manifest_jobs(entries, output):
    """Pairs of source and target, ``output/ID.wav``."""
    return [
        (Path(entry["noisy_wav"]), Path(output) / f"{name}.wav")
        for name, entry in entries.items()
    ]


def write_manifest(entries, output, path):
    """Write the entries that have been enhanced, with their ``enh_wav``.

    Arguments
    ---------
    entries : dict
        See ``read_manifest``.
    output : str or pathlib.Path
        Where the enhanced files are.
    path : str or pathlib.Path
        The manifest to write.
    """
    targets = (
        target.absolute() for _, target in manifest_jobs(entries, output)
    )
    enhanced = {
        name: {**entry, "enh_wav": str(target)}
        for (name, entry), target in zip(entries.items(), targets)
        if target.is_file()
    }
    text = json.dumps(enhanced, indent=2, ensure_ascii=False)
    Path(path).write_text(text, encoding="utf-8")
