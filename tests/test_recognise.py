"""Which tensors are the weights: names, shapes, biases that come along, and what blocks."""

from typing import Any

import numpy as np
import pytest

from carrynet import tasks
from carrynet.errors import InputError
from carrynet.exchange.as_mapping import owned
from carrynet.exchange.mapping import Mapping, Tensors
from carrynet.exchange.recognise import complete, guess, settle, usual_activation

ADD = tasks.add()
FLOATS = np.random.default_rng(0)
RNN = "Wxh=rnn.weight_ih_l0.T,Whh=rnn.weight_hh_l0.T,bh=rnn.bias_ih_l0+rnn.bias_hh_l0"
WHOLE = f"{RNN},Why=head.weight.T,by=head.bias"


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    return {name: FLOATS.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def rnn(prefix: str = "rnn.", suffix: str = "_l0", H: int = 4, Y: int = 1) -> dict[str, Any]:
    return filled(
        {
            f"{prefix}weight_ih{suffix}": (H, 2),
            f"{prefix}weight_hh{suffix}": (H, H),
            f"{prefix}bias_ih{suffix}": (H,),
            f"{prefix}bias_hh{suffix}": (H,),
            "head.weight": (Y, H),
            "head.bias": (Y,),
        }
    )


def recognise(tensors: Tensors, *said: str, task: tasks.Task = ADD) -> tuple[str, list[str]]:
    """The whole mapping, and what is passed over."""
    given = Mapping.parse(said)
    found, _ = complete(guess(tensors, task, given), given, tensors)
    return str(found), settle(tensors, found)


def refusal(tensors: Tensors, *said: str, task: tasks.Task = ADD) -> str:
    with pytest.raises(InputError) as caught:
        recognise(tensors, *said, task=task)
    assert str(caught.value).isprintable()
    return str(caught.value)


# Names -------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "rnn.", "module.net.0."])
@pytest.mark.parametrize("suffix", ["", "_l0"])
def test_names_of_pytorch_under_any_prefix(prefix: str, suffix: str) -> None:
    tensors = rnn(prefix, suffix)
    found, _ = complete(guess(tensors, ADD), Mapping(), tensors)
    weights = owned(tensors, ADD, found).weights
    assert np.array_equal(weights.Wxh, tensors[f"{prefix}weight_ih{suffix}"].T)
    assert np.array_equal(weights.Whh, tensors[f"{prefix}weight_hh{suffix}"].T)
    biases = (tensors[f"{prefix}bias_{part}{suffix}"].astype("f8") for part in ("ih", "hh"))
    assert np.array_equal(weights.bh, np.float32(sum(biases)))
    assert np.array_equal(weights.Why, tensors["head.weight"].T)
    assert np.array_equal(weights.by, tensors["head.bias"])
    assert usual_activation(found, tensors) == "tanh"


def test_own_names_as_rows_and_as_columns() -> None:
    rows = filled({"Wxh": (2, 4), "Whh": (4, 4), "bh": (4,), "Why": (4, 1), "by": (1,)})
    assert recognise(rows) == ("Wxh=Wxh,Whh=Whh,bh=bh,Why=Why,by=by", [])
    columns = {name: np.atleast_2d(array).T for name, array in rows.items()}
    assert recognise(columns) == ("Wxh=Wxh.T,Whh=Whh.T,bh=bh,Why=Why.T,by=by", [])
    for tensors in (rows, columns):
        found = Mapping.parse([recognise(tensors)[0]])
        assert np.array_equal(owned(tensors, ADD, found).weights.Whh, rows["Whh"])
        assert usual_activation(found, tensors) is None


@pytest.mark.parametrize(
    ("shapes", "mapping"),
    [
        (  # three nn.Linear
            {"Wh.weight": (8, 8), "Wh.bias": (8,), "Wx.weight": (8, 2), "Wx.bias": (8,)}
            | {"Wy.weight": (1, 8), "Wy.bias": (1,)},
            "Wxh=Wx.weight.T,Whh=Wh.weight.T,bh=Wx.bias+Wh.bias,Why=Wy.weight.T,by=Wy.bias",
        ),
        (  # one of inputs and state side by side
            {"i.weight": (8, 10), "i.bias": (8,), "o.weight": (2, 8), "o.bias": (2,)},
            "Wxh=i.weight[:, :2].T,Whh=i.weight[:, 2:].T,bh=i.bias,Why=o.weight.T,by=o.bias",
        ),
        ({"W": (10, 8), "V": (8, 1)}, "Wxh=W[:2],Whh=W[2:],Why=V"),
        (
            {"synapse_0": (2, 16), "synapse_h": (16, 16), "synapse_1": (16, 1)},
            "Wxh=synapse_0,Whh=synapse_h,Why=synapse_1",
        ),
        (  # as numpy.savez names what a Keras model's get_weights() gives
            {"arr_0": (2, 8), "arr_1": (8, 8), "arr_2": (8,), "arr_3": (8, 1), "arr_4": (1,)},
            "Wxh=arr_0,Whh=arr_1,bh=arr_2,Why=arr_3,by=arr_4",
        ),
        (
            {"cell/i/kernel": (2, 8), "cell/h/kernel": (8, 8), "cell/h/bias": (8,)}
            | {"Dense/kernel": (8, 1), "Dense/bias": (1,)},
            "Wxh=cell/i/kernel,Whh=cell/h/kernel,bh=cell/h/bias,Why=Dense/kernel,by=Dense/bias",
        ),
    ],
)
def test_shapes_that_leave_one_possibility(
    shapes: dict[str, tuple[int, ...]], mapping: str
) -> None:
    assert recognise(filled(shapes) | {"epoch": np.array(3)}) == (mapping, ["epoch"])


@pytest.mark.parametrize(
    "shapes",
    [
        {"a": (2, 2), "b": (2, 2), "c": (1, 2)},  # two hidden units
        {"a": (8, 2), "b": (8, 8), "c": (8, 8), "d": (1, 8)},
        {"a": (8, 3), "b": (8, 8), "c": (1, 8)},
        {f"t{n}\n": (n,) for n in range(20)},
    ],
)
def test_nothing_recognised_says_how_to_go_on(shapes: dict[str, tuple[int, ...]]) -> None:
    message = refusal(filled(shapes))
    assert "cannot tell which tensors are the weights" in message
    assert "--map Wxh=" in message


def test_two_cells_and_two_readouts_are_not_chosen_between() -> None:
    assert "2 recurrent cells, 'ema.', 'model.'" in refusal(rnn("model.") | rnn("ema."))
    message = refusal(rnn() | filled({"other.weight": (1, 4)}))
    assert "'head.weight' (1, 4), 'other.weight' (1, 4) could each be" in message


# Biases ------------------------------------------------------------------------------

PAIRS = [
    ("Wxh", "bh"),
    ("net.Whh", "net.bh"),
    ("in.weight", "in.bias"),
    ("weight_ih", "bias_ih"),
    ("cell/kernel", "cell/bias"),
    ("W1", "b1"),
    ("W_hh", "b_hh"),
    ("net.w", "net.b"),
]


@pytest.mark.parametrize(("matrix", "bias"), PAIRS)
def test_the_bias_beside_a_named_matrix_comes_along(matrix: str, bias: str) -> None:
    tensors = filled({matrix: (2, 4), "square": (4, 4), "out": (4, 1), bias: (4,)})
    said = f"Wxh={matrix},Whh=square,Why=out"
    assert recognise(tensors, said) == (f"Wxh={matrix},Whh=square,bh={bias},Why=out", [])
    _, along = complete(Mapping.parse([said]), Mapping.parse([said]), tensors)
    assert along == [f"bh={bias}, which belongs to '{matrix}'"]
    # that there is none can be said, and the run keeps it
    assert recognise(tensors, said, "bh=0")[1] == [bias]
    assert not owned(tensors, ADD, Mapping.parse([said, "bh=0"])).weights.bh.any()


def test_biases_of_both_matrices_and_of_the_readout_come_along() -> None:
    tensors = rnn()
    said = "Wxh=rnn.weight_ih_l0.T,Whh=rnn.weight_hh_l0.T,Why=head.weight.T"
    assert recognise(tensors, said) == (WHOLE, [])
    parts = filled({"a.weight": (4, 6), "a.bias": (4,), "o.weight": (1, 4), "o.bias": (1,)})
    said = "Wxh=a.weight[:, 4:].T,Whh=a.weight[:, :4].T,Why=o.weight.T"
    found, _ = recognise(parts, said)
    assert "bh=a.bias," in found  # once, of the two parts
    assert "by=o.bias" in found


def test_a_bias_that_is_a_number_or_of_whole_numbers_is_a_bias() -> None:
    shapes: dict[str, tuple[int, ...]] = {"W1": (2, 4), "W2": (4, 4), "W3": (4, 1)}
    tensors = filled(shapes) | {"b3": np.array(-0.5)}
    found, passed = recognise(tensors, "Wxh=W1,Whh=W2,Why=W3")
    assert (found, passed) == ("Wxh=W1,Whh=W2,Why=W3,by=b3", [])
    assert owned(tensors, ADD, Mapping.parse([found])).weights.by.tolist() == [-0.5]
    tensors["b3"] = np.array([-10])
    assert recognise(tensors, "Wxh=W1,Whh=W2,Why=W3") == (found, [])


def test_a_bias_that_is_said_in_part_or_has_no_matrix_is_asked_for() -> None:
    message = refusal(rnn(), "bh=rnn.bias_ih_l0")
    assert "'rnn.bias_hh_l0' (4,) belongs to Wxh and Whh" in message
    assert "--map bh=rnn.bias_ih_l0+rnn.bias_hh_l0 takes it" in message
    assert "--leave-out states that it plays no part" in message
    tensors = filled({"A": (2, 4), "B": (4, 4), "C": (4, 1), "bias": (4,)})
    message = refusal(tensors, "Wxh=A,Whh=B,Why=C")
    assert message.endswith("no bh is said: --map bh=bias takes it, bh=0 that there is none")
    assert recognise(tensors, "Wxh=A,Whh=B,Why=C,bh=0")[1] == ["bias"]


def test_the_bias_of_a_matrix_that_is_multiplied_is_asked_for() -> None:
    tensors = filled({"a.weight": (3, 2), "b.weight": (4, 3), "b.bias": (4,), "S": (4, 4)})
    tensors |= filled({"O": (4, 1)})
    said = "Wxh=(b.weight @ a.weight).T,Whh=S,Why=O"
    message = refusal(tensors, said)
    assert "'b.bias' (4,) belongs to 'b.weight', which Wxh multiplies" in message
    assert "bh=0 for no bias" in message
    assert recognise(tensors, said, "bh=b.bias")[0] == said.replace(",Why", ",bh=b.bias,Why")


# What has no place -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "look"),
    [
        ({"head.0.weight": (4, 4), "head.0.bias": (4,)}, "a hidden layer before the readout"),
        ({"hidden.weight": (4, 4)}, "a further layer"),
        ({"fc0.weight": (9, 7)}, "a further layer"),
        ({"h0": (1, 1, 4)}, "an initial state"),
        ({"rnn.h_0": (4,)}, "an initial state"),
        ({"init_state": (4,)}, "an initial state"),
        ({"initial_hidden": (1, 4)}, "an initial state"),
        ({"start": (1, 4)}, "an initial state"),
        ({"state": (1, 4)}, "an initial state"),
        ({"rnn.weight_hr_l0": (3, 4)}, "a projection of the hidden state"),
        ({"proj.weight": (2, 2)}, "a projection"),
        ({"embedding.weight": (2, 2)}, "an embedding"),
        ({"emb.weight": (2, 2)}, "an embedding"),
        ({"norm.weight": (4,), "norm.bias": (4,)}, "a normalisation"),
        ({"bn1.running_mean": (4,)}, "a normalisation"),
        ({"ln.weight": (4,)}, "a normalisation"),
        ({"conv1.weight": (4, 4, 3)}, "a convolution"),
        ({"attn.q": (4, 4)}, "attention"),
        ({"act.weight": (1,)}, "an activation with parameters"),
        ({"rnn.weight_ih_l1": (4, 4), "rnn.weight_hh_l1": (4, 4)}, "a second recurrent layer"),
        ({"rnn.weight_ih_l0_reverse": (4, 2)}, "the other direction"),
        ({"ema.weight_hh_l0": (4, 4)}, "another recurrent cell"),
        ({"time_constants": (4,)}, "something that the answers may need"),
        ({"alpha": (4,)}, "something that the answers may need"),
        ({"score.gain": (1,)}, "something that the answers may need"),
        ({"deep": (2, 2, 2, 2)}, "something that the answers may need"),
        ({"evil\x1b[31m<b>`": (4, 4)}, "a further layer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_answers_may_need_blocks(shapes: dict[str, tuple[int, ...]], look: str) -> None:
    tensors = filled(shapes)
    if "head.0.weight" in shapes:  # a head of two layers
        base = {k.replace("head.", "head.2."): v for k, v in rnn().items()}
        whole = WHOLE.replace("head.", "head.2.")
    else:
        base, whole = rnn(), WHOLE
    # whether or not the others are named
    for message in (
        refusal(base | tensors, whole),
        *([refusal(base | tensors)] if "weight_" not in next(iter(shapes)) else []),
    ):
        if "could each be" in message or "look like several layers" in message:
            continue  # it is asked which is the readout
        name = repr(next(iter(shapes)))
        assert f"{name} {tuple(next(iter(shapes.values())))} looks like {look}" in message
        assert "cannot be taken (yet)" in message
        assert "--map" not in message  # nothing that would drop it
        assert "leave" not in message


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("loss", np.array(0.5)),
        ("n_averaged", np.array(100)),
        ("bn.num_batches_tracked", np.array(7)),
        ("train_losses", np.ones(50)),
        ("best_val_acc", np.array([0.9])),
        ("val_accuracy_history", np.ones(9)),
        ("epoch", np.array([3])),
        ("learning_rate", np.array([0.1])),
        ("optimizer.state.0.exp_avg", np.ones((4, 4))),
        ("optimizer_state_dict.x.momentum_buffer", np.ones((4, 2))),
        ("lr_scheduler.base", np.ones(2)),
        ("criterion.pos_weight", np.ones(1)),
        ("rng_state", np.zeros(5056, "u1")),
        ("h0", np.zeros((1, 1, 4))),
        ("other.bias", np.zeros(9)),
    ],
)
def test_what_cannot_be_a_weight_is_passed_over(name: str, tensor: Any) -> None:
    assert recognise(rnn() | {name: tensor}) == (WHOLE, [name])
    assert recognise(rnn() | {name: tensor}, WHOLE) == (WHOLE, [name])


def test_several_layers_to_the_answer_are_named() -> None:
    tensors = {k: v for k, v in rnn().items() if not k.startswith("head")}
    message = refusal(tensors | filled({"head.0.weight": (16, 4), "head.2.weight": (1, 16)}))
    assert "'head.0.weight' (16, 4), 'head.2.weight' (1, 16) look like several layers" in message
    assert "--map" not in message


# Weights that do not fit -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Wxh": "rnn.weight_ih_l0"}, "Wxh=rnn.weight_ih_l0.T"),
        ({"Whh": "rnn.weight_ih_l0"}, "a square (H, H)"),
        ({"Whh": ""}, "no tensor is said to be Whh"),
        ({"Why": "head.weight"}, "its transpose fits, Why=head.weight.T"),
        ({"Why": "head.bias"}, "Why=head.bias has shape (1,), but must have (4, 1)"),
        ({"by": "head.wieght"}, "did you mean 'head.weight'"),
        ({"by": "rnn.bias_ih_l0"}, "by=rnn.bias_ih_l0 has shape (4,), but must have (1,)"),
        ({"by": "infinite"}, "weights by are not all finite"),
        ({"by": "large"}, "weights by are not all finite"),
        ({"by": "no\x1b[2J"}, "there is no tensor 'no\\x1b'"),
        ({"Why": "nul\x1b[2J"}, "has shape (3,)"),
    ],
)
def test_weights_that_do_not_fit(changes: dict[str, str], message: str) -> None:
    tensors = rnn() | {
        "infinite": np.array([np.inf], "f4"),
        "large": np.array([3e38], "f4"),
        "nul\x1b[2J": np.zeros(3, "f4"),
    }
    fields = vars(Mapping.parse([WHOLE])) | changes
    if changes == {"by": "large"}:
        fields["by"] = "2*large"  # more than float32 holds
    with pytest.raises(InputError) as caught:
        owned(tensors, ADD, Mapping(**fields))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_types_of_numbers() -> None:
    def dtype(**kinds: str) -> str:
        shapes = {"Wxh": (2, 3), "Whh": (3, 3), "bh": (3,), "Why": (3, 1), "by": (1,)}
        tensors = {key: np.ones(shape, kinds.get(key, "f4")) for key, shape in shapes.items()}
        return owned(tensors, ADD, Mapping("Wxh", "Whh", "bh", "Why", "by")).dtype.name

    assert dtype() == "float32"
    assert dtype(by="f8") == dtype(bh="i8") == dtype(Wxh="u1") == "float64"


def test_too_many_units_are_refused_before_anything_is_tried() -> None:
    H = 1025
    tensors = {"Wxh": np.zeros((2, H)), "Whh": np.zeros((H, H)), "Why": np.zeros((H, 1))}
    with pytest.raises(InputError, match="at most 1,024 are accepted"):
        owned(tensors, ADD, Mapping("Wxh", "Whh", "", "Why"))


def test_a_task_of_another_size() -> None:
    tensors = rnn()
    for text, message in (
        ("compare", "task compare 3 output neurons"),
        ("add:operands=3", "task add:operands=3 has 3 inputs"),
    ):
        task = tasks.parse(text)
        with pytest.raises(InputError) as caught:
            owned(tensors, task, guess(tensors, task))
        assert message in str(caught.value)
    compare, wide = tasks.parse("compare"), rnn(Y=3)
    assert owned(wide, compare, guess(wide, compare)).weights.Why.shape == (4, 3)


def test_a_number_that_may_be_learned_blocks() -> None:
    for name in ("alpha", "threshold", "h0", "scale", "temperature"):
        assert f"'{name}' () looks like" in refusal(rnn() | {name: np.array(0.5)}, WHOLE)
    # and one that is the bias of a single output comes along
    tensors = rnn() | {"head.bias": np.array(-3.0)}
    assert recognise(tensors) == (WHOLE, [])
    assert owned(tensors, ADD, Mapping.parse([WHOLE])).weights.by.tolist() == [-3]


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("", "optimized.gain"),
        ("", "head.scores"),
        ("", "schedule.x"),
        # beside the weights of the network that a loss holds
        ("criterion.net.", "criterion.net.norm.weight"),
        ("loss.", "loss.h0"),
    ],
)
def test_names_that_are_only_like_those_of_a_state_block(prefix: str, name: str) -> None:
    tensors = {f"{prefix}{key}": tensor for key, tensor in rnn().items()}
    assert f"'{name}' (4,)" in refusal(tensors | {name: np.ones(4)})
