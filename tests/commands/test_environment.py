"""What a user's system, and the names of a user's files, may be like."""

import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from dfm_flax import cli
from dfm_flax.codec import container
from dfm_flax.data.decoding import BYTES_A_PIXEL
from dfm_flax.data.images import write_image

LATIN = b"caf\xe9".decode(errors="surrogateescape")  # a name that is not UTF-8


def run(code, **environment):
    return subprocess.run(  # fresh, as it is about the environment at the start
        [sys.executable, "-c", code],
        capture_output=True,
        env=os.environ | environment,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platforms", "reason"), [("cuda", ""), ("wrong", "not in the list of known backends")]
)
def test_devices_that_are_not_there(platforms, reason):
    code = (
        "import sys, jax\n"
        "from dfm_flax import cli\n"
        "from dfm_flax.commands import configs\n"
        "configs.run = lambda *arguments: len(jax.devices())\n"
        "sys.exit(cli.main(['configs']))"
    )
    process = run(code, JAX_PLATFORMS=platforms)
    if process.returncode > 1:
        pytest.skip("this host has them")
    lines = [line for line in process.stderr.decode().splitlines() if line.startswith("dfm: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"dfm: JAX_PLATFORMS={platforms}: ")
    assert reason in lines[0]
    assert lines[0].endswith("use JAX_PLATFORMS=cpu, or unset it to use what there is")
    assert b"Traceback" not in process.stderr


IGNORED = """
import logging, sys
from dfm_flax import cli
from dfm_flax.commands import configs

class Late:
    def __del__(self):  # an error that Python ignores, and so prints
        raise RuntimeError("Event loop is closed")

def run(*arguments):
    Late()
    try:
        raise RuntimeError("Event loop is closed")
    except RuntimeError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
        logging.getLogger("dfm_flax").exception("told")
    return 0

configs.run = run
sys.argv[1:] = ["configs"]
sys.exit(cli.main())
"""


def test_nothing_is_said_of_what_python_ignores():
    """As of a checkpoint that was replaced while it was read, and is then read once more."""
    assert run(IGNORED, DFM_TRACEBACK="").stderr == b"told\n"
    assert b"Event loop is closed" in run(IGNORED, DFM_TRACEBACK="1").stderr


def test_pictures_are_drawn_whatever_a_notebook_shows_them_by():
    code = (
        "from dfm_flax import cli\n"
        "cli.main(['configs'])\n"
        "from matplotlib.figure import Figure\n"
        "Figure().savefig('/dev/null', format='png')"
    )
    process = run(code, MPLBACKEND="module://no_such_module.backend_inline")
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_of_any_bytes_are_printed_and_the_batch_is_done(tmp_path, quantized, encoding):
    for name in (LATIN, "größer", "zz\x1b[31m", "zzz"):
        container.write(tmp_path / f"{name}.dfm", quantized())
    process = run(
        f"import sys; from dfm_flax import cli; sys.exit(cli.main(['decompress', "
        f"{str(tmp_path)!r}, '-o', {str(tmp_path / 'out')!r}]))",
        PYTHONIOENCODING=encoding,
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.decode().splitlines()
    assert len(lines) == len(os.listdir(tmp_path / "out")) == 4
    assert all(line.isprintable() for line in lines)


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PIL.Image.new("L", (4, 4)).save("~photo.png")
    for name in ("~photo.png", "./~photo.png"):
        config = f"--config.data.images={name}"
        arguments = ["train", "--config=compress", config, "--config.data.crop=9,9"]
        assert cli.main([*arguments, "--workdir=run"]) == 2
        assert "image ~photo is smaller than the crop" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "4294967296", str(2**64)])
@pytest.mark.parametrize("command", [["compress", "a.png"], ["sample", "--workdir=run"]])
def test_seeds_out_of_range_are_refused(capsys, command, seed):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--out=x", f"--seed={seed}"])
    assert stop.value.code == 2
    assert f"seed {seed}: a seed is from 0 to 4294967295" in capsys.readouterr().err


def test_a_large_image_is_allowed_by_an_option_that_says_what_it_takes(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    write_image(tmp_path / "a.png", np.zeros((40, 50, 3)))
    arguments = ["train", "--config=compress", f"--config.data.images={tmp_path / 'a.png'}"]
    arguments += [f"--workdir={tmp_path / 'run'}", "--config.data.crop=99,99"]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert "it has more than 1,000 pixels, namely 2,000; --max-pixels 2000 allows it" in said
    assert f"{2000 * BYTES_A_PIXEL / 1e9:.1f} GB of memory" in said
    assert cli.main([*arguments, "--max-pixels=2e3"]) == 2
    assert "smaller than the crop" in capsys.readouterr().err
