import re

from dfm_flax.cli import main
from dfm_flax.codec.container import write


def test_what_is_in_a_file(tmp_path, capsys, quantized):
    size = write(tmp_path / "a.dfm", quantized("best"))
    write(tmp_path / "b.dfm", quantized("two layers, gray", levels=65535))
    assert main(["inspect", str(tmp_path), "--layers"]) == 0
    # Columns are two spaces apart; a structure has single ones.
    out = capsys.readouterr().out
    lines = [re.split("  +", line) for line in out.splitlines() if line]
    a = dict(zip(lines[0], lines[1], strict=True))
    assert a["file"] == str(tmp_path / "a.dfm")
    assert (a["size"], a["bits"], a["method"]) == ("30x20x3", "8", "machine")
    assert a["structure"] == "4 layers of 6, frequencies 8,1,1"
    # 33 + 13 + 13 rows of 6, 13 rows of 3
    assert (a["weights"], a["bytes"]) == ("393", str(size))
    assert float(a["bpp"]) == float(f"{8 * size / 600:.4g}")
    assert float(a["percent"]) == float(f"{100 * size / 1800:.4g}")
    b = dict(zip(lines[0], lines[2], strict=True))
    assert (b["size"], b["bits"]) == ("30x20x1", "16")
    assert b["structure"] == "2 layers of 5, frequencies 2,3,3"
    groups = lines[5 : 5 + 15]
    assert [row[0] for row in groups[:3]] == [f"layer 1, frequency {i}" for i in range(3)]
    assert sum(int(row[1]) for row in groups) == 393


def test_what_is_in_a_file_of_grids(tmp_path, capsys, pyramid_image):
    image = pyramid_image(first=1, count=3)
    size = write(tmp_path / "a.dfm", image)
    assert main(["inspect", str(tmp_path / "a.dfm"), "--layers"]) == 0
    out = capsys.readouterr().out
    lines = [re.split("  +", line) for line in out.splitlines() if line]
    a = dict(zip(lines[0], lines[1], strict=True))
    assert (a["size"], a["bits"], a["method"]) == ("18x11x3", "8", "grids")
    assert a["structure"] == "3 grids, cells of 2 to 8 pixels"
    assert (a["weights"], a["bytes"]) == (str(image.num_weights), str(size))
    parts = [dict(zip(lines[3], row, strict=True)) for row in lines[4:]]
    assert [part["part"] for part in parts[:3]] == [f"grid of {2**i} pixels" for i in (1, 2, 3)]
    assert [int(part["numbers"]) for part in parts[:3]] == [54, 15, 6]
    assert [int(part["largest"]) for part in parts[:3]] == [abs(grid).max() for grid in image.grids]
    assert [part["part"] for part in parts[3:5]] == ["scales, 3 row(s)", "first, 1 row(s)"]
    assert len(parts) == 3 + 15
    assert sum(int(part["numbers"]) for part in parts[3:]) == image.num_weights
    bits = sum(float(part["bits"]) for part in parts)
    assert bits - 8 <= 8 * (size - 40) <= bits + 200  # header; words have 32 bits


def test_a_file_that_is_none(tmp_path, capsys):
    (tmp_path / "a.dfm").write_bytes(b"text")
    assert main(["inspect", str(tmp_path / "a.dfm")]) == 2
    assert "it is no .dfm file" in capsys.readouterr().err
