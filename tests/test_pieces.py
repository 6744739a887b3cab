"""Cutting and joining lose nothing, whatever the lengths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from galdse_brain.pieces import Pieces, fade_in, join

CUTS = st.integers(2, 40).flatmap(
    lambda n: st.builds(
        Pieces, st.just(n), st.integers(0, n // 2), st.integers(1, 4)
    )
)


@given(CUTS, st.integers(1, 200), st.integers(1, 60), st.integers(1, 3))
def test_an_identity_gives_the_recording_back(pieces, total, block, channels):
    recording = torch.arange(1.0, channels * total + 1).view(channels, total)
    sizes = []

    def process(batch, starts):
        sizes.append(batch.shape)
        for piece, start in zip(batch, starts):
            end = start + piece.shape[-1]
            assert torch.equal(piece, recording[:, start:end])
        return batch

    blocks = pieces.stream(recording.split(block, dim=1), process)
    joined = torch.cat(list(blocks), dim=-1)
    torch.testing.assert_close(joined, recording, rtol=1e-6, atol=0)
    assert {size[-1] for size in sizes} == {min(total, pieces.num_samples)}
    assert max(size[0] for size in sizes) <= pieces.at_once


@given(CUTS, st.integers(1, 200))
def test_the_weights_of_a_cross_fade_sum_to_one(pieces, total):
    ones = [
        (start, torch.ones_like(piece))
        for start, piece in pieces.cut([torch.zeros(1, total)])
    ]
    torch.testing.assert_close(
        torch.cat(list(join(ones)), dim=-1), torch.ones(1, total)
    )


def test_neighbours_overlap_by_at_least_what_was_asked_for():
    pieces = Pieces(100, 30)
    starts = [start for start, _ in pieces.cut([torch.zeros(1, 555)])]
    assert starts[0] == 0 and starts[-1] == 555 - 100
    assert all(b - a <= 70 for a, b in zip(starts, starts[1:]))
    assert starts[:-1] == list(range(0, 70 * (len(starts) - 1), 70))


def test_a_stream_is_read_no_further_than_the_next_piece_needs():
    read = []

    def blocks():
        for i in range(1000):
            read.append(i)
            yield torch.zeros(1, 10)

    stream = Pieces(100, 20, at_once=1).stream(blocks(), lambda x, _: x)
    assert next(stream).shape == (1, 80)
    assert len(read) < 25


def test_fades_rise_and_mirror_each_other():
    fade = fade_in(50)
    assert (fade.diff() > 0).all()
    torch.testing.assert_close(fade + fade.flip(0), torch.ones(50))


@pytest.mark.parametrize("pieces", [Pieces(10, 6), Pieces(10, -1)])
def test_an_overlap_of_more_than_half_is_refused(pieces):
    with pytest.raises(ValueError, match="overlap must be 0 to half of the 10"):
        pieces.checked()


@pytest.mark.parametrize("pieces", [Pieces(0, 0), Pieces(10, 2, 0)])
def test_no_sample_or_no_piece_is_refused(pieces):
    with pytest.raises(ValueError, match="must be positive"):
        pieces.checked()
