import pytest

from tests.launch import fault_drill


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--streamed",)])
def test_a_drill_of_one_run(capsys, options):
    """fault_drill.py kills 50; here process 1 is killed after step 30, and waited for less long."""
    assert fault_drill.main(["--runs=1", "--seed=10", "--heartbeat=10", *options]) == 0
    assert "1 of 1 equal, 0 hung" in capsys.readouterr().out
