"""What holds of every command that writes: a new one without a case here fails."""

import argparse
import json
import os
import signal
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import _parser, main
from dfm_flax.codec import machine_encoder
from dfm_flax.codec.container import write
from dfm_flax.codec.rounding import Rounding
from dfm_flax.config import load_config
from dfm_flax.data.images import Image
from dfm_flax.training.loop import Interrupted


def parsers(parser=None, name=""):
    """All commands and their actions, such as "data show"."""
    parser = parser or _parser()
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        return {name: parser}
    return {
        found: one
        for action in inner
        for key, child in action.choices.items()
        for found, one in parsers(child, f"{name} {key}".strip()).items()
    }


def with_option(option):
    return sorted(name for name, parser in parsers().items() if option in options_of(parser))


def options_of(parser):
    return {text for action in parser._actions for text in action.option_strings}


# The rest of a command line, what it writes as (OUT, file), and how many results there are.
CASES = {
    "bench": ([], ("out", "out/speed.json")),
    "compress": (["a.png", "--steps=5", "--bpp=2"], ("a.dfm", "a.dfm")),
    "data show": (["digits"], ("digits.png", "digits.png")),
    "decompress": (["in.dfm"], ("in.png", "in.png")),
    "export": (["--workdir=none"], ("g.npz", "g.npz")),
    "interpolate": (["--workdir=none", "--from=0", "--to=1"], ("way.png", "way.png")),
    "reconstruct": (["--workdir=run"], ("out", "out/a_seed0_8x8.png")),
    "report": (["a.png", "--dfm=coded"], ("r.html", "r.html")),
    "sample": (["--workdir=none", "--num=4"], ("s", "s/00002.png")),
    "view": (["in.dfm"], ("v.html", "v.html")),
}
WRITERS = with_option("--out")


@pytest.fixture
def place(tmp_path, monkeypatch, quantized):
    """The current folder, with what the cases need."""
    from dfm_flax.compression.jobs import start_run
    from dfm_flax.runs import Run

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    PIL.Image.fromarray(pixels).save("a.png")
    write("in.dfm", quantized("best"))
    Path("coded").mkdir()
    run = Run("run")
    start_run(run, load_config("compress"), [Image(np.float32(pixels / 255), 255, "a")])
    return tmp_path


def files():
    """All that is in the current folder, by name."""
    found = (path for path in Path().rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in sorted(found)}


def refused(capsys, name, out, *arguments):
    before = files()
    assert main([*name.split(), *CASES[name][0], "-o", out, *arguments]) == 2
    output = capsys.readouterr()
    (line,) = [line for line in output.err.splitlines() if line.startswith("dfm: ")]
    assert output.out == ""  # no work was begun
    assert files() == before
    return line


def test_every_command_that_writes_has_a_case():
    assert sorted(CASES) == WRITERS


@pytest.mark.parametrize("name", WRITERS)
def test_options_are_alike(name):
    assert {"-o", "--out", "--overwrite"} <= options_of(parsers()[name])


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_a_user_is_not_replaced(place, capsys, name):
    _, (out, file) = CASES[name]
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("mine")
    assert refused(capsys, name, out) == (
        f"dfm: {file} exists; use another --out, or --overwrite to replace it"
    )


@pytest.mark.parametrize("name", WRITERS)
def test_nor_is_one_that_a_link_leads_to(place, capsys, name):
    _, (out, file) = CASES[name]
    Path(file).parent.mkdir(exist_ok=True)
    Path("mine.txt").write_text("mine")
    Path(file).symlink_to(place / "mine.txt")
    assert f"{file} exists" in refused(capsys, name, out)


@pytest.mark.parametrize("name", WRITERS)
def test_a_place_that_cannot_be_written_is_told_first(place, capsys, name):
    Path("file").write_text("")
    suffix = Path(CASES[name][1][0]).suffix
    assert "cannot write file/" in refused(capsys, name, f"file/x/out{suffix}")
    assert "cannot write /proc/" in refused(capsys, name, f"/proc/none/out{suffix}")
    assert "File name too long" in refused(capsys, name, f"{'n' * 300}/out{suffix}")


@pytest.mark.parametrize("name", WRITERS)
def test_a_place_elsewhere_or_nowhere_is_wrong_usage(place, capsys, name):
    arguments = [*name.split(), *CASES[name][0]]
    for out, message in (
        ("-", "nothing is written to the standard output"),
        ("", "an empty path"),
        ("gs://bucket/out.png", "only local folders and files"),
    ):
        before = files()
        with pytest.raises(SystemExit) as stop:
            main([*arguments, f"--out={out}"])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
        assert files() == before
        assert not list(Path().glob("gs*"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_tilde_is_the_home_folder(place, capsys, monkeypatch, name):
    _, (out, file) = CASES[name]
    monkeypatch.setenv("HOME", str(place / "home"))
    (place / "home" / file).parent.mkdir(parents=True)
    (place / "home" / file).write_text("mine")
    assert f"{place}/home/{file} exists" in refused(capsys, name, f"~/{out}")


@pytest.mark.parametrize("name", WRITERS)
def test_a_suffix_that_nothing_is_written_in_makes_no_folder(place, capsys, name):
    line = refused(capsys, name, "out.jpgg")
    assert "name without suffix, or with / at its end, for a folder" in line


def test_an_input_is_not_replaced_even_when_asked(place, capsys):
    Path("a.html").write_bytes(Path("a.png").read_bytes())
    before = files()
    assert main(["report", "a.html", "--dfm=coded", "-o", "a.html", "--overwrite"]) == 2
    assert "a.html: it is read as well" in capsys.readouterr().err
    assert files() == before


@pytest.mark.parametrize("name", sorted(parsers()))
def test_no_command_takes_a_path_as_it_is_typed(name):
    """`Path` alone leaves a tilde; `arguments.path` expands it and knows addresses."""
    for action in parsers()[name]._actions:
        assert action.type is not Path, action.option_strings


@pytest.mark.parametrize("name", with_option("--workdir"))
def test_run_folders_are_local_and_a_tilde_is_the_home_folder(name, monkeypatch):
    parser = parsers()[name]
    (action,) = [action for action in parser._actions if "--workdir" in action.option_strings]
    monkeypatch.setenv("HOME", "/home/somebody")
    assert action.type("~/runs/a") == Path("/home/somebody/runs/a")
    with pytest.raises(argparse.ArgumentTypeError, match="only local folders"):
        action.type("gs://bucket/runs")


def test_a_tilde_where_the_shell_leaves_it(place, capsys, monkeypatch):
    """After --config= and the like."""
    monkeypatch.setenv("HOME", str(place))
    Path("c.py").write_text(
        "from dfm_flax import load_config\ndef get_config(): return load_config('compress')\n"
    )
    assert main(["train", "--config=~/c.py", "--show"]) == 0
    assert "config.task" in capsys.readouterr().out
    assert main(["data", "list", "--data-dir=~/sets"]) == 0
    assert "no sets here" in capsys.readouterr().out
    assert main(["data", "import", "mnist", "~/originals"]) == 2
    assert f"{place}/originals" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("train", "images.npz"),
        ("train", "results.json"),
        ("train", "figures/a.png"),
        ("sweep", "table.csv"),
    ],
)
def test_no_run_starts_where_it_would_replace_files_of_a_user(place, capsys, tiny, command, file):
    Path("photos", file).parent.mkdir(parents=True)
    Path("photos", file).write_text("mine")
    before = files()
    config = tiny if command == "train" else ["--config=sweeps/figure_5_1"]
    assert main([command, *config, "--workdir=photos"]) == 2
    assert "would replace; use another --workdir" in capsys.readouterr().err
    assert files() == before


# decompress: what a folder, one file and several are made to


def decompress(*arguments):
    return main(["decompress", *map(str, arguments)])


def test_a_folder_that_is_compressed_and_decompressed_in_place(place, untrained, capsys):
    """The original photos are still there."""
    Path("photos").mkdir()
    Path("a.png").rename("photos/x.png")
    assert main(["compress", "photos", "-o", "photos", "--bpp=90", "--method=machine"]) == 0
    before = files()
    assert decompress("photos", "-o", "photos") == 2
    assert "photos/x.png exists" in capsys.readouterr().err
    assert files() == before


def test_results_of_files_of_one_name_do_not_share_one(place, capsys, quantized):
    write("r1/x.dfm", quantized("best"))
    write("r2/x.dfm", quantized("two layers, gray"))
    assert decompress("r1/x.dfm", "r2/x.dfm", "-o", "out") == 0
    assert capsys.readouterr().out.splitlines() == ["out/x.png", "out/x_2.png"]
    assert PIL.Image.open("out/x.png").mode == "RGB"
    assert PIL.Image.open("out/x_2.png").mode == "L"


def test_one_file_and_several_are_alike(place, capsys, quantized):
    write("b.dfm", quantized("thesis"))
    Path("there.d").mkdir()
    for out in ("there.d", "new", "0.3", "new.d/"):
        assert decompress("in.dfm", "-o", out) == 0
        assert decompress("in.dfm", "b.dfm", "-o", out, "--overwrite") == 0
        assert sorted(path.name for path in Path(out).iterdir()) == ["b.png", "in.png"]
    assert decompress("in.dfm", "b.dfm", "-o", "two.png") == 2
    assert "the name of one file, and there are 2 results" in capsys.readouterr().err
    assert not Path("two.png").exists()
    assert decompress("in.dfm", "-o", "one.PNG") == 0
    assert PIL.Image.open("one.PNG").size == (30, 20)


def test_with_overwrite_a_result_is_replaced(place):
    Path("x.png").write_text("old")
    assert decompress("in.dfm", "-o", "x.png", "--overwrite") == 0
    assert PIL.Image.open("x.png").size == (30, 20)


def test_suffixes_of_files_in_folders_are_of_any_case(place, capsys):
    Path("coded/A.DFM").write_bytes(Path("in.dfm").read_bytes())
    Path("coded/notes.txt").write_text("")
    os.mkfifo("coded/pipe.dfm")
    Path("coded/album.dfm").mkdir()
    assert decompress("coded", "-o", "out") == 0
    assert capsys.readouterr().out.splitlines() == ["out/A.png"]
    assert main(["inspect", "coded"]) == 0
    assert "coded/A.DFM" in capsys.readouterr().out


# compress


class Untrained(Rounding):
    """In the place of a trained machine's roundings."""

    def __init__(self, coded):
        self.coded = coded

    def within(self, num_bytes):
        return self.coded


@pytest.fixture
def untrained(monkeypatch, quantized):
    """Machines are not trained; returns the names of the images of each batch."""
    batches = []

    def train(jobs, *rest):
        batches.append([job.image.name for job in jobs])
        if "bad" in batches[-1]:
            from dfm_flax.errors import DfmError

            raise DfmError(f"training diverged at step 3: {batches[-1]}")
        sizes = [
            dict(zip(("height", "width"), job.image.pixels.shape, strict=False)) for job in jobs
        ]
        return [Untrained(quantized("best", **size)) for size in sizes]

    monkeypatch.setattr("dfm_flax.codec.machine_encoder.train_together", train)
    return batches


def save(path, *shape):
    Path(path).parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, np.uint8)).save(path)


def test_what_is_wrong_with_some_images_costs_no_other(place, untrained, capsys, caplog):
    save("ph/a.png", 48, 64, 3)
    save("ph/bad.PNG", 48, 64, 3)
    save("ph/icon.png", 4, 4, 3)
    save("ph/z.png", 48, 64, 3)
    Path("ph/cut.png").write_bytes(Path("ph/a.png").read_bytes()[:2000])
    Path("ph/link.png").symlink_to("nowhere.png")
    Path("ph/album.png").mkdir()
    os.mkfifo("ph/pipe.png")
    Path("ph/.hidden.png").write_text("")
    Path("ph/@eaDir").mkdir()
    assert main(["compress", "ph", "-o", "out", "--bpp=1.5"]) == 1
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if line.startswith("dfm: ")]
    assert len(lines) == 4
    for part, line in zip(
        (
            "ph/cut.png: ",
            "image icon: there is no file of 3 bytes",
            "ph/link.png: No such",
            "diverged",
        ),
        lines,
        strict=True,
    ):
        assert part in line
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.dfm", "z.dfm"]
    assert [line.split()[0] for line in output.out.splitlines()[1:]] == ["out/a.dfm", "out/z.dfm"]
    assert "ph: 2 left out, no images: album.png, pipe.png" in caplog.text
    # Those that failed together are tried alone, and only after all were read.
    assert untrained == [["a", "bad", "z"], ["a"], ["bad"], ["z"]]


def test_of_a_single_image_the_error_is_that_of_any_command(place, untrained, capsys):
    save("icon.png", 4, 4, 3)
    assert main(["compress", "icon.png", "-o", "i.dfm"]) == 2
    assert "ask for at least" in capsys.readouterr().err


def test_a_named_pipe_is_refused(place, untrained, capsys):
    os.mkfifo("pipe.png")
    assert main(["compress", "pipe.png", "-o", "i.dfm"]) == 2
    assert "pipe.png: a named pipe" in capsys.readouterr().err


def test_an_interrupted_command_goes_on_over_its_own_files_only(place, untrained, capsys):
    save("ph/a.png", 48, 64, 3)
    save("ph/b.png", 48, 64, 3)
    command = ["compress", "ph", "-o", "out", "--bpp=1.5", "--workdir=w"]
    assert main(command) == 0
    Path("out/b.dfm").unlink()  # as if it had been stopped before
    assert main(command) == 0
    assert sorted(json.loads(Path("w/written.json").read_text())) == [
        str(place / "out" / name) for name in ("a.dfm", "b.dfm")
    ]
    Path("out/a.dfm").write_text("mine")
    assert main(command) == 2
    assert "out/a.dfm exists" in capsys.readouterr().err
    assert Path("out/a.dfm").read_text() == "mine"


@pytest.mark.parametrize(
    ("interrupted", "said", "there"),
    [("a", "nothing kept", []), ("b", "1 file(s) are written", ["a.dfm"])],
)
def test_what_was_written_before_ctrl_c_is_said(
    place, untrained, monkeypatch, capsys, interrupted, said, there
):
    """Images of other channels are another batch, which is trained after the first."""
    save("ph/a.png", 48, 64, 3)
    save("ph/b.png", 48, 64)
    untrained_machines = machine_encoder.train_together

    def train(jobs, *rest):
        if jobs[0].image.name == interrupted:
            raise Interrupted(signal.SIGINT, 3)
        return untrained_machines(jobs, *rest)

    monkeypatch.setattr(machine_encoder, "train_together", train)
    assert main(["compress", "ph", "-o", "out/", "--bpp=1.5"]) == 130
    assert f"dfm: stopped, and {said}" in capsys.readouterr().err
    assert [path.name for path in Path("out").glob("*")] == there


def test_many_large_images_are_not_kept(place, untrained, monkeypatch, capsys):
    """Each is read before the first is trained, and again when it is its turn."""
    import dfm_flax.codec.encoder as encoder

    read, monkey = [], encoder.read_image
    monkeypatch.setattr(encoder, "read_image", lambda file: (read.append(file), monkey(file))[1])
    monkeypatch.setattr(encoder, "_KEPT_BYTES", 2 * 4 * 48 * 64 * 3)
    names = [f"ph/{name}.png" for name in "abcd"]
    for name in names:
        save(name, 48, 64, 3)
    assert main(["compress", *names, "-o", "out", "--bpp=1.5"]) == 0
    assert read == [*names, "ph/c.png", "ph/d.png"]
    assert untrained == [["a", "b"], ["c", "d"]]


def test_a_rate_that_cannot_be_had_is_told_before_training_of_each_image(place, untrained, capsys):
    names = [f"ph/{name}.png" for name in "abc"]
    for name in names:
        save(name, 48, 64, 3)
    assert main(["compress", *names, "-o", "out", "--bpp=0.001"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dfm: ")]
    assert len(lines) == 3
    assert all("ask for at least" in line for line in lines)
    assert untrained == []
    assert not Path("out").exists()


def test_an_unwritable_workdir_is_told_before_an_image_is_read(place, untrained, capsys):
    Path("file").write_text("")
    assert main(["compress", "none.png", "-o", "a.dfm", "--workdir=file/w"]) == 2
    assert "cannot write file/w" in capsys.readouterr().err


# inspect


def test_inspect_goes_on_after_a_damaged_file(place, capsys):
    Path("coded/a.dfm").write_bytes(Path("in.dfm").read_bytes())
    Path("coded/b.dfm").write_bytes(b"text")
    assert main(["inspect", "coded"]) == 1
    output = capsys.readouterr()
    assert output.err.splitlines() == ["dfm: cannot read coded/b.dfm: it is no .dfm file"]
    assert [line.split()[0] for line in output.out.splitlines()] == ["file", "coded/a.dfm"]


# report


@pytest.mark.slow
def test_a_report_leaves_out_what_has_no_file(place, quantized, capsys):
    save("ph/a.png", 20, 30, 3)
    save("ph/b.png", 20, 30, 3)
    Path("ph/cut.png").write_bytes(Path("ph/a.png").read_bytes()[:300])
    Path("coded/a.dfm").write_bytes(Path("in.dfm").read_bytes())
    assert main(["report", "ph", "--dfm=coded", "-o", "r.html"]) == 1
    output = capsys.readouterr()
    first, second = [line for line in output.err.splitlines() if line.startswith("dfm: ")]
    assert first == "dfm: no b.dfm in coded"
    assert "cannot read image ph/cut.png" in second
    assert output.out.splitlines()[-1] == "r.html"
