"""Doors for programs that others wrote: what `import keras` and `import tensorflow` mean to them.

`finder` is asked by Python's import system, and imports nothing but the standard library, since it
also stands at the start of processes that never ask for keras. `answers` says which module object a
name means: `keras_module` is `keras` itself, `old_paths` has the module paths of older Kerases,
`private_names` those under `keras.src`, `tensorflow` the real TensorFlow with our keras in it, or
its stand-in. `environment` writes and removes the start-up file of `cornu enable`.
"""
