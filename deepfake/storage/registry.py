"""Entries by name: registered by decorator, found by the names that configs and command lines use.

The modules of a package register what they hold, so that who adds an entry adds a file and changes none.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class UnknownName(ValueError, KeyError):
    """No entry has that name; the message lists the known."""

    __str__ = ValueError.__str__  # a KeyError's would be quoted


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The entries of one kind, a mapping in the names' alphabetical order.

    Args:
        kind: what an entry is, for messages: `backend`.
        package: the dotted name of the package whose modules register entries; None: other modules do.
        by_module: each of its modules is named like the one entry that it registers, and imported when that is asked
            for, so that a list of names costs no import. Without, all are imported with the first question.
    """

    def __init__(self, kind: str, package: str | None = None, by_module: bool = False) -> None:
        self.kind = kind
        self._package = package
        self._by_module = by_module
        self._is_complete = package is None or by_module
        self._entries: dict[str, Entry] = {}

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that makes a function or class the entry of that name.

        Raises:
            KeyError: another one has that name.
        """

        def add(entry: Entry) -> Entry:
            if name in self._entries:
                raise KeyError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def names(self) -> list[str]:
        """Return all names in alphabetical order."""
        self._complete()
        return sorted({*self._entries, *(self._modules() if self._by_module else ())})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __getitem__(self, name: str) -> Entry:
        """Return an entry.

        Raises:
            UnknownName: the message lists the known.
        """
        self._complete()
        if self._by_module and name not in self._entries and name in self._modules():
            importlib.import_module(f"{self._package}.{name}")
        if name not in self._entries:
            raise UnknownName(f"{self.kind} {name!r:.100} unknown; expected one of {', '.join(self.names())}")
        return self._entries[name]

    def _complete(self) -> None:
        """Import all modules of the package, unless each is imported by its name."""
        if not self._is_complete:
            for name in sorted(self._modules()):
                importlib.import_module(f"{self._package}.{name}")
            self._is_complete = True

    def _modules(self) -> set[str]:
        if self._package is None:
            return set()
        package = importlib.import_module(self._package)
        return {module.name for module in pkgutil.iter_modules(package.__path__)}
