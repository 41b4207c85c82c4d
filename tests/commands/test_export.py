import numpy as np
import pytest

from dfm_flax.cli import main


@pytest.mark.slow
def test_an_exported_generator_samples_what_the_run_samples(runs, tmp_path, capsys):
    folder, file = runs("dfm"), tmp_path / "digits.npz"
    assert main(["export", f"--workdir={folder}", f"--out={file}"]) == 0
    assert capsys.readouterr().out == f"{file}: {file.stat().st_size:,} bytes\n"
    arguments = ["--num=5", "--prior=normal", "--seed=2", "--size=12x9"]
    for i, source in enumerate((f"--workdir={folder}", f"--pretrained={file}")):
        assert main(["sample", source, f"--out={tmp_path / str(i)}.npz", *arguments]) == 0
    a, b = (np.load(tmp_path / f"{i}.npz")["images"] for i in range(2))
    assert a.shape == (5, 9, 12, 1)
    np.testing.assert_array_equal(a, b)


def test_one_source_is_named(capsys, tmp_path):
    out = f"--out={tmp_path / 'x.png'}"
    for arguments in ([], [f"--workdir={tmp_path}", "--pretrained=mnist"]):
        with pytest.raises(SystemExit) as stopped:
            main(["sample", out, *arguments])
        assert stopped.value.code == 2
    assert main(["sample", out, "--pretrained=nonsense"]) == 2
    assert "--pretrained nonsense: no such file" in capsys.readouterr().err
