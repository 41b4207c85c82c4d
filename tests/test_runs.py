import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.runs import Run


def test_the_config_is_kept_and_compared(tmp_path):
    run = Run(tmp_path / "a" / "run")
    assert not run.started
    run.create()
    run.write_config(ConfigDict({"rate": 1e-3, "model": {"sizes": (1, 2)}}))
    assert run.started
    assert run.config().model.sizes == (1, 2)
    run.check_same(ConfigDict({"rate": 1e-3, "model": {"sizes": (1, 2)}}))
    with pytest.raises(UsageError, match=r"model\.sizes: \(1, 2\) -> \(1, 3\)"):
        run.check_same(ConfigDict({"rate": 1e-3, "model": {"sizes": (1, 3)}}))


def test_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no run here"):
        Run(tmp_path).config()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json: cannot be read"):
        Run(tmp_path).config()
