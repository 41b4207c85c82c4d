import numpy as np
import pytest

from dfm_flax.codec.context_model import FRACTION
from dfm_flax.codec.pyramid import learn_start
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS
from dfm_flax.codec.pyramid.learn_start import in_units, learn
from dfm_flax.codec.pyramid.network import Network
from dfm_flax.codec.pyramid.start import start_floats, start_weights
from dfm_flax.codec.pyramid.training import Trained
from dfm_flax.data.images import write_image

NETWORK = Network(3, MAX_GRIDS)


def test_the_start_moves_to_the_medians(photo, tmp_path, monkeypatch):
    started, trade_offs, shapes = [], [], []

    def train(image, network, pyramid, start, gain, trade_off, *_):
        away = (0.25, 0.5, 8.0)[len(started) % 3]  # of one image of three it goes far away
        started.append(start)
        trade_offs.append(trade_off)
        shapes.append(image.pixels.shape[:2])
        assert (pyramid.height, pyramid.width, pyramid.count) == (*shapes[-1], MAX_GRIDS)
        weights = {name: array + np.float32(away) for name, array in start.items()}
        return Trained(weights, (), trade_off)

    monkeypatch.setattr(learn_start, "train", train)
    start = {name: np.zeros(shape, np.float32) for name, shape in NETWORK.shapes.items()}
    images = [photo(300, 500), photo(500, 300), photo(40, 50)]
    learned = learn(images, start, 2, 10, tmp_path)
    assert all((array == 1.0).all() for array in learned.values())
    assert [one["bias"][0] for one in started] == [0, 0, 0, 0.5, 0.5, 0.5]
    assert shapes == [(256, 384), (384, 256), (40, 50)] * 2
    for image in range(3):  # is trained at other lambdas
        assert trade_offs[image] != trade_offs[image + 3]


@pytest.mark.slow
def test_the_command_writes_what_the_package_reads(photo, tmp_path, monkeypatch, capsys):
    write_image(tmp_path / "a.png", photo(24, 32).pixels)
    write_image(tmp_path / "grey.png", photo(24, 32, channels=1).pixels)
    out = tmp_path / "start.npz"
    arguments = (
        f"learn_start {tmp_path} -o {out} --workdir {tmp_path / 'run'} --rounds 1 --steps 20"
    )
    monkeypatch.setattr("sys.argv", arguments.split())
    learn_start.main()
    assert "round 1: the start moved by" in capsys.readouterr().err
    before = start_weights(NETWORK)
    with np.load(out) as learned:
        assert set(learned.files) == set(before)
        for name in before:
            assert learned[name].dtype == before[name].dtype
            assert learned[name].shape == before[name].shape
        assert any((learned[name] != before[name]).any() for name in before)


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        ("gray.png", "start.npz", "none of the images is in color"),
        ("missing.png", "start.npz", "missing.png"),
        ("gray.png", "gray.png/start.npz", "cannot write"),
    ],
)
def test_what_cannot_be_learned_from_is_one_line(
    name, out, message, photo, tmp_path, monkeypatch, capsys
):
    write_image(tmp_path / "gray.png", photo(24, 32, channels=1).pixels)
    arguments = f"learn_start {tmp_path / name} -o {tmp_path / out} --workdir {tmp_path / 'run'}"
    monkeypatch.setattr("sys.argv", arguments.split())
    with pytest.raises(SystemExit) as raised:
        learn_start.main()
    assert raised.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_units():
    start = start_weights(NETWORK)
    for name, array in in_units(start_floats(NETWORK)).items():
        np.testing.assert_array_equal(array, start[name])
    assert FRACTION == 14
