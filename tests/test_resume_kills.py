"""A hundred runs that are killed and resumed, over ten ways to train: each ends with the same bits as one that was not."""

import pytest

from killed_runs import ends_with_the_same_bits

# Trains in one of ten ways until the end, from the state in a folder if there is one, and writes what came out.
SCRIPT = '''
import hashlib, json, sys
import numpy as np, cornu
from cornu import callbacks, layers

way, folder, out, epochs = *sys.argv[1:4], int(sys.argv[4])
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(96, 6)).astype("float32"), rng.integers(0, 3, 96)
cornu.utils.set_random_seed(5)

class Rows(cornu.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return X[16 * index : 16 * index + 16], Y[16 * index : 16 * index + 16]

class Reiterable:
    """Each pass is in an order of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(7)

    def __iter__(self):
        order = self.rng.permutation(96)
        for i in range(0, 96, 16):
            yield X[order[i : i + 16]], Y[order[i : i + 16]]

def loader():
    import torch
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(3))

class OwnStep(cornu.Model):
    def __init__(self):
        super().__init__()
        self.body = cornu.Sequential([cornu.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(3)])
        self.seeds = cornu.random.SeedGenerator(3)

    def call(self, x):
        return self.body(x)

    def train_step(self, data):
        x, y = data
        noisy = x + 0.1 * cornu.random.normal(cornu.ops.shape(x), seed=self.seeds)

        def loss():
            return cornu.ops.mean(cornu.losses.sparse_categorical_crossentropy(y, self(noisy, training=True), from_logits=True))

        value, gradients = cornu.value_and_grad(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": value}

Adam = cornu.optimizers.Adam
optimizer = {"averages": lambda: Adam(0.01, use_ema=True, ema_overwrite_frequency=5),
             "accumulation": lambda: Adam(0.01, gradient_accumulation_steps=4)}.get(way, lambda: Adam(0.01))()
if way == "half precision":
    cornu.config.set_dtype_policy("mixed_float16")
recurrent = [cornu.Input((6,), batch_size=16), layers.Reshape((3, 2)), layers.GRU(8, stateful=True, dropout=0.2)]
body = recurrent if way == "stateful" else [cornu.Input((6,)), layers.Dense(16, activation="relu"), layers.Dropout(0.3)]
model = OwnStep() if way == "own step" else cornu.Sequential([*body, layers.Dense(3, dtype="float32")])
loss = cornu.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer, **({} if way == "own step" else {"loss": loss, "metrics": ["accuracy"]}))
data = {"workers": lambda: Rows(workers=2, max_queue_size=4), "re-iterable": Reiterable, "DataLoader": loader}.get(way)
told = {"x": data()} if data else {"x": X, "y": Y, "batch_size": 16, "shuffle": way != "stateful"}
if way == "class weights":
    told["class_weight"] = {0: 1.0, 1: 3.0, 2: 0.5}
listeners = [callbacks.BackupAndRestore(folder, save_freq=4, delete_checkpoint=False)]
if way == "plateau":
    listeners.append(callbacks.ReduceLROnPlateau("loss", patience=2, factor=0.9, cooldown=1))
print("ready", flush=True)
history = model.fit(epochs=epochs, verbose=0, callbacks=listeners, **told)
state = [np.asarray(v.value).tobytes() for v in [*model.variables, *model.optimizer.variables]]
result = {"weights": hashlib.sha256(b"".join(state)).hexdigest(), "history": history.history, "epoch": history.epoch}
json.dump(result, open(out, "w"))
'''
WAYS = ("workers", "class weights", "averages", "accumulation", "half precision", "plateau", "stateful", "re-iterable", "DataLoader",
        "own step")


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_ten_kills(tmp_path, way):
    if way == "DataLoader":
        pytest.importorskip("torch")
    ends_with_the_same_bits(SCRIPT, tmp_path, way, (150,), kills=10, at_once=5)
