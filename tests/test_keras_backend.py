"""`keras.backend` as older programs use it: K.sum to K.rnn, against NumPy and by hand."""

import jax
import numpy as np
import pytest

import cornu
from cornu import backend as K

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 2, 3)).astype("float32")
IMAGES = RNG.normal(size=(2, 6, 6, 3)).astype("float32")


@pytest.mark.parametrize("found, right", [
    (lambda: K.sum(A, axis=1, keepdims=True), A.sum(1, keepdims=True)),
    (lambda: K.mean(A > 0, axis=0), (A > 0).mean(0)),
    (lambda: K.std(A), A.std()),
    (lambda: K.any(A, axis=1), A.any(1)),
    (lambda: K.clip(A, 0.5, -0.5), np.full((2, 3), 0.5)),
    (lambda: K.clip(np.array([-3, 3]), None, 2), [-3, 2]),
    (lambda: K.sqrt(np.array([-4.0, 4.0])), [0, 2]),
    (lambda: K.hard_sigmoid(np.array([-3.0, 1.0, 3.0])), [0, 0.7, 1]),
    (lambda: K.l2_normalize(A, 1), A / np.linalg.norm(A, axis=1, keepdims=True)),
    (lambda: K.batch_dot(A, B, axes=1), (A * B).sum(1, keepdims=True)),
    (lambda: K.batch_dot(IMAGES, IMAGES, (3, 3)), np.einsum("bijc,bklc->bijkl", IMAGES, IMAGES)),
    (lambda: K.batch_flatten(IMAGES), IMAGES.reshape(2, -1)),
    (lambda: K.bias_add(IMAGES.transpose(0, 3, 1, 2), [1.0, 2, 3], "channels_first"),
     (IMAGES + [1, 2, 3]).transpose(0, 3, 1, 2)),
    (lambda: K.constant(2.0, shape=(2, 2)), np.full((2, 2), 2)),
    (lambda: K.repeat(A, 2), np.repeat(A[:, None], 2, 1)),
    (lambda: K.repeat_elements(A, 2, 1), np.repeat(A, 2, 1)),
    (lambda: K.permute_dimensions(A, (1, 0)), A.T),
    (lambda: K.reverse(A, [0, 1]), A[::-1, ::-1]),
    (lambda: K.gather(A, [1, 0, 1]), A[[1, 0, 1]]),
    (lambda: K.one_hot(np.array([2, 0]), 3), np.eye(3)[[2, 0]]),
    (lambda: K.resize_images(IMAGES, 2, 3, "channels_last"), IMAGES.repeat(2, 1).repeat(3, 2)),
    (lambda: K.spatial_2d_padding(IMAGES, ((1, 2), (0, 1))),
     np.pad(IMAGES, ((0, 0), (1, 2), (0, 1), (0, 0)))),
    (lambda: K.pool2d(IMAGES, (2, 2), (2, 2), pool_mode="avg"),
     IMAGES.reshape(2, 3, 2, 3, 2, 3).mean((2, 4))),
    (lambda: K.foldl(lambda a, x: a / 2 + x, A), A[0] / 2 + A[1]),
    (lambda: K.foldr(lambda a, x: a / 2 + x, A), A[1] / 2 + A[0]),
    (lambda: K.map_fn(lambda x: 2 * x, A), 2 * A),
    (lambda: K.switch(np.array([True, False]), A, B), np.stack([A[0], B[1]])),
    (lambda: K.switch(True, lambda: A, lambda: B), A),
    (lambda: K.sparse_categorical_crossentropy(
        np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]), ignore_class=1), [np.log(2), 0]),
    (lambda: K.to_dense(K.ctc_label_dense_to_sparse(np.array([[1, 2], [3, 4]]), np.array([2, 1]))),
     [[1, 2], [3, 0]]),
    (lambda: K.in_train_phase(A, B), B),
    (lambda: K.in_train_phase(A, lambda: B, training=True), A),
])
def test_values(found, right):
    np.testing.assert_allclose(np.asarray(found()), right, rtol=1e-5, atol=1e-6)


def test_the_transposed_convolution_is_the_gradient_of_a_convolution():
    kernel = RNG.normal(size=(3, 3, 4, 3)).astype("float32")
    shape = (2, 11, 12, 4)
    convolved, back = jax.vjp(lambda x: K.conv2d(x, kernel, (2, 2), "same"), np.zeros(shape, "f"))
    found = K.conv2d_transpose(IMAGES, kernel, (None, *shape[1:]), (2, 2), "same")
    np.testing.assert_allclose(found, back(IMAGES)[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="gives"):
        K.conv2d_transpose(IMAGES, kernel, (2, 5, 5, 4))


def test_ctc_of_sure_probabilities():
    y = np.full((1, 4, 3), 1e-6, "float32")
    y[0, range(4), [0, 0, 2, 1]] = 1
    (labels,), _ = K.ctc_decode(y, np.array([4]))
    assert labels.tolist() == [[0, 1, -1, -1]]
    cost = K.ctc_batch_cost(np.array([[0, 1]]), y, np.array([[4]]), np.array([[2]]))
    assert cost.shape == (1, 1) and 0 <= cost[0, 0] < 1e-4


def sums(x, states):
    return x + states[0], [x + states[0]]


@pytest.mark.parametrize("more, last, outputs", [
    ({}, 10, [1, 3, 6, 10]),
    ({"go_backwards": True}, 10, [4, 7, 9, 10]),
    ({"unroll": True}, 10, [1, 3, 6, 10]),
    ({"mask": np.array([[1, 0, 1, 0]], bool)}, 4, [1, 1, 4, 4]),
    ({"mask": np.array([[1, 0, 1, 0]], bool), "zero_output_for_mask": True}, 0, [1, 0, 4, 0]),
    ({"return_all_outputs": False}, 10, [10]),
    ({"input_length": 2}, 3, [1, 3, 3, 3]),
])
def test_rnn(more, last, outputs):
    x = np.arange(1, 5, dtype="float32").reshape(1, 4, 1)
    found = K.rnn(sums, x, [np.zeros((1, 1), "float32")], **more)
    assert found[0].item() == last and found[1].ravel().tolist() == outputs


def test_symbolic_tensors_are_taken():
    x = cornu.Input((5, 3))
    last, outputs, _ = K.rnn(sums, x, [np.zeros((1, 3), "float32")])
    found = [K.mean(outputs, axis=1), K.batch_dot(x, x, (2, 2)), K.dropout(last, 0.5)]
    model = cornu.Model(x, found)
    assert [o.shape for o in model(np.ones((2, 5, 3)))] == [(2, 3), (2, 5, 5), (2, 3)]


def test_variables():
    v = K.variable(A)
    K.set_value(v, B)
    K.update_add(v, np.ones((2, 3)))
    K.moving_average_update(v, np.zeros((2, 3)), 0.5)
    np.testing.assert_allclose(K.get_value(v), (B + 1) / 2, rtol=1e-6)
    K.batch_set_value([(v, A)])
    assert np.array_equal(K.batch_get_value([v])[0], A)
    assert isinstance(K.zeros((2,)), cornu.Variable)


def test_a_function_is_told_the_learning_phase():
    x = cornu.Input((3,))
    run = K.function([x, K.learning_phase()], [cornu.layers.Dropout(0.5)(x)])
    ones = np.ones((64, 3), "float32")
    assert np.array_equal(run([ones, 0])[0], ones) and (run([ones, 1])[0] == 0).any()


def test_a_seed_gives_other_numbers_at_each_draw_and_each_step():
    assert not np.array_equal(*[K.random_normal((4,), seed=7) for _ in range(2)])
    layer = cornu.layers.Lambda(lambda x: x + K.random_uniform(K.shape(x), seed=7))
    model = cornu.Sequential([cornu.Input((3,)), layer])
    assert not np.array_equal(*[model.predict(np.zeros((2, 3)), verbose=0) for _ in range(2)])


@pytest.mark.parametrize("call, words", [
    (lambda: K.gradients(A, []), "value_and_grad"),
    (lambda: K.function([], [], updates=[1]), "K.update"),
    (lambda: K.set_learning_phase(1), "training=True"),
    (lambda: K.batch_dot(A, B, axes=0), "batch"),
    (lambda: K.pool2d(IMAGES, (2, 2), pool_mode="sum"), "'max' or 'avg'"),
    (lambda: K.repeat(IMAGES, 2), "batch, size"),
    (lambda: K.bias_add(IMAGES, np.ones((3, 3))), "dimension"),
])
def test_what_cannot_be_is_said(call, words):
    with pytest.raises((ValueError, RuntimeError), match=words):
        call()


@pytest.mark.parametrize("make, words", [
    (lambda: cornu.layers.Conv2D(3, 3, border_mode="same"), "padding"),
    (lambda: cornu.layers.LSTM(3, inner_activation="relu"), "recurrent_activation"),
    (lambda: cornu.layers.Dense(init="zero", units=3), "kernel_initializer"),
    (lambda: cornu.Model(input=1, output=2), "inputs"),
    (lambda: cornu.callbacks.ModelCheckpoint("m.keras", period=2), "period= is save_freq= today"),
    (lambda: cornu.Sequential().fit(A, A, nb_epoch=1), "nb_epoch= is epochs= today"),
])
def test_arguments_of_older_kerases_are_named(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_methods_of_a_sequential_of_keras_2():
    dense = cornu.layers.Dense(3, kernel_initializer="identity")
    model = cornu.Sequential([cornu.Input((3,)), dense])
    assert model.predict_classes(A, verbose=0).tolist() == A.argmax(-1).tolist()
    np.testing.assert_allclose(model.predict_proba(A, verbose=0), A, rtol=1e-6)


def test_layers_and_losses_of_older_kerases():
    layers = cornu.layers
    assert layers.ThresholdedReLU(1.5)([1.0, 1.5, 2.0]).tolist() == [0, 0, 2]
    assert layers.RandomHeight((0.5, 0.5))(IMAGES).shape == (2, 9, 6, 3)
    assert layers.RandomWidth(0.2)(cornu.Input((6, 6, 3))).shape == (None, 6, None, 3)
    assert cornu.losses.MSE is cornu.metrics.mse is cornu.losses.mean_squared_error
    loss = cornu.losses.MeanSquaredError(reduction=cornu.losses.Reduction.AUTO)
    assert loss([[1.0]], [[3.0]]) == 4


def test_an_image_of_another_size_in_a_compiled_step_is_refused():
    model = cornu.Sequential([cornu.Input((6, 6, 3)), cornu.layers.RandomHeight(0.2)])
    with pytest.raises(ValueError, match="RandomZoom"):
        jax.jit(lambda x: model(x, training=True))(IMAGES)
