from dfm_flax.sweeps.folder import Sweep
from dfm_flax.sweeps.summary import summarize


def test_means_over_the_machines_of_each_finished_cell(config, tmp_path, finish):
    sweep = Sweep(config(), tmp_path)
    assert summarize(sweep) == []
    finish(sweep, sweep.cells[1])
    finish(sweep, sweep.cells[2], mse=None)
    assert summarize(sweep) == [
        {"cell": cell.name, "machines": 2, "percent": 5.0, "mse": mse, "psnr": 20.5}
        for cell, mse in ((sweep.cells[1], 0.25), (sweep.cells[2], None))
    ]
