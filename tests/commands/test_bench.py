import pytest

from dfm_flax.cli import main


@pytest.mark.parametrize("arguments", [["layrs"], ["--rounds=0"]])
def test_bad_usage_names_the_cases(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *arguments])
    assert stop.value.code == 2
    assert "cases are layers, generation" in capsys.readouterr().err
