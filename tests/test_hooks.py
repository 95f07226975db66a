"""What a subclass puts in the place of a part of a layer takes effect, as it does in Keras."""

import keras
import numpy as np
import pytest

import cornu

X = np.random.default_rng(3).normal(size=(2, 6, 4)).astype("float32")
IMAGES = np.random.default_rng(4).normal(size=(2, 5, 5, 3)).astype("float32")


def like_keras(of_library, *inputs, **kwargs):
    """Both libraries' layers, with the same weights, give the same."""
    theirs, ours = of_library(keras), of_library(cornu)
    theirs(*inputs, **kwargs), ours(*inputs, **kwargs)
    ours.set_weights(theirs.get_weights())
    for expected, found in zip(*(keras.tree.flatten(f(*inputs, **kwargs)) for f in (theirs, ours)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


# convolutions ------------------------------------------------------------------------------------------------------


def reflecting(lib):
    class Reflecting(lib.layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            margins = [[0, 0], [1, 1], [1, 1], [0, 0]]
            return super().convolution_op(lib.ops.pad(inputs, margins, mode="reflect"), kernel)

    return Reflecting(4, 3)


def centred(lib):
    class Centred(lib.layers.Conv1D):
        def _compute_causal_padding(self):
            return [[0, 0], [1, 1], [0, 0]]

    return Centred(4, 3, padding="causal")


@pytest.mark.parametrize("layer, x", [(reflecting, IMAGES), (centred, X)])
def test_a_convolution_may_be_another(layer, x):
    like_keras(layer, x)


def test_a_kernel_may_be_changed_before_each_convolution():
    class Doubled(cornu.layers.Conv1D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, 2 * kernel)

    layer = Doubled(3, 2)
    plain = cornu.layers.Conv1D(3, 2)
    layer(X), plain(X)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(X), 2 * plain(X), rtol=1e-5)
    np.testing.assert_allclose(plain.convolution_op(X, plain.kernel), plain(X), rtol=1e-6)


# attention ---------------------------------------------------------------------------------------------------------


def own_mask(lib):
    class Own(lib.layers.MultiHeadAttention):
        def _compute_attention_mask(self, query, value, **masks):
            super()._compute_attention_mask(query, value, **masks)
            return np.eye(6, dtype=bool)[None]

    return Own(2, 3)


def own_order(lib):
    class Own(lib.layers.MultiHeadAttention):
        def _compute_causal_mask(self, query, value=None):
            return lib.ops.transpose(super()._compute_causal_mask(query, value), (0, 2, 1))

    return Own(2, 3, sliding_window=4)


def own_softmax(lib):
    class Own(lib.layers.MultiHeadAttention):
        def _masked_softmax(self, attention_scores, attention_mask=None):
            return super()._masked_softmax(2 * attention_scores, attention_mask)

    return Own(2, 3)


def own_parts(lib):
    class Own(lib.layers.MultiHeadAttention):
        def _build_attention(self, rank):
            super()._build_attention(rank)
            self._softmax = lambda scores, mask=None: lib.ops.sigmoid(scores)

        def _make_output_dense(self, query_shape, common_kwargs, name=None):
            return lib.layers.EinsumDense("abcd,cde->abe", (None, 7), bias_axes="e", name=name, **common_kwargs)

    return Own(2, 3)


def own_scale(lib):
    layer = lib.layers.MultiHeadAttention(2, 3)
    layer._inverse_sqrt_key_dim = 1.0
    return layer


@pytest.mark.parametrize("layer", [own_order, own_softmax, own_parts, own_scale], ids=lambda f: f.__name__)
@pytest.mark.parametrize("causal", [False, True])
def test_parts_of_attention(layer, causal):
    like_keras(layer, X, X, return_attention_scores=True, use_causal_mask=causal)


def test_a_mask_of_attention_may_be_another():
    like_keras(own_mask, X, X, return_attention_scores=True)


@pytest.mark.parametrize("layer", [own_softmax, own_parts, own_scale], ids=lambda f: f.__name__)
def test_parts_of_attention_count_without_scores_too(layer):
    layer = layer(cornu)
    np.testing.assert_allclose(layer(X, X), layer(X, X, return_attention_scores=True)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [(1,), (2,), (2, 1), None])
def test_attention_by_equations_over_any_axes(axes):
    def layer(lib):
        class Own(lib.layers.MultiHeadAttention):
            def _masked_softmax(self, attention_scores, attention_mask=None):
                return super()._masked_softmax(attention_scores, attention_mask)

        return Own(2, 3, attention_axes=axes)

    like_keras(layer, IMAGES, IMAGES, return_attention_scores=True)
    ours, theirs = layer(cornu), layer(keras)
    ours(IMAGES, IMAGES), theirs(IMAGES, IMAGES)
    for name in ("_dot_product_equation", "_combine_equation", "_attention_axes"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("hook", ["_masked_softmax", "_compute_attention_mask", "_compute_attention"])
def test_parts_of_grouped_attention(hook):
    def layer(lib):
        own = type("Own", (lib.layers.GroupQueryAttention,), {
            hook: lambda self, *args, **kwargs: getattr(super(own, self), hook)(*args, **kwargs)})
        return own(3, 4, 2)

    like_keras(layer, X, X, return_attention_scores=True, use_causal_mask=True)


def test_parts_of_plain_attention():
    def layer(lib):
        class Own(lib.layers.Attention):
            def _calculate_scores(self, query, key):
                return 2 * super()._calculate_scores(query, key)

            def _apply_scores(self, scores, value, scores_mask=None, training=False):
                result, weights = super()._apply_scores(scores, value, scores_mask, training)
                return 3 * result, weights

        return Own()

    like_keras(layer, [X, X], use_causal_mask=True, return_attention_scores=True)


# cells -------------------------------------------------------------------------------------------------------------


def own_step(lib):
    class Own(lib.layers.LSTMCell):
        def call(self, inputs, states, training=False):
            output, states = super().call(inputs, states, training=training)
            return 5 * output, states

    return lib.layers.RNN(Own(3), return_sequences=True)


def peephole(lib):
    class Peephole(lib.layers.LSTMCell):
        def build(self, input_shape):
            super().build(input_shape)
            self.peep = self.add_weight((self.units,), "ones")

        def _compute_carry_and_output_fused(self, z, c_tm1):
            i, f, g, o = z
            c = self.recurrent_activation(f) * c_tm1 + self.recurrent_activation(i + c_tm1 * self.peep) * self.activation(g)
            return c, self.recurrent_activation(o + c * self.peep)

    return lib.layers.RNN(Peephole(3), return_sequences=True)


@pytest.mark.parametrize("layer", [own_step, peephole], ids=lambda f: f.__name__)
def test_steps_of_cells(layer):
    like_keras(layer, X)


def test_another_cell_of_a_built_in_layer():
    def layer(lib):
        layer = lib.layers.LSTM(3)
        layer.cell = own_step(lib).cell
        return layer

    like_keras(layer, X)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_cell_may_attend_to_arrays_that_it_holds(stacked):
    def layer(lib):
        class Attending(lib.layers.Layer):
            def __init__(self):
                super().__init__()
                self.cell, self.state_size, self.query = lib.layers.GRUCell(3), 3, lib.layers.Dense(4)

            def call(self, x, states):
                weights = lib.ops.softmax(lib.ops.einsum("bd,btd->bt", self.query(states[0]), X))
                seen = lib.ops.einsum("bt,btd->bd", weights, X)
                return self.cell(lib.ops.concatenate([x, seen], -1), states)

        return lib.layers.RNN([Attending(), lib.layers.GRUCell(2)] if stacked else Attending(), return_sequences=True)

    like_keras(layer, X)


@pytest.mark.parametrize("cell", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("recurrent", [0.0, 0.5])
def test_cells_keep_dropout_masks_until_they_are_reset(cell, recurrent):
    ours, theirs = (getattr(lib.layers, cell)(3, dropout=0.5, recurrent_dropout=recurrent) for lib in (cornu, keras))
    for cell in (ours, theirs):
        assert np.array_equal(cell.get_dropout_mask(X), cell.get_dropout_mask(X))
    assert np.shape(ours.get_dropout_mask(X)) == np.shape(theirs.get_dropout_mask(X))
    assert (ours.get_recurrent_dropout_mask(X) is None) == (theirs.get_recurrent_dropout_mask(X) is None) == (not recurrent)
    before = np.array(ours.get_dropout_mask(X))
    ours.reset_dropout_mask()
    assert not np.array_equal(before, ours.get_dropout_mask(X))


def test_a_cells_own_step_drops_the_same_in_all_steps():
    class Sum(cornu.layers.SimpleRNNCell):
        def call(self, sequence, states, training=False):
            mask = self.get_dropout_mask(sequence) if training else 1
            return (total := states[0] + sequence * mask), [total]

    layer = cornu.layers.RNN(Sum(4, dropout=0.5))
    assert set(np.unique(layer(np.ones((8, 6, 4)), training=True))) == {0, 12}


def test_masks_of_a_cell_in_a_loop_of_ones_own_do_not_outlive_the_step():
    class Loop(cornu.layers.Layer):
        def __init__(self):
            super().__init__()
            self.cell = cornu.layers.SimpleRNNCell(4, dropout=0.5)

        def call(self, x, training=False):
            states = [x[:, 0]]
            for t in range(6):
                output, states = self.cell(x[:, t], states, training=training)
            return output

    model = cornu.Sequential([Loop(), cornu.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0, :1], batch_size=1, epochs=2, verbose=0)
    model.fit(X, X[:, 0, :1], verbose=0)
    assert not model.layers[0].cell._masks.kept


# the others ----------------------------------------------------------------------------------------------------------


def test_merging_and_dropout_may_be_others():
    class First(cornu.layers.Add):
        def _merge_function(self, inputs):
            return inputs[0]

    class Steps(cornu.layers.SpatialDropout1D):
        def _get_noise_shape(self, inputs):
            return inputs.shape[0], inputs.shape[1], 1

    assert np.array_equal(First()([X, 2 * X]), X)
    dropped = np.asarray(Steps(0.5)(np.ones((2, 6, 4)), training=True))
    assert (dropped == dropped[:, :, :1]).all()


def test_normalized_weights_are_those_that_a_call_sets():
    layer = cornu.layers.SpectralNormalization(cornu.layers.Dense(2), power_iterations=3)
    layer.build((None, 4))
    vector, kernel = layer.normalized_weights()
    assert np.linalg.norm(kernel, 2) == pytest.approx(1, rel=0.1)
    layer(X[0], training=True)
    np.testing.assert_allclose(layer.kernel, kernel)
    np.testing.assert_allclose(layer.vector_u, vector)


@pytest.mark.parametrize("holder", [
    lambda lib, layer: lib.layers.TimeDistributed(layer), lambda lib, layer: lib.layers.SpectralNormalization(layer)])
def test_from_config_takes_custom_objects(holder):
    class Own(cornu.layers.Dense):
        pass

    config = holder(cornu, Own(2)).get_config()
    layer = holder(cornu, Own(2))
    assert type(type(layer).from_config(config, custom_objects={"Own": Own}).layer) is Own


def test_recurrent_layers_take_custom_objects():
    class Own(cornu.layers.LSTMCell):
        pass

    for layer in (cornu.layers.RNN(Own(2)), cornu.layers.Bidirectional(cornu.layers.RNN([Own(2), Own(3)]))):
        again = type(layer).from_config(layer.get_config(), custom_objects={"Own": Own})
        assert any(type(part) is Own for part in again._flatten_layers())


# masks of symbolic tensors -------------------------------------------------------------------------------------------

IDS = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])


def masked_attention(lib):
    ids = lib.Input((4,), dtype="int32")
    x = lib.layers.Embedding(5, 3, mask_zero=True)(ids)
    y = lib.layers.MultiHeadAttention(2, 2)(x, x, attention_mask=x._keras_mask[:, None, :])
    return lib.Model(ids, [lib.layers.LSTM(3)(y, mask=x._keras_mask), x._keras_mask])


def masks_of_masking(lib):
    ids = lib.Input((4,))
    x = lib.layers.Reshape((4, 1))(ids)
    mask = lib.layers.Masking().compute_mask(x)
    joined = lib.layers.Concatenate(axis=1)([lib.layers.Masking()(x), x])
    return lib.Model(ids, [mask, joined._keras_mask, lib.layers.LSTM(2)(x, mask=mask)])


@pytest.mark.parametrize("model", [masked_attention, masks_of_masking])
def test_models_are_built_from_masks(model, tmp_path):
    like_keras(model, IDS)
    ours = model(cornu)
    ours.save(tmp_path / "model.keras")
    again, cloned = cornu.models.load_model(tmp_path / "model.keras"), cornu.models.clone_model(ours)
    cloned.set_weights(ours.get_weights())
    for other in (again, cloned):
        for one, two in zip(ours.predict(IDS, verbose=0), other(IDS), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
