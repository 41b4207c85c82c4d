"""Compiled kernels: the library that was built for the widest instructions of this processor."""

import ctypes
import importlib.util

# Suffixes of the names of libraries, the widest instructions first; setup.py has what they are.
_VARIANTS = ("_avx512", "")

NOT_COMPILED = "they were not compiled: install a C++ compiler, then this package again"
NOT_SUPPORTED = "this processor has no AVX2"


def load(module: str) -> tuple[ctypes.CDLL | None, str]:
    """The library of a module of compiled code, and why there is none.

    A library exports `Supported()`, which says whether this processor has its instructions.
    """
    why_not = NOT_COMPILED
    for variant in _VARIANTS:
        spec = importlib.util.find_spec(module + variant)
        if spec is None or spec.origin is None:
            continue
        library = ctypes.CDLL(spec.origin)
        if library.Supported():
            return library, ""
        why_not = NOT_SUPPORTED
    return None, why_not
