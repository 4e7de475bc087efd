"""Entries by name: registered by decorator, found by the names that configs and command lines use.

The modules of a package register what they hold. Where a module is named like its entry, it is imported when that entry
is asked for, so that a list of names costs no import.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """The entries of one kind.

    Args:
        kind: what an entry is, for messages: `backend`.
        package: the dotted name of the package whose modules are named like their entries; None: what is registered
            is all there is.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
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
        """Return all names in alphabetical order, without importing what is not imported yet."""
        return sorted({*self._entries, *self._modules()})

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __getitem__(self, name: str) -> Entry:
        """Return an entry.

        Raises:
            ValueError: unknown name; the message lists the known.
        """
        if name not in self._entries and name in self._modules():
            importlib.import_module(f"{self._package}.{name}")
        if name not in self._entries:
            raise ValueError(f"{self.kind} {name!r:.100} unknown; expected one of {', '.join(self.names())}")
        return self._entries[name]

    def _modules(self) -> set[str]:
        if self._package is None:
            return set()
        package = importlib.import_module(self._package)
        return {module.name for module in pkgutil.iter_modules(package.__path__)}
