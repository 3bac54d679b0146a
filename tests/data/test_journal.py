import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.journal import Journal

RECORDS = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=30)), min_size=1, max_size=6)


@settings(deadline=None)
@given(records=RECORDS, data=st.data())
def test_cut_at_any_byte_the_whole_records_are_there_and_writing_goes_on(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    ends = [0]
    with Journal(path) as journal:
        for key, text in records:
            journal.append(key, {"text": text})
            ends.append(path.stat().st_size)
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    whole = sum(end <= cut for end in ends) - 1

    with Journal(path) as torn:
        assert {key: record["text"] for key, record in torn.records.items()} == dict(records[:whole])
        for key, text in records[whole:]:
            torn.append(key, {"text": text})
    with Journal(path) as again:
        assert {key: record["text"] for key, record in again.records.items()} == dict(records)


def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key": "a"}\nnot json\n{"key": "b"}\n')
    with pytest.raises(InputError, match="line 2"):
        Journal(path)


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("a", {})
        with pytest.raises(InputError, match="another run writes to"):
            Journal(path)
    with Journal(path) as journal:
        assert "a" in journal
