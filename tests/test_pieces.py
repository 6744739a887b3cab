"""Cutting and joining lose nothing, whatever the lengths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from galdse_brain.pieces import Pieces, fade_in, join

CUTS = st.integers(2, 40).flatmap(
    lambda n: st.builds(
        Pieces,
        st.just(n),
        st.integers(0, n // 2),
        st.integers(0, n // 2),
        st.integers(1, 4),
    )
)


@given(CUTS, st.integers(1, 200), st.integers(1, 60), st.integers(1, 3))
def test_an_identity_gives_the_recording_back(pieces, total, block, channels):
    recording = torch.arange(1.0, channels * total + 1).view(channels, total)
    sizes = []

    def process(batch, starts, last):
        sizes.append(batch.shape)
        for piece, start in zip(batch, starts):
            end = start + piece.shape[-1]
            assert torch.equal(piece, recording[:, start:end])
        return batch

    blocks = pieces.stream(recording.split(block, dim=1), process)
    joined = torch.cat(list(blocks), dim=-1)
    torch.testing.assert_close(joined, recording, rtol=1e-6, atol=0)
    *others, last = (size[-1] for size in sizes)
    around = 2 * pieces.context
    assert max([0, *others]) <= pieces.num_samples + around
    assert last <= pieces.longest + pieces.context
    assert max(size[0] for size in sizes) <= pieces.at_once


@given(CUTS, st.integers(1, 200))
def test_the_weights_of_a_cross_fade_sum_to_one(pieces, total):
    ones = [
        (start, torch.ones_like(heard[:, inside]))
        for start, inside, heard in pieces.cut([torch.zeros(1, total)])
    ]
    torch.testing.assert_close(
        torch.cat(list(join(ones)), dim=-1), torch.ones(1, total)
    )


@given(CUTS, st.integers(1, 200))
def test_nothing_is_heard_twice_but_what_neighbours_share(pieces, total):
    cut = [
        (start, heard[:, inside].shape[-1])
        for start, inside, heard in pieces.cut([torch.zeros(1, total)])
    ]
    shared = [a + length - b for (a, length), (b, _) in zip(cut, cut[1:])]
    assert set(shared) <= {pieces.overlap}
    assert sum(length for _, length in cut) == total + sum(shared)


@given(CUTS, st.integers(1, 200))
def test_no_piece_is_shorter_than_half_or_longer_than_one_and_a_half(
    pieces, total
):
    lengths = {
        heard[:, inside].shape[-1]
        for _, inside, heard in pieces.cut([torch.zeros(1, total)])
    }
    if total > pieces.longest:
        assert pieces.num_samples / 2 < min(lengths)
        assert max(lengths) <= 1.5 * pieces.num_samples
    else:
        assert lengths == {total}


def test_a_stream_is_read_no_further_than_the_next_piece_needs():
    read = []

    def blocks():
        for i in range(1000):
            read.append(i)
            yield torch.zeros(1, 10)

    stream = Pieces(100, 20, at_once=1).stream(blocks(), lambda x, *_: x)
    assert next(stream).shape == (1, 80)
    assert len(read) < 25


def test_fades_rise_and_mirror_each_other():
    fade = fade_in(50)
    assert (fade.diff() > 0).all()
    torch.testing.assert_close(fade + fade.flip(0), torch.ones(50))


@pytest.mark.parametrize("pieces", [Pieces(10, 2, 6), Pieces(10, 2, -1)])
def test_a_context_of_more_than_half_is_refused(pieces):
    with pytest.raises(ValueError, match="context must be 0 to half of the 10"):
        pieces.checked()


@given(st.integers(1, 10**6), st.sampled_from([1, 2, 8]))
def test_pieces_of_another_length_step_by_whole_multiples(wanted, multiple):
    pieces = Pieces(163840, 512, 16384)
    hops = -(-wanted // 128) + 2 * multiple
    scaled = pieces.scaled(128 * hops, 128, multiple).checked()
    hop = scaled.num_samples - scaled.overlap
    assert hop % (128 * multiple) == scaled.context % (128 * multiple) == 0
    assert scaled.num_samples == 128 * hops


def test_pieces_of_the_same_length_are_the_same():
    assert Pieces(163840, 512, 16384).scaled(163840, 128, 2) == Pieces(
        163840, 512, 16384
    )


@pytest.mark.parametrize("pieces", [Pieces(10, 6), Pieces(10, -1)])
def test_an_overlap_of_more_than_half_is_refused(pieces):
    with pytest.raises(ValueError, match="overlap must be 0 to half of the 10"):
        pieces.checked()


@pytest.mark.parametrize("pieces", [Pieces(0, 0), Pieces(10, 2, 0, 0)])
def test_no_sample_or_no_piece_is_refused(pieces):
    with pytest.raises(ValueError, match="must be positive"):
        pieces.checked()
