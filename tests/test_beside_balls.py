"""The checker of word trees beside the one in ball arithmetic: Elman's cell and any formula."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from carrynet.nets.network import Network
from carrynet.proof.certificate import TreeCertificate
from carrynet.proof.search import model
from tests import test_affine_trees, test_tree
from tests.arb_trees import by_balls, by_doubles
from tests.conftest import hand_built_adder

ELMAN: dict[str, Callable[[], Network]] = {
    make.__name__: make
    for make in (
        *(hand_built_adder, test_tree.tanh_adder, test_tree.relu_adder, test_tree.comparer),
        *(test_tree.hardly_proved, test_tree.plainly_trained),
    )
}
SMALL = [*sorted(ELMAN.keys() - {"plainly_trained"}), *test_affine_trees.MAKE]


def found(name: str) -> tuple[Network, TreeCertificate]:
    return test_tree.found(ELMAN[name]) if name in ELMAN else test_affine_trees.found(name)


@pytest.mark.parametrize("name", SMALL)
def test_balls_agree(name: str) -> None:
    exact, rounded = by_balls(*found(name)), by_doubles(*found(name))
    assert exact is not None
    assert rounded is not None
    assert np.allclose(rounded[0], exact[0], rtol=1e-5)
    # of formulas less what logits of the network's own type are off by
    assert exact[1] * (1 - 1e-4) <= rounded[1] <= exact[1] * (1 + 1e-6)


@settings(max_examples=80)
@given(
    st.sampled_from(SMALL),
    st.sampled_from(["metrics", "centres", "radii", "slack", "weights"]),
    st.integers(0, 10**6),
    st.floats(-7, 0.5),
)
def test_what_is_accepted_balls_accept(name: str, what: str, seed: int, size: float) -> None:
    """Certificates and networks moved a little, and more."""
    network, certificate = found(name)
    rng, scale = np.random.default_rng(seed), 10**size

    def moved(values: Any) -> Any:
        array = np.asarray(values, dtype=np.float64)
        return (array * (1 + scale * rng.normal(size=array.shape))).tolist()

    if what == "weights":
        part = str(rng.choice([key for key in network.weights if not key.endswith("_start")]))
        changed = np.array(moved(network.weights[part]), network.dtype)
        network = replace(network, weights=network.weights.replace(**{part: changed}))
    elif what == "slack":
        certificate = replace(certificate, slack=abs(moved(certificate.slack * 10)))
    else:
        certificate = replace(certificate, **{what: moved(getattr(certificate, what))})
        certificate = replace(  # the start point stays what it is
            certificate,
            centres=[list(model(network).start), *certificate.centres[1:]],
            radii=[0.0, *map(abs, certificate.radii[1:])],
        )
    rounded = by_doubles(network, certificate)
    if rounded is None:
        return
    exact = by_balls(network, certificate)
    assert exact is not None
    assert rounded[1] <= exact[1] * (1 + 1e-6)  # the radii of balls have 30 bits only


LIMITS = ["tanh_adder", "comparer", "plainly_trained", "gru", "lstm", "an own cell"]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("what", ["slack", "radii"])
def test_the_limit_is_on_the_safe_side(name: str, what: str) -> None:
    """The most slack, and the smallest radius of one ball: never beyond what balls accept."""
    network, certificate = found(name)

    def changed(factor: float) -> TreeCertificate:
        if what == "slack":
            return replace(certificate, slack=certificate.slack * factor)
        radii = list(certificate.radii)
        radii[len(radii) // 2] /= factor
        return replace(certificate, radii=radii)

    low, high = 1.0, 1e6
    assert by_doubles(network, changed(high)) is None
    while high / low > 1 + 1e-7:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if by_doubles(network, changed(middle)) else (low, middle)
    assert by_balls(network, changed(low)) is not None
