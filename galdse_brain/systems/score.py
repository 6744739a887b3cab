"""A path and a network that predicts its noise, and so its score.

Authors
 * The galdse developers
"""

from torch.nn.functional import mse_loss

from galdse_brain.systems.data_prediction import DataPrediction


class Score(DataPrediction):
    """The network gives the noise ``eps``, the score is ``-eps / s_t``.

    Denoising score matching with the weight ``s_t^2``: SGMSE+ with the path
    ``OUVE``, BBED with that of its name. Arguments as of ``DataPrediction``.
    """

    def errors(self, output, eps):
        """Mean of ``(s_t score + eps)^2``, under the name ``score``."""
        return {"score": mse_loss(output, eps)}

    def clean(self, x_t, output, y, t):
        """``(x_t - b_t y - s_t output) / a_t``."""
        return self.path.clean(x_t, output, y, t)
