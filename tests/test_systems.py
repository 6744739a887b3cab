"""The systems of the family: oracles, gradients, parts that do not fit."""

import re
from copy import deepcopy
from functools import partial
from io import StringIO

import pytest
import torch
import torchaudio
from conftest import PATHS, ROOT, SDES, FixedMask
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from torch import nn
from torch.nn.functional import mse_loss

from galdse_brain.nets.blocks import FourierEmbedding, StepEmbedding
from galdse_brain.nets.guidance import GuidanceNet
from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.paths.bridge_ve import BridgeVE
from galdse_brain.samplers import (
    deterministic,
    euler_maruyama,
    markov,
    probability_flow,
    renoise,
    walk,
)
from galdse_brain.spec import SpecTransform
from galdse_brain.systems.data_prediction import DataPrediction
from galdse_brain.systems.ensemble import Ensemble, LogMel
from galdse_brain.systems.few_steps import FewSteps
from galdse_brain.systems.galdse import GALDSE
from galdse_brain.systems.guided import Guided
from galdse_brain.systems.predictive import Predictive
from galdse_brain.systems.score import Score
from galdse_brain.systems.two_stage import TwoStage

SHAPE = (2, 2, 16, 16)
SDE = partial(walk, keep=markov)
ODE = partial(walk, keep=deterministic)
ALL = [SDE, ODE, partial(walk, keep=renoise), probability_flow]


class Gives(nn.Module):
    """A network that answers by a function and remembers what it was shown."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.seen = []

    condition = NCSNpp.condition

    def forward(self, x_t, t, cond):
        self.seen.append((x_t, t, cond))
        return self.function(x_t, t)


def nothing(estimate, clean, stages=None):
    """An objective without errors but those of estimates on the way."""
    return {
        name: mse_loss(first, clean) for name, first in (stages or {}).items()
    }


def mse(estimate, clean, stages=None):
    """An objective."""
    errors = nothing(estimate, clean, stages)
    return {**errors, "mse": mse_loss(estimate, clean)}


def bridge(function, sampler=SDE):
    return DataPrediction(BridgeVE(2.6, 0.4, num_steps=4), function, sampler)


def exact_score(path, x_0, y, sampler):
    """A score system whose network knows the clean end."""
    return Score(path, Gives(lambda x, t: path.noise(x, x_0, y, t)), sampler)


@pytest.mark.parametrize("sampler", [SDE, ODE])
@pytest.mark.parametrize("name", PATHS)
def test_a_network_that_knows_the_clean_end_returns_it(name, sampler):
    x_0, y = torch.randn(2, *SHAPE)
    system = DataPrediction(PATHS[name](), Gives(lambda x, t: x_0), sampler)
    assert torch.equal(system.enhance(y, num_steps=3), x_0)
    assert system(x_0, y, mse) == {"mse": 0}
    assert all(cond is y for _, _, cond in system.net.seen)


@pytest.mark.parametrize("sampler", ALL)
@pytest.mark.parametrize("name", [n for n in SDES if n != "sbve"])
def test_a_network_that_knows_the_noise_leads_to_the_clean_end(name, sampler):
    x_0, y = torch.randn(2, *SHAPE)
    system = exact_score(SDES[name](), x_0, y, sampler)
    torch.testing.assert_close(
        system.enhance(y, num_steps=3), x_0, atol=2e-3, rtol=0
    )
    losses = system(x_0, y, nothing)
    assert losses.keys() == {"score"}
    assert losses["score"] < 1e-4


def test_the_score_loss_is_that_of_weighted_score_matching():
    """mean (s score + eps)^2, where the score is what the output says."""
    path = SDES["ouve_16k"]()
    x_0, y, eps, output = torch.randn(4, *SHAPE)
    system = Score(path, Gives(lambda x, t: output), SDE)
    loss = system(x_0, y, nothing, randn_like=lambda _: eps)["score"]
    (x_t, t, _) = system.net.seen[-1]
    _, _, s = path.coefficients(t)
    score = -path.noise(x_t, system.clean(x_t, output, y, t), y, t) / s
    torch.testing.assert_close(loss, (s * score + eps).square().mean())


def test_the_bridge_s_ode_needs_no_noise_and_its_sde_does():
    y = torch.randn(SHAPE)
    for sampler, same in ((ODE, True), (SDE, False)):
        system = bridge(Gives(lambda x, t: x / 2), sampler)
        assert torch.equal(system.enhance(y), system.enhance(y)) is same


def test_prediction_takes_one_pass_whatever_the_steps():
    y = torch.randn(SHAPE)
    net = Gives(lambda x, t: x / 2)
    system = Predictive(net)
    assert torch.equal(system.enhance(y, num_steps=5), y / 2)
    ((x, t, cond),) = net.seen
    assert x is y and t.tolist() == [1, 1] and cond.shape == (2, 0, 16, 16)
    assert system(y / 2, y, mse) == {"mse": 0}


def guided(mask, system):
    return Guided(FixedMask(mask), system)


def test_guidance_shapes_the_noise_of_any_path_and_is_shown():
    mask = torch.rand(1, 1, 16, 16)
    x_0, y = torch.randn(2, *SHAPE)
    system = guided(mask, bridge(Gives(lambda x, t: x_0)))
    system(x_0, y, mse, randn_like=torch.ones_like)
    (x_t, t, cond) = system.system.net.seen[-1]
    mean, std = system.system.path.marginal(x_0, y, t)
    torch.testing.assert_close(x_t - mean, (std * mask).expand(SHAPE))
    assert torch.equal(cond[:, :2], y)
    assert torch.equal(cond[:1, 2:], 1 - mask)
    assert torch.equal(system.enhance_by_mask(y), (1 - mask) * y)
    still = guided(0 * mask, bridge(Gives(lambda x, t: x / 2)))
    assert torch.equal(still.enhance(y), still.enhance(y))
    loud = guided(mask, bridge(Gives(lambda x, t: x / 2)))
    assert not torch.equal(loud.enhance(y), loud.enhance(y))


def test_guidance_of_a_bridge_learns_from_its_own_loss_alone():
    net = NCSNpp(channels=8)
    system = Guided(GuidanceNet(hidden_size=4), bridge(net))
    losses = system(*torch.randn(2, *SHAPE), mse)
    assert losses.keys() == {"guidance", "mse"}
    losses["mse"].backward()
    assert all(p.grad is None for p in system.guidance.parameters())


def test_regeneration_goes_on_from_the_prediction():
    x_0, y = torch.randn(2, *SHAPE)
    first = Predictive(Gives(lambda x, t: x_0))
    score = exact_score(SDES["ouve_16k"](), x_0, x_0, ODE)
    system = TwoStage(first, score)
    enhanced = system.enhance(y, num_steps=3)
    torch.testing.assert_close(enhanced, x_0, atol=1e-4, rtol=0)
    cond = score.net.seen[-1][2]
    assert torch.equal(cond, torch.cat([y, x_0], dim=1))
    assert torch.equal(system.predict(y), x_0)
    far = torch.randn(SHAPE)
    losses = system(far, y, nothing, randn_like=torch.zeros_like)
    assert losses["predictor"] == mse_loss(x_0, far)
    x_t, t, _ = score.net.seen[-1]
    mean, _ = score.path.marginal(far, x_0, t)
    torch.testing.assert_close(x_t, mean)


def two_stage():
    first = Predictive(NCSNpp(channels=8, cond_channels=0))
    second = NCSNpp(channels=8, cond_channels=4)
    # An untrained network returns its bias whatever its input.
    nn.init.normal_(second.decoder[-1].to_output.weight)
    return TwoStage(first, Score(SDES["ouve_16k"](), second, SDE))


def gradients(module):
    return [p.grad is not None for p in module.parameters()]


def test_a_predictor_learns_from_both_losses_unless_it_is_frozen():
    x_0, y = torch.randn(2, *SHAPE)
    system = two_stage()
    system(x_0, y, nothing)["predictor"].backward()
    assert all(gradients(system.predictor))
    assert not any(gradients(system.system))
    system.zero_grad()
    system(x_0, y, nothing)["score"].backward()
    assert all(gradients(system.predictor))
    system = two_stage()
    system.predictor.requires_grad_(False)
    sum(system(x_0, y, nothing).values()).backward()
    assert not any(gradients(system.predictor))
    assert all(gradients(system.system))


def test_few_steps_train_what_the_sampler_returns():
    x_0, y = torch.randn(2, *SHAPE)
    net = NCSNpp(channels=8, cond_channels=2)
    path = SDES["bbed_052"](start_time=0.5)
    system = FewSteps(Score(path, net, euler_maruyama), num_steps=2)
    calls = []
    net.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    zeros = torch.zeros_like
    losses = system(x_0, y, mse, zeros)
    assert losses == mse(system.enhance(y, zeros), x_0)
    assert calls == [False, True] * 2
    losses["mse"].backward()
    assert any(p.grad is not None and p.grad.any() for p in net.parameters())
    system.enhance(y, num_steps=5)
    assert len(calls) == 4 + 5


def test_few_steps_train_the_system_inside_a_guided_one():
    x_0, y = torch.randn(2, *SHAPE)
    calls = []

    def network(x_t, t):
        calls.append(torch.is_grad_enabled())
        return x_t / 2

    system = FewSteps(guided(torch.rand(1), bridge(Gives(network))), 3)
    calls.clear()
    system(x_0, y, mse)
    assert calls == [False, False, True]


def test_the_noise_of_a_predictor_is_the_caller_s():
    y, system = torch.randn(SHAPE), two_stage()
    system.predictor = bridge(Gives(lambda x, t: x / 2))
    zeros = torch.zeros_like
    first, second = (system.enhance(y, zeros, 2) for _ in range(2))
    assert torch.equal(first, second)
    losses = [system(y, y, nothing, zeros)["predictor"] for _ in range(2)]
    assert losses[0] == losses[1]


def test_a_network_says_how_many_channels_it_is_made_for():
    x_t, cond = torch.randn(1, 2, 16, 16), torch.randn(1, 3, 16, 16)
    with pytest.raises(ValueError, match="for 2 channels of condition, got 3"):
        net()(x_t, torch.ones(1), cond)


def test_the_sampler_s_gradient_can_be_checked_by_a_difference():
    """For the one step of CRP the whole gradient is that of the last call."""
    x_0, y = torch.randn(2, *SHAPE, dtype=torch.float64)
    scale = nn.Parameter(torch.ones((), dtype=torch.float64))
    path = SDES["bbed_052"](start_time=0.5).double()
    net = Gives(lambda x, t: scale * x)
    system = FewSteps(Score(path, net, euler_maruyama), num_steps=1)

    def loss():
        return system(x_0, y, mse, torch.ones_like)["mse"]

    (gradient,) = torch.autograd.grad(loss(), scale)
    with torch.no_grad():
        scale += 1e-6
        above = loss()
        scale -= 2e-6
        slope = (above - loss()) / 2e-6
    assert gradient.item() == pytest.approx(slope.item(), rel=1e-6)


class Draws:
    """A system that gives prepared draws, one after the other."""

    def __init__(self, draws):
        self.draws = iter(draws)

    def __call__(self, y, randn_like, num_steps):
        return next(self.draws)


class Drawn(nn.Module):
    """Prepared draws in the place of a system."""

    def __init__(self, draws):
        super().__init__()
        self.enhance = Draws(draws)


@pytest.fixture
def log_mel():
    return LogMel(SpecTransform(alpha=0.5, beta=0.15, n_fft=62), 16000, 4)


def speech(count):
    """Spectrograms of 32 bins."""
    return torch.randn(count, 2, 2, 32, 8)


@pytest.mark.parametrize("outlier", range(4))
def test_an_outlier_is_never_chosen(log_mel, outlier):
    common, other = speech(2)
    draws = [common] * 4
    draws[outlier] = other
    chosen = Ensemble(Drawn(draws), log_mel, 4).enhance(common)
    assert torch.equal(chosen, common)


def test_the_choice_does_not_depend_on_the_order_and_is_made_by_item(log_mel):
    draws = list(speech(5))
    chosen = Ensemble(Drawn(draws), log_mel, 5).enhance(draws[0])
    back = Ensemble(Drawn(draws[::-1]), log_mel, 5).enhance(draws[0])
    assert torch.equal(chosen, back)
    for item in range(2):
        alone = [draw[item : item + 1] for draw in draws]
        expected = Ensemble(Drawn(alone), log_mel, 5).enhance(alone[0])
        assert torch.equal(chosen[item : item + 1], expected)


def test_one_draw_and_equal_draws_are_the_system_itself(log_mel):
    (draw,) = speech(1)
    single = Ensemble(Drawn([draw]), log_mel, 1)
    assert torch.equal(single.enhance(draw), draw)
    assert (single.distances(torch.stack([draw] * 3)) == 0).all()


def wavlm():
    """A self-supervised model of torchaudio, tiny and untrained."""
    layers = [(8, 10, 5), (8, 8, 4)]
    sizes = {"embed_dim": 8, "num_layers": 1, "num_heads": 1}
    sizes |= {"ff_interm_features": 8, "num_buckets": 8, "max_distance": 8}
    sizes |= {"pos_conv_kernel": 4, "pos_conv_groups": 1}
    sizes |= {"layer_norm_first": False, "layer_drop": 0.0}
    drops = ("projection_", "attention_", "ff_interm_", "")
    return torchaudio.models.wavlm_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=layers,
        extractor_conv_bias=False,
        aux_num_out=None,
        **{f"encoder_{key}": value for key, value in sizes.items()},
        **{f"encoder_{drop}dropout": 0.0 for drop in drops},
    )


def test_draws_may_be_compared_by_a_self_supervised_model(monkeypatch):
    """With the lines that stand in ensemble.yaml in place of log-mel's."""
    bundle = type(torchaudio.pipelines.WAVLM_BASE)
    monkeypatch.setattr(bundle, "get_model", lambda _: wavlm())
    yaml = ROOT / "hparams" / "ensemble.yaml"
    text = re.sub(r"features: \S+LogMel\n(    .*\n)+", "", yaml.read_text())
    stream = StringIO(re.sub(r"^# (features|   )", r"\1", text, flags=re.M))
    stream.name = str(yaml)
    parts = load_hyperpyyaml(
        stream, "member: {channels: 8, hidden_size: 4}", True
    )
    features = parts["system"].features
    assert "torchaudio" in type(features.model).__module__
    assert not any(p.requires_grad for p in deepcopy(features).parameters())
    common, other = torch.randn(2, 2, 2, 256, 16)
    chosen = Ensemble(Drawn([other, common, common]), features.eval(), 3)
    assert torch.equal(chosen.enhance(common), common)


def test_log_mel_is_that_of_the_waveform_s_power(log_mel):
    (x_0,) = speech(1)
    expected = log_mel.bands @ log_mel.spec.expand(x_0).abs() ** 2
    torch.testing.assert_close(log_mel(x_0).exp(), expected + 1e-6)
    assert log_mel(x_0).shape == (2, 4, 8)


class NeverClean(BridgeVE):
    """A path whose grid stops before the clean end."""

    def times(self, num_steps=None):
        return super().times(num_steps)[:-1]


def net():
    return NCSNpp(channels=8, cond_channels=2)


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: Score(SDES["sbve"](), net(), SDE),
            "Score, walk and BridgeVE cannot go together.*finite",
        ),
        (
            lambda: DataPrediction(SDES["sbve"](), net(), euler_maruyama),
            "predictor_corrector and BridgeVE cannot.*finite",
        ),
        (
            lambda: DataPrediction(
                PATHS["resshift_default"](), net(), probability_flow
            ),
            "probability_flow and ResidualShift cannot.*is no SDE",
        ),
        (
            lambda: DataPrediction(NeverClean(2.6, 0.4, 2), net(), SDE),
            r"walk and NeverClean cannot.*fall to 0, got \[1.0, 0.5\]",
        ),
        (
            lambda: GALDSE(SDES["ouve_16k"](), GuidanceNet(4), net(), SDE),
            "GALDSE counts steps, but OUVE has",
        ),
        (
            lambda: GALDSE(
                PATHS["resshift_default"](),
                GuidanceNet(4),
                net(),
                euler_maruyama,
            ),
            "GALDSE, predictor_corrector and ResidualShift cannot.*is no SDE",
        ),
        (lambda: SDES["bbed_052"](num_steps=0), "BBED.*at least 1, got 0"),
        (lambda: FewSteps(bridge(net()), 0), "num_steps.*at least 1, got 0"),
        (lambda: Ensemble(bridge(net()), None, 0), "num_draws.*got 0"),
        (
            lambda: FewSteps(Predictive(NCSNpp(8, cond_channels=0)), 1),
            "FewSteps trains what a sampler .* Predictive has none",
        ),
        (lambda: Predictive(net()), "Predictive gives NCSNpp 0 .* for 2"),
        (
            lambda: guided(torch.ones(1), two_stage()),
            "Guided gives its system a condition, which TwoStage does not",
        ),
        (
            lambda: TwoStage(two_stage(), guided(torch.ones(1), bridge(None))),
            "TwoStage gives its system a condition, which Guided does not",
        ),
    ],
)
def test_parts_that_cannot_go_together_are_refused_when_built(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", PATHS)
def test_no_steps_are_refused(name):
    system = DataPrediction(PATHS[name](), Gives(lambda x, t: x), SDE)
    with pytest.raises(ValueError, match="num_steps.*got 0"):
        system.enhance(torch.randn(SHAPE), num_steps=0)


def full(**changes):
    """Parameters of the network of sgmse_full.yaml, and its fixed numbers."""
    recipe = YAML().load(ROOT / "hparams" / "sgmse_full.yaml")
    for part in ("spec", "path", "sampler", "system"):
        del recipe[part]
    stream = StringIO()
    YAML().dump(recipe, stream)
    with torch.device("meta"):
        network = load_hyperpyyaml(stream.getvalue(), changes)["net"]
    learnt = sum(p.numel() for p in network.parameters())
    return learnt, network.embedding.frequencies.numel()


def test_the_full_network_has_the_published_size(closed_forms):
    params = closed_forms["params"]
    learnt, fixed = full()
    assert learnt == params["NCSNpp_sgmse_trainable"]
    assert learnt + fixed == params["NCSNpp_sgmse"]


def test_the_networks_of_regeneration_have_the_published_size(closed_forms):
    params = closed_forms["params"]
    small = {"multipliers": [1, 2, 2, 2], "num_blocks": 1}
    small |= {"attention_levels": []}
    for cond_channels, name in (
        (2, "StoRM_score_2cond"),
        (4, "StoRM_score"),
    ):
        learnt, fixed = full(**small, net={"cond_channels": cond_channels})
        assert learnt + fixed == params[name]
    learnt, fixed = full(**small, net={"cond_channels": 0})
    # The published predictor drops these layers, and the time with them.
    time_layers = 256 * 512 + 512 + 512 * 512 + 512
    assert learnt + fixed - time_layers == params["StoRM_predictor"]


def test_a_time_scale_multiplies_times():
    scaled, plain = StepEmbedding(8, 100), StepEmbedding(8)
    plain.load_state_dict(scaled.state_dict())
    t = torch.rand(5)
    torch.testing.assert_close(scaled(t), plain(100 * t))


def test_time_is_seen_by_both_embeddings():
    x_t, cond = torch.randn(1, 2, 16, 16), torch.randn(1, 2, 16, 16)
    for embedding in (None, FourierEmbedding(8)):
        network = NCSNpp(8, (1, 2), 2, embedding, 2, (0, 1), torch.add, 32)
        nn.init.normal_(network.decoder[-1].to_output.weight)
        for block in network.encoder:
            nn.init.normal_(block.conv_out.weight)
        first = network(x_t, torch.tensor([0.3]), cond)
        assert not torch.equal(network(x_t, torch.tensor([0.9]), cond), first)


@pytest.mark.parametrize(
    "yaml, overrides, message",
    [
        ("galdse_crp", "num_steps: 7", "ResidualShift must be 1 to 6"),
        ("crp", "num_steps: 0", "BBED must be at least 1, got 0"),
        ("storm", "sgmse: {cond_channels: 2}", "TwoStage .*NCSNpp 4 .* for 2"),
        (
            "bridge_guided",
            "bridge: {cond_channels: 2}",
            "Guided gives NCSNpp 3 channels of condition, .* for 2",
        ),
        ("galdse", "net: {cond_channels: 2}", "GALDSE gives NCSNpp 3"),
        ("ensemble", "num_draws: 2.5", "num_draws must be 1 to 999, got 2.5"),
    ],
)
def test_what_cannot_go_together_is_refused_when_built(
    yaml, overrides, message
):
    with open(ROOT / "hparams" / f"{yaml}.yaml") as file:
        with pytest.raises(Exception, match=message):
            load_hyperpyyaml(file, f"{{{overrides}}}")
