import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3agiqa.errors import InputError
from m3agiqa.journal import Journal

RECORDS = st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=3), min_size=1, max_size=6)


@settings(deadline=None)
@given(records=RECORDS, data=st.data())
def test_cut_at_any_byte_the_whole_records_are_there_and_writing_goes_on(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    ends = [0]
    with Journal(path) as journal:
        for number, record in enumerate(records):
            assert journal.append(record) == number
            assert journal[number] == record
            ends.append(path.stat().st_size)
    with Journal(path.with_name("at once.jsonl")) as journal:
        assert [journal.extend(records), journal.extend(records)] == [0, len(records)]
        assert list(journal) == records * 2
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    whole = sum(end <= cut for end in ends) - 1

    with Journal(path) as torn:
        assert list(torn) == records[:whole]
        for record in records[whole:]:
            torn.append(record)
    with Journal(path) as again:
        assert list(again) == records


@pytest.mark.parametrize("line", ["not json", "3", "", pytest.param("[" * 100_000, id="deep")])
def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"key": "a"}}\n{line}\n{{"key": "b"}}\n')
    with Journal(path) as journal, pytest.raises(InputError, match=r"journal\.jsonl, line 2: not a journal record"):
        list(journal)


APPEND = """
import sys
from pathlib import Path
from m3agiqa.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    journal.append({"key": "b", "after": len(journal)})
"""


def test_writers_are_one_after_the_other(tmp_path):
    """The second waits, says so, and has read what the first has written."""
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        second = subprocess.Popen([sys.executable, "-c", APPEND, str(path)], stderr=subprocess.PIPE, text=True)
        assert second.stderr.readline() == f"another run writes to {path}; waiting for it to end\n"
        journal.append({"key": "a"})
    assert second.communicate(timeout=60) == (None, "")
    with Journal(path) as journal:
        assert list(journal) == [{"key": "a"}, {"key": "b", "after": 1}]


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append({"key": "a"})
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match=r"No space left.*journal\.jsonl"):
                journal.append({"key": "b"})
        journal.append({"key": "c"})
        assert list(journal) == [{"key": "a"}, {"key": "c"}]
    with Journal(path) as journal:
        assert len(journal) == 2


def full(_):
    raise OSError(28, "No space left on device")
