"""Compiles the kernels of series and of grids, names the packages; pyproject.toml has the rest.

The kernels are optional: where there is no C++ compiler, the package works without them, slower.
The configs of the top-level folder are dfm_flax/configs/ in an installed package.
"""

import os
import platform
from glob import glob

import jaxlib
from setuptools import Extension, find_packages, setup

# AVX2 and FMA: every x86 processor since 2013 to 2015. On one with AVX-512 that computes in
# halves (Zen 4) the wider registers gave 5% more.
flags = ["-march=x86-64-v3"] if platform.machine().lower() in ("x86_64", "amd64") else []

setup(
    packages=[
        *find_packages(include=["dfm_flax", "dfm_flax.*"]),
        "dfm_flax.configs",
        "dfm_flax.configs.sweeps",
    ],
    package_dir={"dfm_flax.configs": "configs", "dfm_flax.configs.sweeps": "configs/sweeps"},
    ext_modules=[
        Extension(
            "dfm_flax.fourier._kernels",
            sources=["dfm_flax/fourier/kernels/series.cc"],
            depends=glob("dfm_flax/fourier/kernels/*.h"),
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
        ),
        Extension(
            "dfm_flax.codec._grids",
            sources=["dfm_flax/codec/kernels/grids.cc"],
            depends=glob("dfm_flax/codec/kernels/*.h"),
            extra_compile_args=["-std=c++17", "-O3"],
            language="c++",
            optional=True,
        ),
    ],
)
