"""Finding a data set's files, wherever its sources and archives have put them."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.download.local_files import files_below
from m3agiqa.errors import InputError
from m3agiqa.files import sha256


class Files:
    """The files below some folders, found by the end of their path: "data.csv", "images/a.png".

    The one that lies least deep is meant. Copies of one file in several places are one file; two different files that
    answer to one name are refused, because which one was rated is not known. A name's Unicode form does not matter,
    where no file has the very name: macOS writes an accent as a character of its own. Links are followed.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)
        self._places: dict[str, list[tuple[int, Path]]] = defaultdict(list)  # name -> (depth, where)
        for root in self.roots:
            for path in files_below(root):
                self._places[_one_form(path.name)].append((len(path.relative_to(root).parts[:-1]), path))

    def find(self, file: str, where: str = "") -> Path:
        """The file that `file` means.

        Raises:
            InputError: naming `where` it is asked for: there is none, or several.
        """
        prefix = f"{where}: " if where else ""
        found = self.matching(file)
        if not found:
            places = [str(root / file) if root.is_dir() else str(root) for root in self.roots]
            missing = "does not exist" if where else "no such file"
            raise InputError(f"{prefix}{places[0]}{':' * (not where)} {missing}" + _elsewhere(places[1:]))
        first, *others = found
        for other in others:
            if sha256(other) != sha256(first):
                raise InputError(f"{prefix}{first} and {other} differ, and either may be the {file} that is meant")
        return first

    def matching(self, file: str) -> list[Path]:
        """Every file that lies least deep among those that `file` may mean."""
        end = Path(file).parts
        alike = [
            (depth, path)
            for depth, path in self._places.get(_one_form(end[-1]), ())
            if _one_form("/".join(path.parts[-len(end) :])) == _one_form("/".join(end))
        ]
        places = [(depth, path) for depth, path in alike if path.parts[-len(end) :] == end] or alike
        return sorted(path for depth, path in places if depth == min(places)[0])


def _one_form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _elsewhere(places: Sequence[str]) -> str:
    return f" (nor {', '.join(places)})" if places else ""
