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
        ValueError if it is no manifest, or an entry has no ``noisy_wav``.
    """
    text = Path(path).read_text(encoding="utf-8")
    quoted = json.dumps(str(data_root), ensure_ascii=False)[1:-1]
    try:
        entries = json.loads(text.replace("{data_root}", quoted))
        missing = [n for n, e in entries.items() if "noisy_wav" not in e]
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is no manifest: {error}") from error
    if missing:
        raise ValueError(f"{path}: {missing[0]} has no noisy_wav")
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
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
