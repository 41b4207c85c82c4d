import numpy as np
import pytest

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.generation.prior import (
    PRIORS,
    ClassPrior,
    Prior,
    find_prior,
    load_prior,
    safe_name,
    save_prior,
)

RNG = np.random.default_rng(0)
LATENTS = RNG.normal(size=(300, 2)).astype(np.float32)

MINE = """
import numpy as np
from dfm_flax.generation.prior import Prior

class Mine(Prior):
    "Training latents, drawn again; the keys of the arrays are those that the file has as well."
    def __init__(self, latents):
        self.latents = latents

    @classmethod
    def fit(cls, latents, seed=0):
        return cls(latents)

    def sample(self, num, seed):
        rng = np.random.default_rng(seed)
        return self.latents[rng.integers(len(self.latents), size=num)]

    def arrays(self):
        return {"file": self.latents, "name": np.zeros(2), "step": np.zeros(1)}

    @classmethod
    def from_arrays(cls, arrays):
        assert sorted(arrays) == ["file", "name", "step"]
        return cls(arrays["file"])

class WithObjects(Mine):
    def arrays(self):
        return {"latents": np.array([{}, None])}

no_prior = dict
"""


@pytest.fixture
def my_priors(tmp_path, monkeypatch):
    (tmp_path / "my_priors.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_priors():
    assert PRIORS.names() == [
        "flow",
        "flow_matching",
        "gaussian",
        "gmm",
        "normal",
        "standard_normal",
    ]
    for name in PRIORS.names():
        assert issubclass(find_prior(name), Prior)


@pytest.mark.parametrize("name", PRIORS.names())
def test_a_prior_is_kept_for_its_checkpoint(tmp_path, name, monkeypatch):
    kind = find_prior(name)
    if issubclass(kind, ClassPrior):
        monkeypatch.setattr(kind, "num_steps", 10)
    prior = kind.fit(LATENTS)
    file = tmp_path / "priors" / f"{name}.npz"
    assert load_prior(file, name, 10) is None
    save_prior(file, prior, name, 10)
    found = load_prior(file, name, 10)
    assert type(found) is type(prior)
    np.testing.assert_array_equal(found.sample(5, 0), prior.sample(5, 0))
    if name != "flow_matching":  # whose density is not known
        np.testing.assert_array_equal(found.log_prob(LATENTS), prior.log_prob(LATENTS))
    assert load_prior(file, name, 20) is None
    other = "normal" if name == "gmm" else "gmm"
    assert load_prior(file, other, 10) is None


def test_a_prior_by_import_path(tmp_path, my_priors):
    name = "my_priors:Mine"
    prior = find_prior(name).fit(LATENTS)
    file = tmp_path / "mine.npz"
    save_prior(file, prior, name, 3)
    found = load_prior(file, name, 3)
    np.testing.assert_array_equal(found.sample(9, 1), prior.sample(9, 1))
    with pytest.raises(UsageError, match="density of Mine is not known"):
        prior.log_prob(LATENTS)


def test_names_of_files_are_safe():
    assert safe_name("gmm") == "gmm"
    assert safe_name("my_priors:Mine") == "my_priors.Mine"
    assert safe_name("../a b:C") == ".._a_b.C"


def test_what_is_no_prior(my_priors):
    with pytest.raises(UsageError, match=r"'gauss' is not one of .*did you mean 'gaussian'"):
        find_prior("gauss")
    with pytest.raises(UsageError, match="'my_priors:no_prior' is not a subclass of"):
        find_prior("my_priors:no_prior")
    with pytest.raises(UsageError, match=r"cannot be imported.*no_such"):
        find_prior("my_priors:no_such")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "lacks a part", "other shapes"])
def test_a_damaged_file(tmp_path, damage):
    file = tmp_path / "gmm.npz"
    prior = find_prior("gmm").fit(LATENTS)
    save_prior(file, prior, "gmm", 10)
    arrays = dict(np.load(file))
    if damage == "lacks a part":
        del arrays["array/means"]
    arrays["array/factors"] = np.eye(3)
    np.savez(tmp_path / "changed.npz", **arrays)
    changed = (tmp_path / "changed.npz").read_bytes()
    contents = {"cut": file.read_bytes()[:100], "empty": b"", "text": b"text"}
    file.write_bytes(contents.get(damage, changed))
    with pytest.raises(UsageError, match=r"gmm.npz: cannot be read, delete it: .+"):
        load_prior(file, "gmm", 10)


def test_pickles_are_neither_written_nor_read(tmp_path, my_priors):
    file, name = tmp_path / "p.npz", "my_priors:WithObjects"
    with pytest.raises(UsageError, match="holds more than numbers"):
        save_prior(file, find_prior(name)(LATENTS), name, 1)
    assert not file.exists()
    np.savez(file, name="gmm", step=1, **{"array/weights": np.array([{}])}, allow_pickle=True)
    with pytest.raises(UsageError, match="cannot be read, delete it"):
        load_prior(file, "gmm", 1)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "priors").write_text("a file, so no folder")
    with pytest.raises(DfmError, match="cannot write"):
        save_prior(tmp_path / "priors" / "gmm.npz", find_prior("gmm").fit(LATENTS), "gmm", 1)
