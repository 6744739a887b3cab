"""SpeechBrain's JSON manifests with an ``enh_wav`` beside the ``noisy_wav``.

Authors
 * The galdse developers
"""

import json
import os
from pathlib import Path

from galdse_brain.audio import whole


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
        items = entries.items()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no manifest: {error}") from error
    for name, entry in items:
        try:
            found = os.fspath(entry["noisy_wav"])
        except (KeyError, TypeError):
            found = ""
        if not found:
            raise ValueError(f"{path}: {name} has no noisy_wav")
    return entries


def manifest_jobs(entries, output):
    """Pairs of source and target, ``output/ID.wav``.

    ValueError names an id that would lead out of the folder.
    """
    for name in entries:
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise ValueError(f"{name!r} is no id for a file in {output}")
    return [
        (Path(entry["noisy_wav"]), Path(output) / f"{name}.wav")
        for name, entry in entries.items()
    ]


def check_ours(path):
    """FileExistsError if a file is there that is no manifest of ours."""
    if not Path(path).exists():
        return
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8")).values()
        ours = all("enh_wav" in entry for entry in entries)
    except (OSError, ValueError, AttributeError, TypeError):
        ours = False
    if not ours:
        raise FileExistsError(f"{path} is there already, and no such manifest")


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
    with whole(path) as half:
        half.write_text(text, encoding="utf-8")
