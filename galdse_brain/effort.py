"""How much work an enhancement is: precision, and number of steps.

What ``auto`` means stands in the ``hyperparams.yaml`` of a model, because it
was measured on its weights: ``bf16_keeps_scores: True`` and ``auto_steps: 3``.

Authors
 * The galdse developers
"""

import torch
from speechbrain.utils.autocast import AMPConfig, TorchAutocast

# Whether a kind of device has instructions for half precision.
HAS_BF16 = {
    "cpu": torch.cpu._is_avx512_bf16_supported,
    "cuda": torch.cuda.is_bf16_supported,
}


def auto_precision(model):
    """bf16 if the device is fast at it and the model keeps its scores."""
    as_good = getattr(model.hparams, "bf16_keeps_scores", False)
    fast = HAS_BF16.get(model.device_type, bool)
    return "bf16" if as_good and fast() else "fp32"


def auto_steps(model):
    """The fewest steps that keep the scores.

    ValueError if the model does not say, see ``benchmarks/steps.py``.
    """
    steps = getattr(model.hparams, "auto_steps", None)
    if steps is None:
        raise ValueError(
            "the model does not say how few steps keep its scores: its "
            "hyperparams.yaml has no auto_steps"
        )
    return steps


def own_steps(model):
    """The number of steps that the model takes by itself."""
    return model.mods.enhance_model.num_steps


def fixed_steps(num_steps):
    """(model) -> this number, whatever the model."""
    return lambda model: num_steps


def set_precision(model, precision):
    """Let a loaded model enhance in one of ``PRECISIONS``."""
    model.precision = PRECISIONS[precision](model)
    model.inference_ctx = TorchAutocast(
        model.device_type, dtype=AMPConfig.from_name(model.precision).dtype
    )


PRECISIONS = {
    "fp32": lambda model: "fp32",
    "bf16": lambda model: "bf16",
    "auto": auto_precision,
}
AUTO_STEPS = {"auto": auto_steps}
