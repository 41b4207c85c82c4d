import subprocess
import sys

import pytest

import dfm_flax as dfm


def test_every_name_is_found_and_told_in_the_docstring():
    assert {"FourierMachine", "read_image", "train"} <= set(dfm.__all__) <= set(dir(dfm))
    for name in dfm.__all__:
        assert getattr(dfm, name).__name__.rpartition(".")[2] == name
        assert name in dfm.__doc__
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = dfm.Nonsense


def test_the_import_is_light_and_each_name_brings_only_its_own():
    code = (
        "import sys, dfm_flax as dfm; heavy = 'numpy', 'jax', 'tensorflow', 'matplotlib'\n"
        "print([m for m in heavy if m in sys.modules]); dfm.read_image\n"
        "print([m for m in heavy if m in sys.modules]); dfm.FourierMachine, dfm.render\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines() == ["[]", "['numpy']", "['numpy', 'jax']"]
