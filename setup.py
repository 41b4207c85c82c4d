"""Compiles the kernels of series and of grids, names the packages; pyproject.toml has the rest.

The kernels are optional: where there is no C++ compiler, the package works without them, slower.
The configs of the top-level folder are dfm_flax/configs/ in an installed package.
"""

import os
import platform
from glob import glob

import jaxlib
from setuptools import Extension, find_packages, setup

# AVX2 and FMA: every x86 processor since 2013 to 2015. Where there is AVX-512 in full width, the
# kernels take two thirds of the time with it: a second library of each, see native_library.py.
x86 = platform.machine().lower() in ("x86_64", "amd64")
variants = {"": ["-march=x86-64-v3"] if x86 else []}
if x86:
    variants["_avx512"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]


def kernels(name: str, sources: list[str], depends: list[str]) -> list[Extension]:
    """The libraries of kernels that XLA calls, one for each kind of processor."""
    return [
        Extension(
            name + variant,
            sources=sources,
            depends=depends,
            include_dirs=[os.path.join(os.path.dirname(jaxlib.__file__), "include")],
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-w",  # the warnings are all of XLA's headers
                *flags,
            ],
            language="c++",
            optional=True,
        )
        for variant, flags in variants.items()
    ]


setup(
    packages=[
        *find_packages(include=["dfm_flax", "dfm_flax.*"]),
        "dfm_flax.configs",
        "dfm_flax.configs.sweeps",
    ],
    package_dir={"dfm_flax.configs": "configs", "dfm_flax.configs.sweeps": "configs/sweeps"},
    ext_modules=[
        *kernels(
            "dfm_flax.fourier._kernels",
            ["dfm_flax/fourier/kernels/series.cc"],
            glob("dfm_flax/fourier/kernels/*.h"),
        ),
        *kernels(
            "dfm_flax.codec.pyramid._kernels",
            [f"dfm_flax/codec/kernels/{name}.cc" for name in ("filter", "synthesis", "rate")],
            glob("dfm_flax/*/kernels/*.h"),
        ),
        Extension(
            "dfm_flax.codec._grids",
            sources=["dfm_flax/codec/kernels/grids.cc"],
            depends=glob("dfm_flax/*/kernels/*.h"),
            extra_compile_args=["-std=c++17", "-O3"],
            language="c++",
            optional=True,
        ),
    ],
)
