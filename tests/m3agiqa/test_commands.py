"""What the command line does before and after it imports a command."""

import gc
import sys

import pytest

from m3agiqa import __main__
from m3agiqa.__main__ import COMMANDS, Command, main

NOTING = """
import gc
FOUND = [gc.isenabled()]
{then}
def add_arguments(parser): pass
def run(arguments): FOUND.append(gc.isenabled())
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A command of this test, in a module that does something when it is imported."""

    def make(then: str) -> None:
        (tmp_path / "a_command.py").write_text(NOTING.format(then=then))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(__main__, "COMMANDS", COMMANDS | {"predict": Command("a_command", "note")})
        monkeypatch.setattr(sys, "argv", ["m3agiqa", "predict"])

    yield make
    sys.modules.pop("a_command", None)
    gc.enable()


def test_garbage_is_collected_but_in_what_a_command_imports(command):
    command(then="")
    main()
    assert sys.modules["a_command"].FOUND == [False, True]


def test_garbage_is_collected_where_a_command_cannot_be_imported(command):
    command(then="import no_such_module")
    with pytest.raises(ModuleNotFoundError):
        main()
    assert gc.isenabled()
