import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dfm_flax.cli import main
from dfm_flax.codec.comparison import _paired
from dfm_flax.codec.container import write
from dfm_flax.data.images import write_image
from dfm_flax.models.rendering import render


@pytest.mark.slow
def test_a_report(tmp_path, quantized, capsys):
    """Two images that machines draw well, at one rate."""
    for seed, name in enumerate("ab"):
        image = quantized("best", seed, height=64, width=96)
        write(tmp_path / "coded" / f"{name}.dfm", image)
        picture = render(image.machine, image.params, 64, 96)
        write_image(tmp_path / "photos" / f"{name}.png", picture)
    arguments = ["report", str(tmp_path / "photos"), "--dfm", str(tmp_path / "coded")]
    assert main([*arguments, "-o", str(tmp_path / "r.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["image", "a", "b", "mean"]
    assert lines[2].split()[1:] == ["-"] * 4  # one rate is no curve
    page = (tmp_path / "r.html").read_text()
    HTMLParser().feed(page)
    assert page.count("<img") == 2 * 6
    assert not re.findall(r"(?:src|href)='(?!data:)", page)
    assert "inf dB" in page
    assert "MS-SSIM nan" not in page  # of images too small for MS-SSIM


def test_an_image_without_a_file(tmp_path, capsys):
    assert main(["report", "sample:coffee", "--dfm", str(tmp_path)]) == 2
    assert "no coffee.dfm in" in capsys.readouterr().err


def test_pairs_are_by_full_name_and_doubt_is_an_error(tmp_path, quantized, capsys):
    """A file of an image's name would do for two that differ by their suffix alone."""
    image = quantized("best", 0, height=64, width=96)
    picture = render(image.machine, image.params, 64, 96)
    photos, coded = tmp_path / "photos", tmp_path / "coded"
    write_image(photos / "a.png", picture)
    write_image(photos / "a.bmp", 1 - picture)
    write(coded / "a.dfm", image)
    assert main(["report", str(photos), "--dfm", str(coded), "-o", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr().err
    assert f"{coded / 'a.dfm'} may be of {photos / 'a.bmp'} or of {photos / 'a.png'}; " in said
    assert not (tmp_path / "r.html").exists()
    (coded / "a.dfm").rename(coded / "a.png.dfm")
    write(coded / "a.bmp.dfm", quantized("best", 1, height=64, width=96))
    files = [str(photos / "a.png"), str(photos / "a.bmp")]
    assert {Path(k).name: [p.name for p in v] for k, v in _paired(files, [coded]).items()} == {
        "a.png": ["a.png.dfm"],
        "a.bmp": ["a.bmp.dfm"],
    }


def test_files_of_networks_that_cannot_be_read(tmp_path, quantized, capsys):
    image = quantized("best", 0, height=64, width=96)
    write(tmp_path / "coded" / "a.dfm", image)
    write_image(tmp_path / "a.png", render(image.machine, image.params, 64, 96))
    networks = tmp_path / "coin.json"
    for text in ("", "[{}]", '[{"image": "a", "bpp": null, "psnr": 1, "ms_ssim": 1}]', "3"):
        networks.write_text(text)
        arguments = [str(tmp_path / "a.png"), "--dfm", str(tmp_path / "coded")]
        assert main(["report", *arguments, "--coin", str(networks)]) == 2
        assert f"cannot read {networks}" in capsys.readouterr().err
