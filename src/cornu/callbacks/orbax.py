"""OrbaxCheckpoint: the state of training in Orbax's format, written beside the training."""

import os

import jax
import jax.numpy as jnp

from cornu import check, registry
from cornu.callbacks.checkpoint import SavingCallback


class OrbaxCheckpoint(SavingCallback):
    """Save model, weights and optimizer with Orbax: a checkpoint for each epoch, or for every so many batches.

    `models.load_model(directory)` gives the model of the last checkpoint, and `model.load_weights(directory)` reads its
    weights; so does Keras, whose checkpoints are read too. The numbers are those of the epochs, or the optimizer's count
    of steps where `save_freq` is a number; what has the number of a new checkpoint is replaced. For a run that goes on by
    itself, exact to the bit, use `BackupAndRestore`.

    Args:
        directory: the folder.
        monitor, mode, initial_value_threshold: what counts as better, and what has to be beaten at first.
        verbose: 1 says what is saved.
        save_best_only: save only what is better than everything before.
        save_freq: "epoch", or a number of batches.
        max_to_keep: how many checkpoints are kept, the last ones; None for all.
        save_on_background: write beside the training.
        save_weights_only: leave the model's config and the optimizer out.

    Attributes:
        checkpointer: Orbax's `CheckpointManager`.

    Raises ImportError where Orbax is not installed, and before the first step what says that the model has no config.
    """

    def __init__(self, directory, monitor="val_loss", verbose=0, save_best_only=False, mode="auto", save_freq="epoch",
                 initial_value_threshold=None, max_to_keep: int | None = 1, save_on_background=True, save_weights_only=False):
        super().__init__(monitor, mode, verbose, save_best_only, save_freq, initial_value_threshold)
        try:
            import orbax.checkpoint
        except ImportError:
            raise check.missing_package("orbax-checkpoint", "orbax", "OrbaxCheckpoint") from None
        self.directory, self.save_weights_only = os.path.abspath(directory), save_weights_only
        self.max_to_keep = None if max_to_keep is None else check.positive("max_to_keep", max_to_keep, "OrbaxCheckpoint")
        self.save_on_background, self._orbax = save_on_background, orbax.checkpoint
        self.checkpointer = orbax.checkpoint.CheckpointManager(self.directory, options=orbax.checkpoint.CheckpointManagerOptions(
            max_to_keep=max_to_keep, enable_async_checkpointing=save_on_background))

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if not self.save_weights_only:
            registry.serialize_object(self.model)  # a model without a config is refused now, not after an epoch

    def _save(self, epoch, batch, logs, value):
        step = epoch if batch is None else int(self.model.optimizer.iterations)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: saving checkpoint {step} to {self.directory}")
        items = self.model._checkpoint_items(self.save_weights_only)
        items["pytree"] = jax.tree.map(lambda value: jnp.array(value, copy=True), items["pytree"])  # steps take what they change
        if step in self.checkpointer.all_steps():
            self.checkpointer.wait_until_finished()
            self.checkpointer.delete(step)
        args = self._orbax.args
        self.checkpointer.save(step, force=True, args=args.Composite(
            **{name: args.PyTreeSave(item) for name, item in items.items()}))

    def on_train_end(self, logs=None):
        self.wait_until_finished()

    def wait_until_finished(self) -> None:
        """Wait until everything is written."""
        self.checkpointer.wait_until_finished()

    def is_multihost_enabled(self) -> bool:
        """Whether the training is spread over several processes."""
        return jax.process_count() > 1

    def is_primary_host(self) -> bool:
        """Whether this process is the first one, which alone writes what all have."""
        return jax.process_index() == 0
