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
    "keras-rs": {
        "ranking": """
import keras, keras_rs, numpy as np

r = np.random.default_rng(0)
users, items = (keras.Input((4,), dtype="int32", name=name) for name in ("users", "items"))
towers = [keras_rs.layers.EmbedReduce(20, 8, combiner=how)(ids)
          for how, ids in (("mean", users), ("sqrtn", items))]
crossed = keras_rs.layers.FeatureCross()(keras.ops.concatenate(towers, -1))
dots = keras_rs.layers.DotInteraction(self_interaction=True)(towers)
score = keras.layers.Dense(5)(keras.layers.Concatenate()([crossed, dots]))
model = keras.Model([users, items], score)
model.compile("adam", keras_rs.losses.PairwiseLogisticLoss(),
              metrics=[keras_rs.metrics.NDCG(k=3), keras_rs.metrics.MeanReciprocalRank(),
                       keras_rs.metrics.PrecisionAtK(k=2)])
x = {"users": r.integers(0, 20, (64, 4)), "items": r.integers(0, 20, (64, 4))}
y = r.integers(0, 3, (64, 5)).astype("float32")
losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
assert losses[-1] < losses[0]
model.save("model.keras")
assert np.allclose(keras.saving.load_model("model.keras").predict(x, verbose=0),
                   model.predict(x, verbose=0), atol=1e-5)
""",
        "retrieval": """
import keras, keras_rs, numpy as np

class Retrieval(keras.Model):
    def __init__(self):
        super().__init__()
        self.users, self.items = keras.layers.Embedding(10, 4), keras.layers.Embedding(30, 4)
        self.best = keras_rs.layers.BruteForceRetrieval(k=3, return_scores=True)
        self.hard = keras_rs.layers.HardNegativeMining(num_hard_negatives=4)
        self.same = keras_rs.layers.RemoveAccidentalHits()
        self.rarity = keras_rs.layers.SamplingProbabilityCorrection()
        self.loss_fn = keras.losses.CategoricalCrossentropy(from_logits=True)
        for table in (self.users, self.items):
            table.build((None,))
        self.best.update_candidates(self.items.embeddings)

    def call(self, inputs, training=False):
        found = self.users(inputs)
        if training:
            return found
        scores, ids = self.best(found)
        return {"found": found, "scores": scores, "ids": ids}

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        found = y_pred if training else y_pred["found"]
        logits = keras.ops.matmul(found, keras.ops.transpose(self.items(y)))
        labels = keras.ops.eye(keras.ops.shape(logits)[0])
        logits = self.rarity(logits, keras.ops.full((keras.ops.shape(y)[0],), 1 / 30))
        logits = self.same(logits, labels, candidate_ids=y)
        logits, labels = self.hard(logits, labels)
        return self.loss_fn(labels, logits, sample_weight)

model = Retrieval()
model.compile("adam")
r = np.random.default_rng(0)
losses = model.fit(r.integers(0, 10, 256), r.integers(0, 30, 256), verbose=0, epochs=3).history
assert np.isfinite(losses["loss"]).all() and losses["loss"][-1] < losses["loss"][0]
model.best.update_candidates(model.items.embeddings)
ids = model.predict(np.arange(10), verbose=0)["ids"]
users, items = (np.asarray(table.embeddings) for table in (model.users, model.items))
assert (ids == np.argsort(-users @ items.T)[:, :3]).all()
""",
    },
    "bayesflow": {
        "posterior": """
import bayesflow, keras, numpy as np

def prior():
    return {"mean": np.random.normal(size=2)}

def observed(mean):
    return {"seen": mean + 0.1 * np.random.normal(size=(5, 2))}

simulator = bayesflow.make_simulator([prior, observed])
workflow = bayesflow.BasicWorkflow(
    simulator=simulator, inference_variables=["mean"], summary_variables=["seen"],
    inference_network=bayesflow.networks.CouplingFlow(
        depth=2, subnet_kwargs={"widths": (16, 16)}),
    summary_network=bayesflow.networks.DeepSet(summary_dim=4, depth=1))
held = simulator.sample(32)
history = workflow.fit_online(epochs=3, num_batches_per_epoch=20, batch_size=32, verbose=0,
                              validation_data=simulator.sample(32))
assert history.history["loss"][-1] < history.history["loss"][0]
assert len(history.history["val_loss"]) == 3
drawn = workflow.sample(num_samples=20, conditions=held)["mean"]
assert drawn.shape == (32, 20, 2) and np.isfinite(drawn).all()
assert np.isfinite(workflow.log_prob(held)).all()
workflow.approximator.save("approximator.keras")
same = keras.saving.load_model("approximator.keras")
a, b = (np.asarray(of.log_prob(held)) for of in (workflow.approximator, same))
assert np.allclose(a, b, atol=1e-4), abs(a - b).max()
""",
        "flow matching": """
import bayesflow, numpy as np

r = np.random.default_rng(0)
mean = r.normal(size=(256, 2)).astype("float32")
data = {"mean": mean, "seen": mean + 0.1 * r.normal(size=(256, 2)).astype("float32")}
workflow = bayesflow.BasicWorkflow(
    inference_variables=["mean"], inference_conditions=["seen"],
    inference_network=bayesflow.networks.FlowMatching(subnet_kwargs={"widths": (16, 16)}))
history = workflow.fit_offline(data, epochs=3, batch_size=32, validation_data=data, verbose=0)
assert np.isfinite(history.history["val_loss"]).all()
drawn = workflow.sample(num_samples=4, conditions={"seen": data["seen"][:8]})["mean"]
assert drawn.shape == (8, 4, 2)
""",
    },
    "keras-tcn": {
        "sequences": """
import keras, numpy as np
from tcn import TCN

keras.utils.set_random_seed(0)
r = np.random.default_rng(0)
x = r.normal(size=(64, 12, 1)).astype("float32")
y = x[:, -3:].sum((1, 2))
model = keras.Sequential([
    keras.Input((12, 1)),
    TCN(8, kernel_size=2, dilations=(1, 2, 4), use_skip_connections=True, use_layer_norm=True,
        dropout_rate=0.1, return_sequences=True),
    TCN(8, kernel_size=2, dilations=(1, 2), use_batch_norm=True), keras.layers.Dense(1)])
model.compile("adam", "mse")
losses = model.fit(x, y, epochs=4, verbose=0).history["loss"]
assert losses[-1] < losses[0]
model.save("model.keras")
same = keras.saving.load_model("model.keras", custom_objects={"TCN": TCN})
assert np.allclose(same.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
""",
        "regression": """
import numpy as np
from tcn import compiled_tcn

r = np.random.default_rng(0)
x, y = r.normal(size=(32, 10, 2)).astype("float32"), r.normal(size=(32, 1))
model = compiled_tcn(2, 0, 8, 2, [1, 2], 1, max_len=10, regression=True, return_sequences=False)
assert len(model.fit(x, y, epochs=2, verbose=0).history["loss"]) == 2
""",
    },
    "optuna": {
        "pruning": """
import keras, numpy as np, optuna
from optuna_integration import KerasPruningCallback

x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
y = x.sum(1)

def objective(trial):
    model = keras.Sequential([
        keras.layers.Dense(trial.suggest_int("width", 2, 8), activation="relu"),
        keras.layers.Dense(1)])
    rate = trial.suggest_float("rate", 1e-9, 1e-1, log=True)
    model.compile(keras.optimizers.Adam(rate), "mse")
    history = model.fit(x, y, epochs=4, validation_data=(x, y), verbose=0,
                        callbacks=[KerasPruningCallback(trial, "val_loss")])
    return history.history["val_loss"][-1]

study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0),
                            pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
study.optimize(objective, n_trials=8)
states = [trial.state.name for trial in study.trials]
assert set(states) == {"COMPLETE", "PRUNED"}, states
assert len(study.trials[0].intermediate_values) == 4
""",
    },
    "wandb": {
        "callbacks": """
import keras, numpy as np, pathlib, wandb
from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint

x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
y = x.sum(1)
run = wandb.init(project="tried", dir=".")
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
for optimizer in (keras.optimizers.Adam(0.1), "sgd"):
    model.compile(optimizer, "mse", metrics=["mae"])
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0, callbacks=[
        WandbMetricsLogger(log_freq="epoch"), WandbMetricsLogger(log_freq=1),
        WandbModelCheckpoint("{epoch:02d}.keras", save_best_only=True),
        WandbModelCheckpoint("b-{epoch}-{batch}.weights.h5", save_freq=2, save_weights_only=True,
                             monitor="loss")])
    logged = dict(run.summary)
    named = {"epoch/loss", "epoch/val_mae", "epoch/learning_rate", "batch/loss"}
    assert named <= set(logged), logged
    assert isinstance(logged["epoch/learning_rate"], float)
assert pathlib.Path("01.keras").exists() and pathlib.Path("b-2-2.weights.h5").exists()
run.finish()
""",
    },
    "mlflow": {
        "callback and autolog": """
import keras, mlflow, numpy as np

mlflow.set_tracking_uri("sqlite:///runs.db")
x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
y = x.sum(1)

def fit(**options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(x, y, epochs=3, batch_size=16, validation_split=0.25, verbose=0, **options)
    return model

def of(run):
    client = mlflow.MlflowClient()
    return client.get_run(run.info.run_id).data, [
        file.path for file in client.list_artifacts(run.info.run_id)]

with mlflow.start_run() as run:
    model = fit(callbacks=[mlflow.keras.MlflowCallback()])
data, files = of(run)
assert float(data.params["optimizer_learning_rate"]) == np.float32(0.01)
assert {"loss", "mae", "validation_loss"} <= set(data.metrics), data.metrics
assert "model_summary.txt" in files
mlflow.keras.autolog()
with mlflow.start_run() as run:
    model = fit()
data, files = of(run)
assert data.params["epochs"] == "3" and data.params["batch_size"] == "16", data.params
assert {"loss", "mae"} <= set(data.metrics), data.metrics
""",
        "saved model": """
import keras, mlflow, numpy as np

mlflow.set_tracking_uri("sqlite:///runs.db")
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
signature = mlflow.models.infer_signature(x, model.predict(x, verbose=0))
with mlflow.start_run():
    info = mlflow.keras.log_model(model, name="model", signature=signature)
same = mlflow.keras.load_model(info.model_uri)
assert np.allclose(same.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
plain = mlflow.pyfunc.load_model(info.model_uri)
assert np.allclose(plain.predict(x), model.predict(x, verbose=0), atol=1e-6)
""",
    },
}
