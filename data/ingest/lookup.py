"""Finding a data set's files, wherever its sources and archives have put them."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.files import sha256

IGNORED = {".cache", ".git", "__MACOSX"}  # folders that hold nothing of a data set


class Files:
    """The files below some folders, found by the end of their path: "data.csv", "images/a.png".

    The one that lies least deep is meant. Copies of one file in several places are one file; two different files that
    answer to one name are refused, because which one was rated is not known.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)
        self._places: dict[str, list[tuple[int, Path]]] = defaultdict(list)  # name -> (depth, where)
        for root in self.roots:
            if root.is_file():
                self._places[root.name].append((0, root))
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(set(folders) - IGNORED)
                depth = len(Path(folder).relative_to(root).parts)
                for name in names:
                    self._places[name].append((depth, Path(folder) / name))

    def find(self, file: str, where: str = "") -> Path:
        """The file that `file` means.

        Raises:
            InputError: naming `where` it is asked for: there is none, or several, or it is a link that leads out.
        """
        prefix = f"{where}: " if where else ""
        found = self.matching(file)
        if not found:
            places = [str(root / file) if root.is_dir() else str(root) for root in self.roots]
            missing = "does not exist" if where else "no such file"
            raise InputError(f"{prefix}{places[0]}{':' * (not where)} {missing}" + _elsewhere(places[1:]))
        first, *others = found
        if not any(first.resolve().is_relative_to(root.resolve()) for root in self.roots):
            raise InputError(f"{prefix}{first} is a link out of {self.roots[0]}, expected a file inside it")
        for other in others:
            if sha256(other) != sha256(first):
                raise InputError(f"{prefix}{first} and {other} differ, and either may be the {file} that is meant")
        return first

    def matching(self, file: str) -> list[Path]:
        """Every file that lies least deep among those that `file` may mean."""
        end = Path(file).parts
        places = [place for place in self._places.get(end[-1], ()) if place[1].parts[-len(end) :] == end]
        places = [(depth, path) for depth, path in places if path.exists()]  # not so: a link to nothing
        return sorted(path for depth, path in places if depth == min(places)[0])


def _elsewhere(places: Sequence[str]) -> str:
    return f" (nor {', '.join(places)})" if places else ""
