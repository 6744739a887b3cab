"""Experiment files that start from another one.

Authors
 * The galdse developers
"""

from io import StringIO
from pathlib import Path

from hyperpyyaml import resolve_references
from hyperpyyaml.core import recursive_update
from ruamel.yaml import YAML


def read_recipe(path, overrides=""):
    """HyperPyYAML text of an experiment file.

    A file with ``include: other.yaml`` at its top has the keys of the other
    file, in the same folder, and replaces the values of those that it names.

    Arguments
    ---------
    path : str or pathlib.Path
        The experiment file.
    overrides : str
        YAML of values that take the place of the file's, as
        ``speechbrain.parse_arguments`` gives it.

    Returns
    -------
    stream : io.StringIO
        For ``load_hyperpyyaml``. KeyError names a key that no file has.
    """
    path = Path(path)
    tree = _merged(path)
    recursive_update(tree, YAML().load(overrides) or {}, must_match=True)
    _check_includes(tree, path.parent)
    stream = StringIO()
    YAML().dump(tree, stream)
    stream.seek(0)
    stream.name = str(path)  # ``!include:`` is relative to it.
    return stream


def _merged(path):
    tree = YAML().load(path)
    if "include" not in tree:
        return tree
    included = path.parent / tree.pop("include")
    base = _merged(included)
    _check_known(path, tree, included, base)
    base.update(tree)
    return base


def _check_includes(tree, folder):
    """HyperPyYAML lets an ``!include:`` set keys that its file lacks."""
    for key, node in tree.items():
        tag = getattr(getattr(node, "tag", None), "value", None) or ""
        _, is_include, name = tag.partition("!include:")
        if is_include and hasattr(node, "keys"):
            known = YAML().load(folder / name)
            _check_known(key, node, folder / name, known)
            recursive_update(known, node)  # Which may include others.
            _check_includes(known, (folder / name).parent)


def _check_known(culprit, keys, file, known):
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise KeyError(f"{culprit} sets {unknown[0]!r}, which {file} lacks")


def save_resolved(hparams_file, overrides, output_folder):
    """Write the YAML with all its references resolved into a run's folder.

    Arguments
    ---------
    hparams_file, overrides : str
        See ``read_recipe``.
    output_folder : str
        Gets a ``hyperparams.yaml``.
    """
    resolved = resolve_references(read_recipe(hparams_file, overrides))
    path = Path(output_folder) / "hyperparams.yaml"
    text = f"# From {hparams_file}\n# yamllint disable\n{resolved.getvalue()}"
    path.write_text(text, encoding="utf-8")
