"""Noise belongs to a seed, a call and a place, to nothing else."""

import torch

from galdse_brain.noise import placed_randn_like


def test_noise_leaves_the_global_state_alone():
    x = torch.zeros(1, 2, 3, 70)
    before = torch.get_rng_state()
    first = placed_randn_like(5, [0])(x)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(placed_randn_like(5, [0])(x), first)
    assert not torch.equal(placed_randn_like(6, [0])(x), first)


def test_every_call_draws_anew():
    randn_like = placed_randn_like(0, [0])
    x = torch.zeros(1, 2, 3, 8)
    assert not torch.equal(randn_like(x), randn_like(x))


def test_overlapping_pieces_have_one_noise():
    whole = placed_randn_like(3, [0])(torch.zeros(1, 2, 4, 400))
    firsts = [0, 63, 64, 200]
    parts = placed_randn_like(3, firsts)(torch.zeros(4, 2, 4, 130))
    for first, part in zip(firsts, parts):
        assert torch.equal(part, whole[0, ..., first : first + 130])


def test_noise_is_standard_normal_and_of_one_draw_across_blocks():
    noise = placed_randn_like(1, [0])(torch.zeros(1, 2, 64, 640))
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    blocks = noise.unflatten(-1, (10, 64)).movedim(-2, 0).flatten(1)
    correlation = torch.corrcoef(blocks) - torch.eye(10)
    assert correlation.abs().max() < 0.05


def test_noise_has_the_type_of_its_input():
    x = torch.zeros(1, 2, 3, 8, dtype=torch.bfloat16)
    assert placed_randn_like(0, [0])(x).dtype == torch.bfloat16
