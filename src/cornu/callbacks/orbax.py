"""OrbaxCheckpoint: the state of training in Orbax's format, written beside the training."""

import os

import jax.numpy as jnp

from cornu import check
from cornu.callbacks.checkpoint import SavingCallback


class OrbaxCheckpoint(SavingCallback):
    """Save weights and optimizer with Orbax, a checkpoint for each epoch (or batch), numbered from 0.

    A checkpoint is a dict of dicts, `{"model": {path: array}, "optimizer": {path: array}}`, that
    `orbax.checkpoint.CheckpointManager(directory).restore(step)` reads. For a run that goes on by itself, exact to the
    bit, use `BackupAndRestore`.

    Args:
        directory: the folder.
        monitor, mode, initial_value_threshold: what counts as better, and what has to be beaten at first.
        verbose: 1 says what is saved.
        save_best_only: save only what is better than everything before.
        save_freq: "epoch", or a number of batches.
        max_to_keep: how many checkpoints are kept, the last ones; None for all.
        save_on_background: write beside the training.
        save_weights_only: leave the optimizer out.

    Raises ImportError where Orbax is not installed.
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
        self.save_on_background, self._saved, self._orbax = save_on_background, 0, orbax.checkpoint
        self.manager = orbax.checkpoint.CheckpointManager(self.directory, options=orbax.checkpoint.CheckpointManagerOptions(
            max_to_keep=max_to_keep, enable_async_checkpointing=save_on_background))

    def _save(self, epoch, batch, logs, value):
        step = epoch if batch is None else self._saved
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: saving checkpoint {step} to {self.directory}")
        state = {"model": _by_path(self.model.variables)}
        if not self.save_weights_only and self.model.optimizer is not None:
            state["optimizer"] = _by_path(self.model.optimizer.variables)
        self.manager.save(step, args=self._orbax.args.StandardSave(state), force=True)
        self._saved += 1

    def on_train_end(self, logs=None):
        self.wait_until_finished()

    def wait_until_finished(self) -> None:
        """Wait until everything is written."""
        self.manager.wait_until_finished()

    def get_state(self):
        return {**super().get_state(), "_saved": self._saved}


def _by_path(variables) -> dict:
    """The values by path, copied, since a training step takes the arrays it changes."""
    return {v.path: jnp.array(v.value, copy=True) for v in variables}
