"""Experiment files that start from another one.

Authors
 * The galdse developers
"""

from io import StringIO
from itertools import zip_longest
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
        Gets a ``hyperparams.yaml``. ValueError if it has one of an enhancer
        that is made of other parts: its checkpoints may fit and mean another
        thing.
    """
    text = resolve_references(read_recipe(hparams_file, overrides)).getvalue()
    path = Path(output_folder) / "hyperparams.yaml"
    if path.is_file():
        old, new = (list(_parts(YAML().load(t))) for t in (path, text))
        for found, expected in zip_longest(old, new):
            if found != expected:
                raise ValueError(
                    f"{output_folder} is a run with {found}, but "
                    f"{hparams_file} has {expected}: choose another "
                    "output_folder"
                )
    text = f"# From {hparams_file}\n# yamllint disable\n{text}"
    path.write_text(text, encoding="utf-8")


def _parts(tree):
    """The ``!new:`` tags of an enhancer, in the order of the file."""
    waiting = [tree.get("enhancer")]
    while waiting:
        node = waiting.pop()
        tag = getattr(getattr(node, "tag", None), "value", None) or ""
        if tag.startswith("!new:"):
            yield tag
        if hasattr(node, "values"):
            waiting += reversed([*node.values()])
