"""TensorBoard: logs, weights and the graph as event files, and profiles by JAX."""

import pathlib
import time

import numpy as np

from cornu import check
from cornu.callbacks.callback import Callback
from cornu.callbacks.events import EventWriter


class TensorBoard(Callback):
    """Write what TensorBoard shows; neither TensorFlow nor TensorBoard need be installed to write it.

    Training goes to `log_dir/train`, validation to `log_dir/validation`, with Keras's tags: `epoch_loss`,
    `batch_loss`, `evaluation_loss_vs_iterations`.

    Args:
        log_dir: the folder.
        histogram_freq: 0, or after how many epochs histograms of the weights are written.
        write_graph: write the model's config, which TensorBoard draws as a graph.
        write_images: with the histograms, write the weights as images.
        write_steps_per_second: log the epochs' speed.
        update_freq: "epoch", "batch", or after how many batches the logs are written too.
        profile_batch: 0, or the batch (from 1), or the first and last batch, to profile.
        embeddings_freq: 0, or after how many epochs the Embedding layers' weights are written for the projector.
        embeddings_metadata: a file of labels, or a dict of them by layer name.

    Raises ValueError for a frequency that is none, and for metadata of layers that do not exist.

    >>> TensorBoard("logs", update_freq="batch").update_freq
    1
    """

    def __init__(self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False, write_steps_per_second=False,
                 update_freq="epoch", profile_batch=0, embeddings_freq=0, embeddings_metadata=None):
        super().__init__()
        self.log_dir, self.write_graph, self.write_images = str(log_dir), write_graph, write_images
        self.histogram_freq = check.positive("histogram_freq", histogram_freq, "TensorBoard", zero=True)
        self.embeddings_freq = check.positive("embeddings_freq", embeddings_freq, "TensorBoard", zero=True)
        self.write_steps_per_second, self.embeddings_metadata = write_steps_per_second, embeddings_metadata
        self.update_freq = 1 if update_freq == "batch" else update_freq
        if self.update_freq != "epoch":
            check.positive("update_freq", self.update_freq, "TensorBoard")
        self.profile_batch = self._span(profile_batch)
        self._writers, self._profiling, self._batches = {}, False, 0

    @staticmethod
    def _span(value) -> tuple:
        first, last = (value, value) if isinstance(value, int) else tuple(map(int, value.split(","))) \
            if isinstance(value, str) else value
        if first < 0 or last < first:
            raise ValueError(f"TensorBoard: profile_batch is 0, a batch, or the first and last batch. Received: {value!r}")
        return first, last

    def listens_to(self, event):
        for_batches = self.update_freq != "epoch" or self.profile_batch[1] > 0
        needed = for_batches or not event.startswith("on_train_batch")
        return super().listens_to(event) and (needed or self._overrides(TensorBoard, event))

    def _writer(self, run: str) -> EventWriter:
        if run not in self._writers:
            self._writers[run] = EventWriter(pathlib.Path(self.log_dir, run))
        return self._writers[run]

    def _iterations(self) -> int:
        optimizer = getattr(self.model, "optimizer", None)
        return int(np.asarray(optimizer.iterations)) if optimizer is not None else 0

    @property
    def summary(self) -> "Summary":
        """Writes values of one's own beside those of training, in the way of `tf.summary`."""
        return Summary(lambda: self._writer("train"), self._iterations)

    # events ----------------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        self._training, self._batches = True, 0
        if self.write_graph and hasattr(self.model, "to_json"):
            try:
                self._writer("train").text("keras", self.model.to_json(), 0, plugin="graph_keras_model")
            except (NotImplementedError, ValueError, TypeError):
                pass  # a subclassed model without get_config has no graph to show
        self._embeddings_config()

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter(), self._iterations()

    def on_epoch_resume(self, epoch, logs=None):
        self.on_epoch_begin(epoch)

    def get_state(self):
        return {"_batches": self._batches}

    def on_train_batch_begin(self, batch, logs=None):
        if self._batches + 1 == self.profile_batch[0]:
            import jax

            jax.profiler.start_trace(self.log_dir)
            self._profiling = True

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        if self._profiling and self._batches >= self.profile_batch[1]:
            self._stop_profile(logs)
        if self.update_freq != "epoch" and self._batches % self.update_freq == 0:
            self._scalars("train", {f"batch_{k}": v for k, v in (logs or {}).items()}, self._iterations())

    def on_test_end(self, logs=None):
        if getattr(self, "_training", False):
            self._scalars("validation", {f"evaluation_{k}_vs_iterations": v for k, v in (logs or {}).items()},
                          self._iterations())

    def on_epoch_end(self, epoch, logs=None):
        logs = dict((logs or {}).items())
        train = {f"epoch_{k}": v for k, v in logs.items() if not k.startswith("val_")}
        if getattr(self.model, "optimizer", None) is not None:
            train["epoch_learning_rate"] = np.asarray(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            start, before = self._started
            train["epoch_steps_per_second"] = (self._iterations() - before) / (time.perf_counter() - start)
        self._scalars("train", train, epoch)
        self._scalars("validation", {f"epoch_{k[4:]}": v for k, v in logs.items() if k.startswith("val_")}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._embeddings()
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        if self._profiling:
            self._stop_profile(logs)
        for writer in self._writers.values():
            writer.close()
        self._writers, self._training = {}, False

    def on_abort(self, error):
        self.on_train_end()

    # what is written -------------------------------------------------------------------------------------------------

    def _scalars(self, run, values, step):
        for name, value in values.items():
            if np.ndim(value) == 0:
                self._writer(run).scalar(name, value, step)

    def _stop_profile(self, logs):
        import jax

        dict((logs or {}).items())  # the profiled steps are to be finished
        jax.profiler.stop_trace()
        self._profiling = False

    def _weights(self, epoch):
        for layer in self.model.layers:
            for weight in layer.weights:
                name = f"{weight.path}/histogram"
                self._writer("train").histogram(name, weight.value, epoch)
                if self.write_images and (image := _as_image(np.asarray(weight.value, "float32"))) is not None:
                    self._writer("train").image(f"{weight.path}/image", image, epoch)

    def _embedding_layers(self) -> list:
        return [layer for layer in self.model.layers if type(layer).__name__ == "Embedding"]

    def _embeddings_config(self):
        if not self.embeddings_freq:
            return
        known, told = [layer.name for layer in self._embedding_layers()], self.embeddings_metadata
        labels = dict(told) if isinstance(told, dict) else dict.fromkeys(known, told)
        if unknown := [n for n in labels if n not in known]:
            raise ValueError(f"TensorBoard: embeddings_metadata names {unknown}, but the Embedding layers are {known}.")
        folder = pathlib.Path(self.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        parts = [f'embeddings {{\n  tensor_name: "{n}"\n  tensor_path: "{n}.tsv"\n'
                 + (f'  metadata_path: "{labels[n]}"\n' if labels.get(n) else "") + "}\n" for n in known]
        (folder / "projector_config.pbtxt").write_text("".join(parts))

    def _embeddings(self):
        for layer in self._embedding_layers():
            np.savetxt(pathlib.Path(self.log_dir, f"{layer.name}.tsv"), np.asarray(layer.weights[0].value, "float32"),
                       delimiter="\t", fmt="%.7g")


class Summary:
    """Scalars, histograms, images and texts for TensorBoard, as `tf.summary` takes them.

    Args:
        writer: gives the EventWriter.
        step: gives the step where none is passed.
    """

    def __init__(self, writer, step):
        self._writer, self._step = writer, step

    def _write(self, kind: str, name: str, data, step):
        writer = self._writer()
        getattr(writer, kind)(name, data, self._step() if step is None else int(step))
        writer.flush()

    def scalar(self, name: str, data, step: int | None = None) -> None:
        """A number."""
        data = np.asarray(data)
        if data.size != 1:
            raise ValueError(f"TensorBoard: scalar {name!r} is one number. Received an array of shape {data.shape}.")
        self._write("scalar", name, data.item(), step)

    def histogram(self, name: str, data, step: int | None = None) -> None:
        """How the values of an array are spread."""
        self._write("histogram", name, data, step)

    def image(self, name: str, data, step: int | None = None, max_outputs: int = 3) -> None:
        """The first `max_outputs` of images of floats in [0, 1] or bytes, of shape (count, height, width, channels)."""
        data = np.asarray(data)
        if data.ndim != 4 or data.shape[-1] not in (1, 3, 4):
            raise ValueError(f"TensorBoard: images {name!r} have the shape (count, height, width, channels of 1, 3 or 4). "
                             f"Received: {data.shape}")
        data = data / 255 if data.dtype == np.uint8 else data
        for number, image in enumerate(data[:max_outputs]):
            self._write("image", name if len(data) == 1 else f"{name}/image/{number}", image, step)

    def text(self, name: str, data, step: int | None = None) -> None:
        """A text, which may be Markdown."""
        self._write("text", name, str(data), step)


def _as_image(weight):
    """A weight of one to three dimensions as an image with values from 0 to 1; None for others."""
    low, high = weight.min(initial=np.inf), weight.max(initial=-np.inf)
    if not 1 <= weight.ndim <= 3 or not np.isfinite([low, high]).all():
        return None
    image = (weight - low) / (high - low or 1)
    image = image.reshape((1, -1, 1) if weight.ndim == 1 else (*weight.shape, 1)[:3])
    return image if image.shape[-1] in (1, 3, 4) else image.reshape(image.shape[0], -1, 1)
