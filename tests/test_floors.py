"""The house: who may import whom, and what no line may do."""

import ast

import pytest
from conftest import ROOT

PACKAGE = ROOT / "galdse_brain"
FLOORS = {
    "spec": 0,
    "paths": 0,
    "samplers": 0,
    "noise": 0,
    "released": 0,
    "pieces": 0,
    "memory": 0,
    "streams": 0,
    "audio": 0,
    "jobs": 1,
    "manifests": 1,
    "averaging": 0,
    "schedules": 0,
    "nets": 1,
    "objectives": 1,
    "metrics": 0,
    "composite": 1,
    "dnsmos": 1,
    "charts": 1,
    "augment": 1,
    "pictures": 1,
    "systems": 2,
    "results": 0,
    "report": 1,
    "compare": 2,
    "page": 2,
    "enhancer": 3,
    "checkpoints": 4,
    "convert": 4,
    "inputs": 1,
    "inference": 4,
    "compat": 1,
    "card": 2,
    "effort": 4,
    "export": 6,
    "to_onnx": 5,
    "arguments": 5,
    "ray_jobs": 5,
    "enhancing": 6,
    "cli": 7,
    "data": 4,
    "evaluate": 6,
    "cost": 4,
    "gallery": 4,
    "progress": 4,
    "ranks": 4,
    "recipe": 4,
    "runs": 5,
    "scoring": 4,
    "mixing": 5,
    "trainer": 6,
    "brain": 7,
}
FILES = sorted(PACKAGE.glob("**/*.py"))
SCRIPTS = [
    path
    for folder in ("recipes", "tools", "benchmarks", "examples")
    for path in sorted((ROOT / folder).glob("**/*.py"))
    if not path.is_symlink()
]


def room(path):
    """First part of the name below the package: a file or a folder."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Full names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    here = room(path)
    if here == "__init__":
        assert not list(imports(path))
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "galdse_brain":
            there = rest.split(".")[0]
            assert there == here or FLOORS[there] < FLOORS[here], name
        if top == "speechbrain":
            assert FLOORS[here] >= 4, name


@pytest.mark.parametrize("path", FILES + SCRIPTS, ids=str)
def test_no_string_chooses_behaviour(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            if any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                for side in (node.left, *node.comparators):
                    value = getattr(side, "value", None)
                    assert not isinstance(value, str) or value == "__main__"
        assert not isinstance(node, ast.Match)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_devices_and_processes_are_named_in_the_brain_alone(path):
    if FLOORS.get(room(path), 0) >= 4:
        return
    text = path.read_text()
    for word in ("cuda", ".cpu()", "distributed", "is_main", "bfloat16"):
        if (path.stem, word) in {("pictures", ".cpu()")}:
            continue  # Numbers leave the device here.
        assert word not in text, word


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_function_swallows_arguments(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.args.kwarg:
            passed_on = {
                getattr(keyword.value, "id", None)
                for call in ast.walk(node)
                if isinstance(call, ast.Call)
                for keyword in call.keywords
                if keyword.arg is None
            }
            assert node.args.kwarg.arg in passed_on, node.name


@pytest.mark.parametrize("path", FILES + SCRIPTS, ids=str)
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    members = [member for owner in classes for member in owner.body]
    for node in tree.body + members:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            private = node.name.startswith("_")
            assert private or ast.get_docstring(node), node.name
