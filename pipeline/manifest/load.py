"""A manifest file -> ``Manifest``, or every fault in it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ManifestError
from pipeline.manifest.defaults import models_with_defaults
from pipeline.manifest.document import MAX_FAULTS, read_document
from pipeline.manifest.files import Files
from pipeline.manifest.model import model_from_node
from pipeline.manifest.runners import runners_from_node
from pipeline.manifest.schema import check_schema
from pipeline.manifest.types import Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.errors import Fault
    from pipeline.manifest.node import Node

MAX_JOBS = 1000
VERSION = 1


def load_manifest(path: Path) -> Manifest:
    """Read and check the manifest at ``path``; the files that it names must be there, but are not opened.

    Raises ``ManifestError`` with the faults of form, of meaning, and of what this version cannot honour, together.
    A value that has one fault is not judged again.
    """
    root, faults_of_form = read_document(path)
    faults = list(faults_of_form)
    if root is None:
        raise ManifestError(tuple(faults))
    faults_of_schema, root = check_schema(root)
    faults.extend(faults_of_schema)
    nodes = models_with_defaults(root)
    files = Files(path.absolute().parent, faults)
    _check_names(nodes, faults)
    models = tuple(model_from_node(node, files) for node in nodes)
    runners = runners_from_node(root.members.get("runners"), models, faults)
    jobs = sum(len(model.targets) * len(model.precisions) for model in models if model)
    if jobs > MAX_JOBS:
        fix = "split the manifest, or remove targets or precisions"
        faults.append(root.at(["models"]).fault(f"ask for {jobs} engines; a manifest may ask for {MAX_JOBS}", fix))
    if faults:
        raise ManifestError(tuple(dict.fromkeys(faults))[:MAX_FAULTS])
    return Manifest(path.absolute(), VERSION, tuple(model for model in models if model), runners)


def _check_names(nodes: tuple[Node, ...], faults: list[Fault]) -> None:
    first: dict[str, Node] = {}
    for node in nodes:
        name = node.members.get("name")
        if name is None or not isinstance(name.value, str):
            continue
        folded = name.value.casefold()
        if folded in first:
            what = f"the name is already used in line {first[folded].location.line}"
            faults.append(name.fault(what, "give each model a name of its own, also apart from upper and lower case"))
        first.setdefault(folded, name)
