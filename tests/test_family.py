"""Every member trains, exports, reloads and enhances through the same code."""

import json
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import RECIPE, log_lines, train, write_corpus

from galdse_brain.export import export_run
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.recipe import read_recipe
from galdse_brain.runs import best_weights, losses_of, start_from

# Of the light members: what all steps share.
SHARED = {"guidance": 1, "net.known": 1, "net.features": 1}
CALLS = {
    "galdse_mini": {"guidance": 1, "net": 6},
    "bridge_mini": {"net": 2},
    "sgmse_full": {"net": 4},
    "bbed_mini": {"net": 2},
    "storm_frozen": {"predictor.net": 1, "system.net": 4},
    "bridge_guided_mini": {"guidance": 1, "system.net": 2},
    "predictive_mini": {"net": 1},
    "sgmse_mini": {"net": 2},
    "storm_mini": {"predictor.net": 1, "system.net": 2},
    "ensemble_mini": {"system.guidance": 2, "system.net": 12},
    "crp_mini": {"system.net": 1},
    "galdse_crp_mini": {"system.guidance": 1, "system.net": 2},
    "galdse_light": {**SHARED, "net": 1},
    "galdse_live": {**SHARED, "net": 1},
    "galdse_light_crp": {f"system.{k}": n for k, n in SHARED.items()}
    | {"system.net": 1},
}
SMALL, GUIDED = "channels: 8", "channels: 8, hidden_size: 4"
STEPS = f"{SMALL}, num_steps: 2"
LIGHT = f"{GUIDED}, guidance_channels: 8, guidance_hidden: 4"
LIGHT_LOSSES = {"spectra", "neg_snr", "pesq"}
BOTH = LIGHT_LOSSES | {"guidance_spectra", "guidance_neg_snr"}
# Recipe: its tiny enhancer, the recipe that it starts from, its losses.
MEMBERS = {
    "galdse_mini": (GUIDED, None, {"spec_mse", "guidance"}),
    "bridge_mini": (STEPS, None, {"spec_mse"}),
    "bridge_guided_mini": (
        f"hidden_size: 4, bridge: {{{STEPS}}}",
        None,
        {"spec_mse", "guidance"},
    ),
    "predictive_mini": (SMALL, None, {"spec_mse"}),
    "sgmse_mini": (STEPS, None, {"score"}),
    "sgmse_full": (STEPS, None, {"score"}),
    "bbed_mini": (STEPS, None, {"score"}),
    "storm_mini": (
        f"sgmse: {{{STEPS}}}, prediction: {{{SMALL}}}",
        None,
        {"predictor", "score"},
    ),
    "storm_frozen": (
        f"sgmse: {{{STEPS}}}, prediction: {{{SMALL}}}",
        "predictive_mini",
        {"predictor", "score"},
    ),
    "ensemble_mini": (
        f"num_draws: 2, member: {{{GUIDED}}}",
        None,
        {"spec_mse", "guidance"},
    ),
    "crp_mini": (f"bbed: {{{SMALL}}}", "bbed_mini", {"spec_mse"}),
    "galdse_crp_mini": (
        f"galdse: {{{GUIDED}}}",
        "galdse_mini",
        {"spec_mse"},
    ),
    "galdse_light": (LIGHT, None, BOTH),
    "galdse_live": (f"light: {{{LIGHT}}}", None, BOTH),
    "galdse_light_crp": (f"light: {{{LIGHT}}}", "galdse_light", LIGHT_LOSSES),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of seconds."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Recipe -> its run folder and train.py's variables, each made once."""
    folder, made = tmp_path_factory.mktemp("family"), {}

    def run(name, **overrides):
        if name not in made:
            enhancer, start, _ = MEMBERS[name]
            if start:
                overrides["start_from"] = run(start)[0]
            made[name] = (
                folder / name,
                train(
                    corpus,
                    folder / name,
                    recipe=name,
                    enhancer=f"{{{enhancer}}}",
                    segment_samples=8064,
                    **overrides,
                ),
            )
        return made[name]

    return run


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_trains_tests_exports_reloads_and_enhances(
    name, trained, tmp_path
):
    run, variables = trained(name)
    brain = variables["brain"]
    assert brain.train_stats.keys() == {"loss", *MEMBERS[name][2]}
    assert all(math.isfinite(value) for value in brain.train_stats.values())
    epoch, test = log_lines(run)
    assert "valid si_sdr: " in epoch and "test si_sdr: " in test
    rows = (run / "results.csv").read_text().splitlines()
    signals = {"noisy", "clean", "enhanced", *variables["hparams"]["controls"]}
    assert {row.split(",")[1] for row in rows[1:]} == signals
    noisy = variables["datasets"]["test"][0]["noisy_sig"][None]
    with torch.no_grad():
        expected = brain.enhance("enhanced", noisy, None)
    out = export_run(run, tmp_path / "out")
    about = json.loads((out / "config.json").read_text())
    assert about["network_calls"] == CALLS[name]
    model = GALDSEEnhancement.from_hparams(out)
    wavs = model.enhance_batch(noisy, seed=brain.hparams.seed)
    torch.testing.assert_close(wavs, expected, atol=1e-6, rtol=0)
    assert wavs.isfinite().all() and wavs.shape == noisy.shape


def test_another_sampler_is_one_override(trained, corpus, tmp_path):
    keep = "!name:galdse_brain.samplers.deterministic"
    enhancer = f"{{{STEPS}, keep: {keep} }}"
    variables = train(
        corpus, tmp_path, "--debug", recipe="bridge_mini", enhancer=enhancer
    )
    system = variables["brain"].system
    y = torch.randn(1, 2, 256, 8)
    assert torch.equal(system.enhance(y), system.enhance(y))


def test_a_checkpoint_of_another_system_is_refused_with_both_names(trained):
    run, _ = trained("bridge_mini")
    system = trained("sgmse_mini")[1]["brain"].system
    assert system.state_dict().keys() == best_weights(run).keys()
    with pytest.raises(
        ValueError, match=r"bridge_mini holds .*DataPrediction, .*score\.Score"
    ):
        start_from(system, run)


def test_weights_of_another_path_are_refused_with_both_names(trained):
    run, _ = trained("sgmse_mini")
    system = trained("bbed_mini")[1]["brain"].system
    with pytest.raises(ValueError, match="sgmse_mini holds .*OUVE, .*BBED"):
        start_from(system, run)


def test_a_frozen_predictor_stays_as_it_was(trained):
    start, _ = trained("predictive_mini")
    run, variables = trained("storm_frozen")
    after = best_weights(run)
    for key, value in best_weights(start).items():
        assert torch.equal(after[f"predictor.{key}"], value)
    spec = variables["hparams"]["modules"]["spec"]
    learnt = trained("predictive_mini")[1]["hparams"]["modules"]["spec"]
    assert (spec.alpha, spec.beta) == (learnt.alpha, learnt.beta)


@pytest.mark.parametrize("name", ["crp_mini", "galdse_crp_mini"])
def test_few_steps_start_from_the_trained_weights(name, trained):
    """One epoch at a small learning rate moves them little."""
    start, _ = trained(MEMBERS[name][1])
    run, variables = trained(name)
    before, after = best_weights(start), best_weights(run)
    assert set(after) == {f"system.{key}" for key in before}
    # A metric that any stage was trained on is marked in the report.
    losses = MEMBERS[MEMBERS[name][1]][2] | MEMBERS[name][2]
    assert variables["brain"].losses == losses == set(losses_of(run))
    assert losses == set(losses_of(run / "exported"))
    for key, value in before.items():
        torch.testing.assert_close(
            after[f"system.{key}"], value, atol=1e-2, rtol=0
        )


def test_the_system_inside_a_few_step_one_starts_another(trained):
    run, variables = trained("galdse_crp_mini")
    system = deepcopy(variables["brain"].system.system)
    for parameter in system.parameters():
        parameter.data.zero_()
    for source in (run, run / "exported"):
        start_from(system, source)
        for name, value in best_weights(run).items():
            assert torch.equal(
                system.state_dict()[name.removeprefix("system.")], value
            )


def test_the_guidance_stays_as_it_is_in_few_steps(trained):
    """Its statistics, too: what is trained is what is used."""
    system = trained("galdse_crp_mini")[1]["brain"].system
    start = best_weights(trained("galdse_mini")[0])
    for key, value in system.system.guidance.state_dict().items():
        assert torch.equal(value, start[f"guidance.{key}"])


@pytest.mark.parametrize(
    "name",
    sorted(
        {path.stem for path in RECIPE.glob("hparams/*.yaml")}
        # They need speech to be built.
        - {"galdse_mixed", "galdse_weights", "galdse_weights_crp"}
    ),
)
def test_every_loss_of_every_experiment_has_a_weight(name):
    """And that of a batch is the mean of those of its items."""
    kind = name if name in MEMBERS else f"{name}_mini"
    enhancer, *_ = MEMBERS.get(kind, MEMBERS["galdse_mini"])
    overrides = f"data_folder: x, start_from: x, enhancer: {{{enhancer}}}"
    yaml = RECIPE / "hparams" / f"{name}.yaml"
    hparams = load_hyperpyyaml(
        read_recipe(yaml, f"{{{overrides}, __initialize: null}}")
    )
    parts, weights = hparams["modules"], hparams["loss_weights"]
    x_0, y = (parts["spec"](torch.randn(2, 8064)) for _ in range(2))
    system = parts["system"].eval()
    for part in system.modules():
        if hasattr(part, "sample_time"):
            middle = part.times(2)[1:2]
            part.sample_time = lambda y, t=middle: t.expand(len(y))

    def losses(rows):
        torch.manual_seed(0)
        args = x_0[rows], y[rows], parts["objective"], torch.ones_like
        return system(*args)

    both, *each = map(losses, ([0, 1], [0], [1]))
    assert both.keys() == weights.keys()
    for key, loss in both.items():
        mean = (each[0][key] + each[1][key]) / 2
        torch.testing.assert_close(loss, mean, rtol=1e-4, atol=1e-5)
    assert hparams["loss_rise_steps"].keys() <= weights.keys()


def test_every_enhancer_has_an_experiment_of_its_own():
    names = {p.stem for p in RECIPE.glob("hparams/*.yaml")}
    enhancers = Path(RECIPE).parents[2] / "hparams"
    assert {p.stem for p in enhancers.glob("*.yaml")} <= names
