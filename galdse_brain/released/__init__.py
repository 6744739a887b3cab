"""The model that comes with the package; README.md is its card.

Authors
 * The galdse developers
"""

from pathlib import Path

from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER / "enhance_model.safetensors"


def store(enhancer, path=WEIGHTS):
    """Write the weights in half precision, the statistics as they are."""
    state = dict(enhancer.state_dict())
    for name, _ in enhancer.named_parameters():
        state[name] = state[name].half()
    save_file({name: v.contiguous() for name, v in state.items()}, path)


def restored(enhancer, path=None):
    """The enhancer with the stored weights, in its own precision."""
    enhancer.load_state_dict(load_file(path or WEIGHTS))
    return enhancer
