"""A contract for import-linter: a technology's client library is imported in its own backend folder, and nowhere else."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class TechnologyContract(Contract):
    """Homes of libraries, each ``folder = library, library``; the folder lies under ``<root package>.backends``."""

    homes = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find every direct import of a library from outside its home."""
        root = self.session_options["root_packages"][0]
        found: list[str] = []
        for home in self.homes:  # type: ignore[attr-defined]  # a field's value is a list once the contract is made
            folder, _, libraries = home.partition("=")
            inside = f"{root}.backends.{folder.strip()}"
            for library in (name.strip() for name in libraries.split(",")):
                if library not in graph.modules:
                    continue
                found += [
                    f"{importer} imports {library}, which belongs to {inside}"
                    for importer in sorted(graph.find_modules_that_directly_import(library))
                    if importer != inside and not importer.startswith(f"{inside}.")
                ]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each import."""
        for line in check.metadata["found"]:
            output.print_error(line)
