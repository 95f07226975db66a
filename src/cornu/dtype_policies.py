"""The public names of dtype policies."""

from cornu.dtypes import (AWQDTypePolicy, DTypePolicy, DTypePolicyMap, FloatDTypePolicy, GPTQDTypePolicy, Int4DTypePolicy,
                          QuantizedDTypePolicy, QuantizedFloat8DTypePolicy, deserialize, get, serialize)

__all__ = ["AWQDTypePolicy", "DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy",
           "QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "deserialize", "get", "serialize"]
