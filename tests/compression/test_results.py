import pytest

from dfm_flax.compression.results import summarize


def entry(image, seed, psnr, **changes):
    fixed = {"weights": 111, "percent": 2.5, "mse": 0.01, "ssim": 0.5, "ms_ssim": None, "steps": 60}
    named = {"name": f"{image}_seed{seed}", "image": image, "seed": seed, "psnr": psnr}
    return named | fixed | changes


def test_one_machine_is_a_row_as_it_is():
    (row,) = summarize([entry("a", 0, 20.0)])
    assert row == {
        "image": "a",
        "weights": 111,
        "percent": 2.5,
        "mse": 0.01,
        "psnr": 20.0,
        "ssim": 0.5,
        "ms_ssim": None,
        "steps": 60,
    }


def test_seeds_are_averaged_image_by_image_and_images_at_the_end():
    psnrs = {("a", 0): 20.0, ("a", 5): 22.0, ("b", 0): 30.0, ("b", 5): 30.0}
    a, b, mean = summarize([entry(*job, psnr) for job, psnr in psnrs.items()])
    assert list(a) == [
        *("image", "seeds", "weights", "percent", "mse", "psnr", "+-", "ssim", "ms_ssim", "steps")
    ]
    assert (a["image"], a["seeds"], a["psnr"], a["+-"]) == ("a", 2, 21.0, pytest.approx(2**0.5))
    assert (b["image"], b["seeds"], b["psnr"], b["+-"]) == ("b", 2, 30.0, 0.0)
    assert (mean["image"], mean["psnr"], mean["+-"]) == ("mean of 2", 25.5, None)
    assert mean["weights"] == 111  # a whole number stays one


def test_images_of_one_seed_have_no_deviation():
    rows = summarize([entry("a", 0, 20.0), entry("b", 0, 24.0, percent=4.5)])
    assert [row["psnr"] for row in rows] == [20.0, 24.0, 22.0]
    assert rows[-1]["percent"] == 3.5
    assert not any("+-" in row or "seeds" in row for row in rows)


def test_what_one_seed_does_not_have_its_mean_does_not_have():
    (row,) = summarize([entry("a", 0, None), entry("a", 1, 50.0)])
    assert (row["psnr"], row["+-"]) == (None, None)
