"""Tests of files that appear complete or not at all."""

import errno
import os
from pathlib import Path

import pytest

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.files import (
    atomic_path,
    check_writable,
    local_path,
    remove_unfinished,
    temporary_folder,
)


def test_target_appears_only_at_the_end_with_its_suffix_and_folder(tmp_path):
    target = tmp_path / "new" / "folders" / "figure.png"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == target.parent
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert os.listdir(target.parent) == ["figure.png"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path, failure):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail_half_way():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail_half_way()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    (tmp_path / "ordinary").write_text("")
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_folder_cannot_be_replaced(tmp_path):
    with pytest.raises(UsageError, match="not a regular file"), atomic_path(tmp_path):
        raise AssertionError("the block must not run")


def test_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match=r"cannot write .*: "),
        atomic_path(tmp_path / "file" / "x"),
    ):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EACCES, 2)])
def test_error_of_the_system_is_one_line(tmp_path, number, code):
    target = tmp_path / "x"
    with pytest.raises(DfmError) as raised, atomic_path(target):
        raise OSError(number, "the reason")
    assert str(raised.value) == f"cannot write {target}: the reason"
    assert raised.value.exit_code == code


def test_a_process_that_ends_at_once_removes_what_is_unfinished(tmp_path):
    with atomic_path(tmp_path / "done") as temporary:
        temporary.write_text("")
    with atomic_path(tmp_path / "half") as temporary:
        temporary.write_text("half")
        remove_unfinished()
        assert os.listdir(tmp_path) == ["done"]
        temporary.write_text("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError), atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("")


def test_a_tilde_is_expanded_only_where_it_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert local_path("~/x") == Path("/home/somebody/x")
    assert local_path("~") == Path("/home/somebody")
    assert local_path("~photo.png") == Path("~photo.png")
    assert local_path("a/~/x") == Path("a/~/x")


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3://bucket", "https://host/a.png"])
def test_addresses_are_no_paths(address):
    with pytest.raises(UsageError, match="only local folders and files"):
        local_path(address)


def test_a_place_is_found_writable_without_a_trace(tmp_path):
    check_writable(tmp_path / "a" / "b" / "c.png")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x", Path("/proc/none/x"), tmp_path / ("n" * 300) / "x"):
        with pytest.raises(UsageError, match="cannot write"):
            check_writable(path)


def test_a_temporary_folder_goes_with_its_block():
    with temporary_folder() as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b").write_text("")
    assert not folder.exists()
