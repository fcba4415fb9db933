"""Random numbers by position."""

import numpy as np
from hypothesis import given, strategies as st

from carrynet.data import rng


def test_it_is_philox() -> None:
    # Known answer of Random123 (kat_vectors, philox4x64 10): key 0, counter 0.  NumPy
    # steps the counter before its first block, so that block follows counter 2^256 - 1.
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    generator = np.random.Philox(key=0, counter=2**256 - 1)
    assert generator.random_raw(4).tolist() == known
    assert rng.raw(0, 0, 0, 4).tolist() == generator.random_raw(4).tolist()


def test_golden_numbers() -> None:
    # A change here changes every training: the same seed would no longer give the same network.
    golden = [3602979406818053932, 9455329658432347081, 5790601884129281530]
    assert rng.raw(7, 3, 5, 3).tolist() == golden


@given(st.integers(0, 2**63 - 1), st.integers(0, 99), st.integers(0, 99), st.integers(0, 20))
def test_any_position_can_be_asked_for(seed: int, stream: int, start: int, count: int) -> None:
    whole = rng.raw(seed, stream, 0, start + count)
    assert rng.raw(seed, stream, start, count).tolist() == whole[start:].tolist()


def test_seeds_and_streams_differ() -> None:
    first = {tuple(rng.raw(seed, stream, 0, 4)) for seed in range(20) for stream in range(20)}
    assert len(first) == 400


def test_uniform_fills_the_unit_interval() -> None:
    draws = rng.uniform(1, 0, 0, 100_000)
    assert 0 <= draws.min() < 1e-4
    assert 1 - 1e-4 < draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.005


def test_below_reaches_every_number_evenly() -> None:
    counts = np.bincount(rng.below(10, rng.raw(1, 0, 0, 100_000)), minlength=10)
    assert len(counts) == 10
    assert np.abs(counts - 10_000).max() < 500  # five standard deviations
    assert rng.below(2**32, np.array([2**64 - 1], dtype=np.uint64)).tolist() == [2**32 - 1]
