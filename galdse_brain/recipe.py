"""Experiment files that start from another one.

Authors
 * The galdse developers
"""

from io import StringIO
from pathlib import Path

import ruamel.yaml
from hyperpyyaml import resolve_references


def read_recipe(path):
    """HyperPyYAML text of an experiment file.

    A file with ``include: other.yaml`` at its top has the keys of the other
    file, in the same folder, and replaces the values of those that it names.

    Arguments
    ---------
    path : str or pathlib.Path
        The experiment file.

    Returns
    -------
    stream : io.StringIO
        For ``load_hyperpyyaml``. KeyError names a key that the included file
        does not have.
    """
    path = Path(path)
    stream = StringIO()
    ruamel.yaml.YAML().dump(_merged(path), stream)
    stream.seek(0)
    stream.name = str(path)  # ``!include:`` is relative to it.
    return stream


def _merged(path):
    tree = ruamel.yaml.YAML().load(path)
    if "include" not in tree:
        return tree
    included = path.parent / tree.pop("include")
    base = _merged(included)
    unknown = [key for key in tree if key not in base]
    if unknown:
        raise KeyError(f"{path} sets {unknown[0]!r}, which {included} lacks")
    base.update(tree)
    return base


def save_resolved(hparams_file, overrides, output_folder):
    """Write the YAML with all its references resolved into a run's folder.

    Arguments
    ---------
    hparams_file : str
        The experiment file, see ``read_recipe``.
    overrides : str or dict
        Overrides from the command line.
    output_folder : str
        Gets a ``hyperparams.yaml``.
    """
    resolved = resolve_references(read_recipe(hparams_file), overrides)
    path = Path(output_folder) / "hyperparams.yaml"
    text = f"# From {hparams_file}\n# yamllint disable\n{resolved.getvalue()}"
    path.write_text(text, encoding="utf-8")
