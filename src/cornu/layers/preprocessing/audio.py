"""Layers that turn sound into pictures of its frequencies."""

import math

import jax.numpy as jnp
import numpy as np

from cornu import check, config
from cornu.input_spec import InputSpec
from cornu.layers.parts import called
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.preprocessing.host import numbers_of
from cornu.ops import math as ops
from cornu.variable import room_for

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(DataLayer):
    """The short-time Fourier transform of a signal, or what is derived from it.

    Args:
        mode: "stft" for real and imaginary parts, one after the other, "real" or "imag" for one of them, "magnitude",
            "log" for its logarithm, "psd" for the power of both signs of a frequency, "angle" for the phase.
        frame_length: the windows' length.
        frame_step: the distance of their starts; half of the length if None.
        fft_length: the transform's length, at least frame_length, which it is if None.
        window: the name of a window of `scipy.signal.get_window`, or None for none.
        periodic: whether the window is a period, instead of symmetric.
        scaling: "density" divides by the root of the window's power, "spectrum" by its sum, None by nothing.
        padding: "valid" for none, "same" for zeros, so that there are samples / frame_step windows.
        expand_dims: whether frequencies and channels have axes of their own.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Input shape: (batch, samples, channels) or, channels_first, (batch, channels, samples). Output shape: (batch,
    windows, channels x frequencies), or (batch, windows, frequencies, channels) with `expand_dims`; channels_first
    (batch, channels x frequencies, windows), or (batch, channels, windows, frequencies). The transform's two matrices
    are weights, and trainable.

    >>> STFTSpectrogram(frame_length=64)(np.ones((2, 640, 1), "float32")).shape
    (2, 19, 33)
    """

    def __init__(self, mode="log", frame_length=256, frame_step=None, fft_length=None, window="hann", periodic=False,
                 scaling="density", padding="valid", expand_dims=False, data_format=None, **kwargs):
        super().__init__(**kwargs)
        name = "STFTSpectrogram"
        self.mode = check.one_of("mode", mode, _MODES, name)
        self.frame_length = check.positive("frame_length", frame_length, name)
        for argument, value in (("frame_step", frame_step), ("fft_length", fft_length)):
            setattr(self, argument, value if value is None else check.positive(argument, value, name))
        if (frame_step or 1) > frame_length or (fft_length or frame_length) < frame_length:
            raise ValueError(f"{name}: `frame_step` must be at most frame_length={frame_length}, `fft_length` at "
                             f"least. Received: frame_step={frame_step}, fft_length={fft_length}")
        self.window, self.periodic = window, periodic
        self.scaling = check.one_of("scaling", scaling, ("density", "spectrum", None), name)
        self.padding = check.one_of("padding", str(padding).lower(), ("valid", "same"), name)
        self.expand_dims, self.data_format = expand_dims, config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=3)
        self._window()

    def _window(self):
        """The window's values, scaled."""
        room_for(self.name, self.frame_length)
        values = np.ones(self.frame_length)
        if self.window is not None:
            from scipy.signal import get_window  # comes with JAX; slow to import

            try:
                values = get_window(self.window, self.frame_length, fftbins=self.periodic)
            except (ValueError, TypeError) as error:
                raise ValueError(f"STFTSpectrogram: argument `window` is no window that SciPy knows. "
                                 f"Received: {self.window!r} ({error})") from None
        scale = {"density": math.sqrt(np.sum(values**2)), "spectrum": abs(np.sum(values)), None: 1.0}[self.scaling]
        return values / scale

    def build(self, input_shape):
        length = self.fft_length or self.frame_length
        room_for(self.name, self.frame_length, length)
        turns = 2 * np.pi * np.outer(np.arange(self.frame_length), np.arange(length // 2 + 1) % length) / length
        for part, function, wanted in (("real_kernel", np.cos, self.mode != "imag"),
                                       ("imag_kernel", lambda x: -np.sin(x), self.mode != "real")):
            if wanted:
                kernel = (self._window()[:, None] * function(turns))[:, None]
                setattr(self, part, self.add_weight(kernel.shape, lambda shape, dtype, k=kernel: jnp.asarray(k, dtype),
                                                    name=part))

    def call(self, inputs):
        signal = jnp.moveaxis(inputs, 1, -1) if self.data_format == "channels_last" else inputs  # channels, samples
        step, samples = self.frame_step or self.frame_length // 2, signal.shape[-1]
        if self.padding == "same":
            more = max(0, (-(-samples // step) - 1) * step + self.frame_length - samples)
            signal = jnp.pad(signal, ((0, 0), (0, 0), (more // 2, more - more // 2)))
        elif samples < self.frame_length:
            raise ValueError(f"{called(self)}: a signal of {samples} samples is shorter than frame_length="
                             f"{self.frame_length}. Pass a longer one, a smaller frame_length, or padding='same'.")
        frames = ops.extract_sequences(signal, self.frame_length, step)
        real, imag = (frames @ getattr(self, kernel)[:, 0] if hasattr(self, kernel) else None
                      for kernel in ("real_kernel", "imag_kernel"))
        return self._laid_out(self._derived(real, imag))  # from (batch, channels, windows, frequencies)

    def _derived(self, real, imag):
        if self.mode in ("real", "imag"):
            return real if imag is None else imag
        if self.mode == "stft":
            return jnp.concatenate([real, imag], -1)
        if self.mode == "angle":
            return jnp.arctan2(imag, real)
        power = jnp.square(real) + jnp.square(imag)
        if self.mode == "psd":
            last = real.shape[-1] - ((self.fft_length or self.frame_length) % 2 == 0)  # the highest has one sign
            return power.at[..., 1:last].multiply(2)
        return 0.5 * jnp.log(jnp.maximum(power, config.epsilon())) if self.mode == "log" else jnp.sqrt(power)

    def _laid_out(self, x):
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return jnp.moveaxis(x, 1, -1) if last else x
        batch, channels, windows, frequencies = x.shape
        x = jnp.moveaxis(x, 2, 1).reshape(batch, windows, channels * frequencies)
        return x if last else jnp.swapaxes(x, 1, 2)


class MelSpectrogram(DataLayer):
    """The powers of a signal in bands as wide as hearing tells them apart (the mel scale), over time.

    Args:
        fft_length: the transform's length.
        sequence_stride: the distance of the windows' starts.
        sequence_length: the windows' length; fft_length if None.
        window: "hann" or "hamming".
        sampling_rate: samples per second.
        num_mel_bins: how many bands.
        min_freq, max_freq: the lowest and the highest frequency; half of the sampling rate if None.
        power_to_db: whether powers become decibels, relative to `ref_power`.
        top_db: how far below the highest one the lowest may be; None for any.
        mag_exp: the magnitudes' exponent: 1 for magnitudes, 2 for powers.
        min_power: lower powers count as this.
        ref_power: the power that is 0 decibels.

    Input shape: (batch, samples) or (samples,). Output shape: (batch, num_mel_bins, windows), or without the batch.

    >>> MelSpectrogram(fft_length=256, sequence_stride=64, num_mel_bins=20)(np.ones((2, 640), "float32")).shape
    (2, 20, 11)
    """

    def __init__(self, fft_length=2048, sequence_stride=512, sequence_length=None, window="hann", sampling_rate=16000,
                 num_mel_bins=128, min_freq=20.0, max_freq=None, power_to_db=True, top_db=80.0, mag_exp=2.0,
                 min_power=1e-10, ref_power=1.0, **kwargs):
        super().__init__(**kwargs)
        name = "MelSpectrogram"
        for argument, value in (("fft_length", fft_length), ("sequence_stride", sequence_stride),
                                ("sequence_length", sequence_length or fft_length), ("num_mel_bins", num_mel_bins),
                                ("sampling_rate", sampling_rate)):
            setattr(self, argument, check.positive(argument, value, name))
        if self.sequence_length > fft_length:
            raise ValueError(f"{name}: `sequence_length` must be at most fft_length={fft_length}. "
                             f"Received: {sequence_length}")
        self.window = check.one_of("window", window, ("hann", "hamming", None), name)
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        if not 0 <= min_freq < self.max_freq <= sampling_rate / 2:
            raise ValueError(f"{name}: frequencies must be 0 <= min_freq < max_freq <= sampling_rate / 2. "
                             f"Received: min_freq={min_freq}, max_freq={max_freq}, sampling_rate={sampling_rate}")
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        self.built = True

    def call(self, inputs):
        inputs = numbers_of(inputs, self)
        if inputs.ndim == 0 or inputs.shape[-1] == 0:
            raise ValueError(f"{called(self)} takes signals (batch, samples). Received shape: {inputs.shape}")
        wide = inputs.astype(jnp.promote_types(inputs.dtype, "float32"))
        real, imag = ops.stft(wide, self.sequence_length, self.sequence_stride, self.fft_length, self.window)
        magnitudes = jnp.sqrt(jnp.square(real) + jnp.square(imag))
        powers = magnitudes**self.mag_exp @ self.linear_to_mel_weight_matrix(
            self.num_mel_bins, magnitudes.shape[-1], self.sampling_rate, self.min_freq, self.max_freq)
        powers = self._decibels(powers) if self.power_to_db else powers
        return jnp.swapaxes(powers, -1, -2).astype(self.compute_dtype)

    def _decibels(self, powers):
        found = 10 * (jnp.log10(jnp.maximum(powers, self.min_power)) - math.log10(max(self.min_power, self.ref_power)))
        return found if self.top_db is None else jnp.maximum(
            found, jnp.max(found, initial=-jnp.inf) - self.top_db)

    @staticmethod
    def linear_to_mel_weight_matrix(num_mel_bins=20, num_spectrogram_bins=129, sampling_rate=8000,
                                    lower_edge_hertz=125.0, upper_edge_hertz=3800.0, dtype="float32"):
        """Triangles over frequencies, evenly spaced on the mel scale 1127 ln(1 + f / 700): (frequencies, bands)."""
        def mel(frequencies):
            return 1127 * np.log1p(np.asarray(frequencies) / 700)

        room_for("A mel spectrogram", num_spectrogram_bins, num_mel_bins + 2)
        frequencies = mel(np.linspace(0, sampling_rate / 2, num_spectrogram_bins))[:, None]
        edges = np.linspace(mel(lower_edge_hertz), mel(upper_edge_hertz), num_mel_bins + 2)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        rise, fall = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
        weights = np.maximum(0, np.minimum(rise, fall))
        weights[0] = 0  # the constant part belongs to no band
        return jnp.asarray(weights, dtype)
