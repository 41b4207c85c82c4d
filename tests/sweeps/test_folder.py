import csv
import multiprocessing
import threading

import pytest

from dfm_flax.errors import UsageError
from dfm_flax.sweeps import folder
from dfm_flax.sweeps.folder import Sweep


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_only_the_same_config_goes_on(config, tmp_path):
    Sweep(config(), tmp_path).start()
    Sweep(config(), tmp_path).start()
    Sweep(config("figures.loss_bounds=1,2"), tmp_path).start()  # figures may be drawn anew
    with pytest.raises(UsageError, match=r"grid\.model\.machine\.width: \(2, 4\) -> \(2, 5\)"):
        Sweep(config("grid.model.machine.width=2,5"), tmp_path).start()
    with pytest.raises(UsageError, match=r"training\.num_steps: 20 -> 30"):
        Sweep(config("training.num_steps=30"), tmp_path).start()


def test_two_sweeps_that_start_at_one_moment(config, tmp_path, monkeypatch):
    """The other one writes its config between our look and our write."""
    sweep, other = (Sweep(config(f"training.num_steps={n}"), tmp_path) for n in (20, 30))
    write = folder.atomic_path

    def slow(path):
        monkeypatch.setattr(folder, "atomic_path", write)
        other.start()
        return write(path)

    monkeypatch.setattr(folder, "atomic_path", slow)
    sweep.start()  # ours was the last word
    with pytest.raises(UsageError, match="another config"):
        other.check_same()


def test_cells_without_their_config_are_not_gone_on_with(config, tmp_path, finish):
    sweep = Sweep(config(), tmp_path)
    finish(sweep, sweep.cells[0])
    with pytest.raises(UsageError, match=r"there are cells, but no sweep\.json"):
        sweep.start()


def test_a_sweep_of_another_version(config, tmp_path):
    (tmp_path / "sweep.json").write_text('{"task": "compress", "grid": {"model": {"depth": [2]}}}')
    with pytest.raises(UsageError, match=r"sweep\.json: of dfm_flax 0\.1 .*train again in another"):
        Sweep(config(), tmp_path).start()


def test_a_damaged_config(config, tmp_path):
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(UsageError, match=r"sweep\.json: cannot be read"):
        Sweep(config(), tmp_path).start()


def test_the_table_has_a_row_for_each_machine(config, tmp_path, finish):
    sweep = Sweep(config(), tmp_path)
    finish(sweep, sweep.cells[2], mse=0.125)
    sweep.write_table()
    rows = read(sweep.table)
    assert len(rows) == 2
    assert rows[1] == {
        "cell": "2",
        "model.machine.depth": "3",
        "model.machine.width": "2",
        "name": "a_seed1",
        "image": "a",
        "seed": "1",
        "percent": "5.0",
        "mse": "0.125",
        "psnr": "21.0",
    }
    assert [cell.index for cell in sweep.missing()] == [0, 1, 3]


def test_a_damaged_result_is_missing(config, tmp_path, finish):
    sweep = Sweep(config(), tmp_path)
    for cell in sweep.cells:
        finish(sweep, cell)
    damaged = sweep.run_of(sweep.cells[1]).folder / "results.json"
    damaged.write_text(damaged.read_text()[:-5])
    assert [cell.index for cell in sweep.missing()] == [1]
    assert len(sweep.rows()) == 6


def _work(config, workdir, finish, cells, barrier):
    sweep = Sweep(config, workdir)
    barrier.wait()
    for index in cells:
        finish(sweep, sweep.cells[index])
        sweep.write_table()


def test_the_table_is_complete_after_many_writers(config, tmp_path, finish):
    made = config("grid.model.machine.width=2,3,4,5,6,7,8,9,10,11,12,13")
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    workers = [
        context.Process(
            target=_work, args=(made, tmp_path, finish, range(i, 24, 4), barrier), daemon=True
        )
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert [row["cell"] for row in read(tmp_path / "table.csv")] == [str(i // 2) for i in range(48)]
    assert not list(tmp_path.glob(".*"))


def test_a_writer_that_was_overtaken_writes_again(config, tmp_path, finish, monkeypatch):
    """Another finishes a cell and writes its table between our look and our write."""
    sweep = Sweep(config(), tmp_path)
    finish(sweep, sweep.cells[0])
    write = folder.write_csv

    def overtaken(path, rows):
        monkeypatch.setattr(folder, "write_csv", write)
        finish(sweep, sweep.cells[1])
        other = threading.Thread(target=Sweep(config(), tmp_path).write_table)
        other.start()
        other.join()
        write(path, rows)

    monkeypatch.setattr(folder, "write_csv", overtaken)
    sweep.write_table()
    assert [row["cell"] for row in read(sweep.table)] == ["0", "0", "1", "1"]


def test_columns_of_all_rows(tmp_path):
    folder.write_csv(tmp_path / "t.csv", [{"a": 1, "b": None}, {"a": (8, 1), "c": "x,y"}])
    assert (tmp_path / "t.csv").read_text().splitlines() == ["a,b,c", "1,,", '"(8, 1)",,"x,y"']
