"""Short programs of public calls of each client, run where there is no checkout of its tests."""

PROGRAMS = {
    "scikeras": {
        "classifier": """
import keras, numpy as np
from scikeras.wrappers import KerasClassifier
from sklearn.model_selection import cross_val_score

def build(width):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width, "relu"),
                             keras.layers.Dense(1, "sigmoid")])

x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
y = (x[:, 0] > 0).astype(int)
model = KerasClassifier(build, width=8, loss="binary_crossentropy", optimizer="adam",
                        optimizer__learning_rate=0.05, epochs=10, verbose=0)
assert cross_val_score(model, x, y, cv=2).mean() > 0.8
""",
        "regressor": """
import keras, numpy as np, pickle
from scikeras.wrappers import KerasRegressor

x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
build = lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
model = KerasRegressor(build, loss="mse", optimizer="sgd", optimizer__learning_rate=0.1,
                       epochs=40, verbose=0).fit(x, 2 * x[:, 0] + 1)
assert model.score(x, 2 * x[:, 0] + 1) > 0.9
assert model.history_["loss"][0] > model.history_["loss"][-1]
""",
    },
    "keras-tuner": {
        "random search": """
import keras, keras_tuner, numpy as np

def build(hp):
    model = keras.Sequential([keras.layers.Dense(hp.Int("width", 2, 8)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")), "mse")
    return model

x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
y = x.sum(1)
tuner = keras_tuner.RandomSearch(build, objective="val_loss", max_trials=3, directory=".")
tuner.search(x, y, epochs=2, validation_data=(x, y), verbose=0)
assert 2 <= tuner.get_best_hyperparameters()[0]["width"] <= 8
assert tuner.get_best_models()[0].predict(x, verbose=0).shape == (64, 1)
""",
    },
    "keras-hub": {
        "transformer blocks": """
import keras, keras_hub, numpy as np

x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
encoder = keras_hub.layers.TransformerEncoder(16, 2)
decoder = keras_hub.layers.TransformerDecoder(16, 2)
assert decoder(x, encoder(x)).shape == (2, 5, 8)
tokens = keras.Input((5,), dtype="int32")
states = keras_hub.layers.TokenAndPositionEmbedding(10, 5, 8)(tokens)
model = keras.Model(tokens, keras_hub.layers.TransformerEncoder(16, 2)(states))
model.save("model.keras")
same = keras.saving.load_model("model.keras")
ids = np.ones((2, 5), "int32")
assert np.allclose(same.predict(ids, verbose=0), model.predict(ids, verbose=0), atol=1e-5)
""",
    },
}
