"""Recurrent layers beyond the table of layers: states over batches, masks, any cell, wrappers, errors."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import cornu
from cornu.layers import (GRU, LSTM, RNN, Bidirectional, ConvLSTM2D, Dense, Dropout, GRUCell, LSTMCell, SimpleRNN,
                          StackedRNNCells, TimeDistributed)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 6, 3)).astype("float32")
LAYERS = [SimpleRNN, LSTM, GRU]
every_layer = pytest.mark.parametrize("layer_class", LAYERS)


def same(a, b, tolerance=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def twin(layer, **changes):
    """A layer of the same weights with other arguments."""
    other = type(layer).from_config({**layer.get_config(), **changes})
    other(X)
    other.set_weights(layer.get_weights())
    return other


def gradient(layer, x):
    """Of a sum over the sequence with respect to the weights."""
    pure = cornu.functional(lambda: jnp.sum(jnp.cos(layer(x)[0])), layer.weights)
    return jax.grad(lambda values: pure(values)[0])([w.value for w in layer.weights])


class AddCell(cornu.layers.Layer):
    """A user's cell: adds up its inputs."""

    state_size = 3

    def call(self, inputs, states):
        total = states[0] + inputs
        return total, [total]


class KerasAddCell(keras.layers.Layer):
    state_size = 3

    def call(self, inputs, states):
        total = states[0] + inputs
        return total, [total]


class MatrixCell:
    """A user's cell that is no layer, with two states of which one is a matrix."""

    state_size = [3, (3, 3)]

    def call(self, inputs, states):
        h, m = states
        m = m + inputs[:, :, None] * inputs[:, None]
        return jnp.einsum("bij,bj->bi", m, inputs) + h, (h + 1, m)


class CountingCell(cornu.layers.Layer):
    """A user's cell that writes a variable, draws random numbers and adds a loss at every step."""

    state_size = 3

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = cornu.random.SeedGenerator(1)
        self.steps = self.add_weight((), "zeros", trainable=False)

    def call(self, inputs, states):
        self.steps.assign_add(1.0)
        self.add_loss(jnp.sum(inputs))
        noise = cornu.random.normal(inputs.shape, seed=self.seeds)
        return noise, [states[0] + noise]


# states over batches -----------------------------------------------------------------------------------------------


@every_layer
def test_a_stateful_layer_goes_on_where_it_stopped(layer_class):
    whole = layer_class(4, return_sequences=True)
    expected = whole(X)
    parts = twin(whole, stateful=True)
    parts.reset_state()
    same(jnp.concatenate([parts(X[:, :2]), parts(X[:, 2:])], 1), expected)
    parts.reset_states()
    same(parts(X), expected)


def test_states_are_carried_by_predict_and_fit_but_not_saved():
    model = cornu.Sequential([cornu.Input(batch_shape=(2, 6, 3)), LSTM(4, stateful=True)])
    first, second = model.predict(X, batch_size=2, verbose=0), model.predict(X, batch_size=2, verbose=0)
    assert np.abs(first - second).max() > 1e-3
    model.layers[-1].reset_state()
    same(model.predict(X, batch_size=2, verbose=0), first)
    model.compile("sgd", "mse")
    before = np.asarray(model.layers[-1].states[0])
    model.fit(X, np.zeros((2, 4)), batch_size=2, verbose=0)
    assert np.abs(np.asarray(model.layers[-1].states[0]) - before).max() > 1e-4
    assert [w.path.split("/")[-1] for w in model.weights] == ["kernel", "recurrent_kernel", "bias"]


def test_stateful_bidirectional_and_convolutional():
    both, images = Bidirectional(GRU(2, stateful=True)), ConvLSTM2D(2, 2, stateful=True)
    x = RNG.normal(size=(1, 3, 4, 4, 1)).astype("float32")
    for layer, value in ((both, X), (images, x)):
        first, second = layer(value), layer(value)
        assert np.abs(first - second).max() > 1e-4
        layer.reset_state()
        same(layer(value), first)
    assert len(both.states) == 2


def test_stateful_batches_are_of_one_known_size():
    layer = LSTM(4, stateful=True)
    with pytest.raises(ValueError, match="needs a fixed batch size"):
        layer(cornu.KerasTensor((None, 6, 3)))
    layer(X)
    with pytest.raises(ValueError, match="built for batches of 2. Received a batch of 3"):
        layer(np.ones((3, 6, 3)))


# masks and initial states ------------------------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("wrap", [lambda layer: layer, Bidirectional])
def test_padding_changes_nothing(layer_class, wrap):
    layer = wrap(layer_class(4, return_state=True))
    expected = layer(X[:, :4])
    mask = np.arange(6)[None] < np.array([[4], [4]])
    same(layer(np.where(mask[..., None], X, 7.0), mask=jnp.asarray(mask)), expected)
    same(layer(np.where(mask[..., None], X, 7.0)[:, ::-1], mask=jnp.asarray(mask)[:, ::-1]), layer(X[:, 3::-1]))


@every_layer
def test_gradients_pass_masked_steps_by(layer_class):
    layer = layer_class(4, return_sequences=True)
    layer(X)
    mask = jnp.asarray(RNG.random((2, 6)) > 0.4)

    def loss(layer):
        return jax.grad(lambda x: jnp.sum(jnp.sin(layer(x, mask=mask))))(jnp.asarray(X))

    gradient = loss(layer)
    assert np.abs(gradient[~mask]).max() == 0
    same(gradient, loss(twin(layer, unroll=True)))


def test_a_mask_from_an_embedding_reaches_through_recurrent_layers():
    model = cornu.Sequential([cornu.Input((None,)), cornu.layers.Embedding(5, 3, mask_zero=True),
                              GRU(4, return_sequences=True), Bidirectional(LSTM(2))])
    same(model(np.array([[1, 2, 0, 0]])), model(np.array([[1, 2]])))


@every_layer
def test_a_mask_of_other_steps_is_refused(layer_class):
    with pytest.raises(ValueError, match=r"a mask of shape \(2, 5\) does not fit the data, which need one of shape \(2, 6\)"):
        layer_class(4)(X, mask=np.ones((2, 5), bool))


@every_layer
def test_initial_states(layer_class):
    layer = layer_class(4, return_state=True)
    _, *states = layer(X[:, :3])
    same(layer(X[:, 3:], initial_state=states), layer(X))
    with pytest.raises(ValueError, match=r"initial_state must be \d array\(s\) of shape \(2, 4\).*\(2, 5\)"):
        layer(X, initial_state=[np.zeros((2, 5))] * len(states))


def test_an_encoder_hands_its_states_to_a_decoder():
    source, target = cornu.Input((None, 3)), cornu.Input((5, 3))
    _, *states = LSTM(4, return_state=True)(source)
    model = cornu.Model([source, target], LSTM(4, return_sequences=True)(target, initial_state=states))
    assert model.output_shape == (None, 5, 4) and len(model.weights) == 6
    assert np.abs(model([X, X[:, :5]]) - model([X * 2, X[:, :5]])).max() > 1e-3


# loops -------------------------------------------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("change", [dict(unroll=True), dict(use_cudnn=False), dict(go_backwards=True)], ids=str)
def test_all_loops_give_the_same(layer_class, change):
    if layer_class is SimpleRNN and "use_cudnn" in change:
        return
    layer = layer_class(4, return_sequences=True, return_state=True)
    expected, x = layer(X), X[:, ::-1] if "go_backwards" in change else X
    other = twin(layer, **change)
    same(other(x), expected)
    same(gradient(layer, X), gradient(other, x))


def test_use_cudnn_true_is_an_error_where_no_fused_loop_fits():
    LSTM(4, use_cudnn=True)(X)
    with pytest.raises(ValueError, match="use_cudnn=True needs"):
        LSTM(4, use_cudnn=True, unroll=True)(X)
    with pytest.raises(ValueError, match="use_cudnn"):
        GRU(4, use_cudnn="sometimes")


@pytest.mark.parametrize("name, kwargs", [
    ("SimpleRNN", dict(dropout=0.4)), ("SimpleRNN", dict(dropout=0.2, recurrent_dropout=0.4)),
    ("LSTM", dict(dropout=0.2, recurrent_dropout=0.4)), ("GRU", dict(recurrent_dropout=0.4, reset_after=False))])
def test_dropout_is_the_same_at_every_step_and_keras_s_own(name, kwargs):
    ours, theirs = (getattr(library.layers, name)(4, seed=3, **kwargs) for library in (cornu, keras))
    theirs.build(X.shape), ours(X)
    ours.set_weights(theirs.get_weights())
    same(ours(X, training=True), theirs(X, training=True))


def test_dropout_of_cells_within_cells_is_held_over_the_sequence():
    cells = lambda m: m.layers.RNN([m.layers.LSTMCell(4, dropout=0.3, recurrent_dropout=0.2, seed=1),  # noqa: E731
                                    m.layers.GRUCell(3, dropout=0.5, seed=2)])
    ours, theirs = cells(cornu), cells(keras)
    theirs.build(X.shape), ours(X)
    ours.set_weights(theirs.get_weights())
    same(ours(X, training=True), theirs(X, training=True))
    assert ours.cell.cells[0]._masks.held is None


# any cell ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, dict(return_sequences=True), dict(go_backwards=True)], ids=str)
def test_a_user_s_cell(kwargs):
    mask = np.array([[1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]], bool)
    same(RNN(AddCell(), **kwargs)(X, mask=mask), keras.layers.RNN(KerasAddCell(), **kwargs)(X, mask=mask))


def test_a_cell_that_is_no_layer_with_a_matrix_as_state():
    output, h, m = RNN(MatrixCell(), return_state=True)(X)
    outer = np.einsum("bti,btj->bij", X, X)
    same((output, h, m), (np.einsum("bij,bj->bi", outer, X[:, -1]) + 5, np.full((2, 3), 6.0), outer), 1e-4)
    assert RNN(MatrixCell())(cornu.KerasTensor((None, None, 3))).shape == (None, 3)


@pytest.mark.parametrize("unroll", [False, True])
def test_a_cell_may_write_variables_draw_numbers_and_add_losses(unroll):
    layer = RNN(CountingCell(), return_sequences=True, unroll=unroll)
    noise = layer(X)
    assert float(layer.cell.steps.value) == 6 and len(np.unique(noise)) == noise.size
    same(layer.losses, [np.sum(X)], 1e-4)
    pure = jax.jit(cornu.functional(lambda x: layer(x), layer.variables))
    _, values = pure([v.value for v in layer.variables], X)
    assert float(values[0]) == 12 and float(layer.cell.steps.value) == 6


def test_a_cell_of_layers_that_build_themselves():
    class Deep(cornu.layers.Layer):
        state_size = 4

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense, self.dropout = Dense(4, activation="tanh"), Dropout(0.5)

        def call(self, inputs, states, training=False):
            h = self.dropout(self.dense(jnp.concatenate([inputs, states[0]], -1)), training=training)
            return h, [h]

    layer = RNN(Deep())
    assert layer(X).shape == (2, 4) and [w.shape for w in layer.weights] == [(7, 4), (4,)]
    assert all(isinstance(w.value, jax.Array) and not isinstance(w.value, jax.core.Tracer) for w in layer.weights)
    assert layer(X, training=True).shape == (2, 4)


def test_nested_states_come_back_in_their_structure():
    layer = RNN([LSTMCell(4), GRUCell(3)], return_state=True)
    output, lstm, gru = layer(X)
    assert [s.shape for s in (*lstm, *gru)] == [(2, 4), (2, 4), (2, 3)] and layer.state_size == [[4, 4], 3]
    same(layer(X[:, 2:], initial_state=layer(X[:, :2])[1:]), (output, lstm, gru))


def test_cells_are_called_by_themselves():
    output, states = StackedRNNCells([LSTMCell(4), GRUCell(3)])(X[:, 0], [[np.zeros((2, 4))] * 2, [np.zeros((2, 3))]])
    assert output.shape == (2, 3) and len(states) == 2


@pytest.mark.parametrize("make, message", [
    (lambda: RNN(Dense(3)), "must have a `state_size`"),
    (lambda: RNN("lstm"), "must have a method `call"),
    (lambda: RNN([]), "at least one cell"),
    (lambda: StackedRNNCells([Dense(3)]), "must have a `state_size`"),
    (lambda: LSTM(0), "LSTMCell: argument `units` must be an integer > 0"),
    (lambda: GRU(3, dropout=1.5), "between 0 and 1"),
    (lambda: LSTM(3)(np.ones((2, 3))), "expected an input of rank 3"),
    (lambda: LSTM(3)(np.ones((2, 0, 3))), "one step or more"),
    (lambda: LSTM(3)(cornu.KerasTensor((None, 5, None))), "known last size"),
    (lambda: ConvLSTM2D(3, 5)(np.ones((1, 2, 4, 4, 1))), "a window of 5 does not fit"),
    (lambda: ConvLSTM2D(3, 2, data_format="first"), "data_format"),
    (lambda: Bidirectional(Dense(3)), "must be a recurrent layer"),
    (lambda: Bidirectional(LSTM(3), merge_mode="max"), "merge_mode"),
    (lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3)), "opposite directions"),
    (lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3, go_backwards=True, return_sequences=True)), "return_sequences"),
    (lambda: TimeDistributed(len), "must be a Layer"),
    (lambda: TimeDistributed(Dense(3))(np.ones((2, 3))), "three axes"),
])
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_cell_that_returns_other_states_than_it_got():
    class Growing(AddCell):
        def call(self, inputs, states):
            return inputs, [jnp.concatenate([states[0], inputs], -1)]

    with pytest.raises(ValueError, match=r"Growing: `call` must return new states of the shapes of the old"):
        RNN(Growing())(X)


# files and wrappers --------------------------------------------------------------------------------------------------


def test_the_names_that_files_use():
    both = Bidirectional(LSTM(4, name="inner"), name="outer")
    both(X)
    assert [w.path for w in both.weights][:3] == [f"outer/forward_inner/lstm_cell/{n}"
                                                  for n in ("kernel", "recurrent_kernel", "bias")]
    assert both.forward_layer.cell.name == "lstm_cell" and both.backward_layer.go_backwards
    again = Bidirectional.from_config(both.get_config())
    assert again.forward_layer.name == "forward_inner" and again.backward_layer.name == "backward_inner"


def _wrapped_layers(library):
    layers, i = library.layers, library.Input((6, 3))
    steps = layers.TimeDistributed(layers.Dense(4))(layers.Bidirectional(layers.LSTM(3, return_sequences=True))(i))
    seen = layers.GroupQueryAttention(3, 4, 2)(layers.MultiHeadAttention(2, 3, use_gate=True)(steps, steps), steps)
    last = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])(seen)
    images = layers.ConvLSTM1D(2, 2)(layers.Reshape((6, 3, 1))(i))
    return library.Model(i, [last, images, layers.RNN(layers.SimpleRNNCell(2))(i), layers.AdditiveAttention()([i, i])])


def test_files_go_both_ways_between_keras_and_cornu(tmp_path):
    ours, theirs = _wrapped_layers(cornu), _wrapped_layers(keras)
    theirs.save_weights(tmp_path / "a.weights.h5"), ours.load_weights(tmp_path / "a.weights.h5")
    same(ours(X), theirs(X))
    ours.set_weights([w * 2 for w in ours.get_weights()])
    ours.save_weights(tmp_path / "b.weights.h5"), theirs.load_weights(tmp_path / "b.weights.h5")
    same(ours(X), theirs(X))
    ours.save(tmp_path / "b.keras")
    same(keras.saving.load_model(tmp_path / "b.keras")(X), ours(X))


def test_bidirectional_starts_from_given_weights():
    one = Bidirectional(GRU(2))
    one(X)
    same(Bidirectional(GRU(2), weights=one.get_weights())(X), one(X))


def test_a_user_s_cell_in_a_config():
    config = cornu.registry.serialize(RNN(AddCell()))
    layer = cornu.registry.deserialize(config, {"AddCell": AddCell})
    same(layer(X), X.sum(1))


def test_time_distributed_takes_the_masks_of_what_it_wraps():
    layer = TimeDistributed(LSTM(3))
    x, mask = X[:, :, None].repeat(4, 2), np.ones((2, 6, 4), bool)
    mask[..., 2:] = False
    same(layer(x, mask=jnp.asarray(mask)), layer(x[:, :, :2]))
