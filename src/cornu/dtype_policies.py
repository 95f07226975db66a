"""The public names of dtype policies."""

from cornu.dtypes import (DTypePolicy, DTypePolicyMap, FloatDTypePolicy, QuantizedDTypePolicy, QuantizedFloat8DTypePolicy,
                          deserialize, get, serialize)

__all__ = ["DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy",
           "deserialize", "get", "serialize"]
