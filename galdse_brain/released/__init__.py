"""The models that come with the package, each an exported folder.

Authors
 * The galdse developers
"""

from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "light"
NAMES = tuple(
    sorted(path.parent.name for path in FOLDER.glob("*/hyperparams.yaml"))
)


def packaged(source):
    """Folder of a model that comes with the package, by its name.

    Any other source is returned as it is; ``./light`` is a folder of yours.

    Example
    -------
    >>> packaged("galdse").name, packaged("user/model")
    ('galdse', 'user/model')
    """
    return FOLDER / source if source in NAMES else source
