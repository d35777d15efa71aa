"""The structure of the project: layers that import only downwards, names, packages, sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import xgrad as xg
from tests.helpers.paths import ROOT

#: From the bottom up. A module may import from its own row and those below.
LAYERS = [
    ["backends"],
    ["errors", "ops"],
    ["core"],
    ["namespace"],
    ["numpy_api"],
    ["compiler", "random", "state_dicts"],
    ["transforms"],
    ["nn", "optim", "io", "information", "debug"],
    ["viz"],
    ["__main__"],
]
ROW = {name: i for i, row in enumerate(LAYERS) for name in row}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name below xgrad, and the file, of each module."""
    for path in sorted((ROOT / "backends").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path
    for path in sorted((ROOT / "xgrad").rglob("*.py")):
        parts = path.relative_to(ROOT / "xgrad").with_suffix("").parts
        if parts[0] not in ("backends", "__init__"):
            yield ".".join(parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield the modules of xgrad that a module imports, as dotted names below xgrad.

    Imports for type checkers only do not count.
    """
    tree = ast.parse(path.read_text())
    typing_only = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    skipped = {id(inner) for n in typing_only for inner in ast.walk(n)}
    package = name.split(".")[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        if node.module:
            yield ".".join([*base, node.module])
        else:
            yield from (".".join([*base, alias.name]) for alias in node.names)


def foreign(path: Path) -> set[str]:
    """Return the third-party packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_downwards(name: str, path: Path) -> None:
    own = name.partition(".")[0]
    for imported in imports(name, path):
        assert ROW[imported.partition(".")[0]] <= ROW[own], f"{name} imports {imported}"


def test_there_are_no_import_cycles() -> None:
    graph = {name.removesuffix(".__init__"): set(imports(name, path)) for name, path in modules()}

    seen: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in seen:
            return
        for below in graph.get(name, ()):
            target = below if below in graph else below.rpartition(".")[0]
            if target != name and not name.startswith(f"{target}."):
                visit(target, (*path, name))
        seen.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_array_libraries_are_imported_by_backends_alone(name: str, path: Path) -> None:
    if not name.startswith("backends."):
        assert not foreign(path) & {"numpy", "cupy", "cupyx", "array_api_compat"}
    elif not name.startswith("backends.cuda"):
        assert not foreign(path) & {"cupy", "cupyx", "array_api_compat"}


def test_no_module_bears_the_name_of_a_public_function() -> None:
    for name, _ in modules():
        top = name.partition(".")[0]
        assert not callable(getattr(xg, top, None)), top


def test_every_public_name_is_listed_and_documented() -> None:
    assert sorted(set(xg.__all__)) == sorted(xg.__all__)
    for name in xg.__all__:
        value = getattr(xg, name)
        if callable(value) and getattr(value, "__module__", "").startswith("xgrad"):
            assert value.__doc__, name


def test_the_packages_listed_are_the_folders() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {"xgrad"} | {
        "xgrad." + ".".join(p.parent.relative_to(ROOT / "xgrad").parts)
        for p in (ROOT / "xgrad").rglob("*/__init__.py")
        if "backends" not in p.parts[-2:-1]
    }
    backends = {
        "xgrad." + ".".join(p.parent.relative_to(ROOT).parts)
        for p in (ROOT / "backends").rglob("__init__.py")
    }
    assert set(listed) == folders | backends
    if (ROOT / ".git").exists():  # an sdist contains no links
        assert (ROOT / "xgrad" / "backends").resolve() == ROOT / "backends"


#: Functions that may be longer, or have more parameters: the path of every op, and public signatures.
LONG = {"core.dispatch.apply"}
WIDE = {
    "core.dispatch._recorded",
    "core.graph.Node.__init__",
    "transforms.checks.check_grads",
    "transforms.registering.register_op",
    "transforms.through_time.scan",
}


def functions(name: str, tree: ast.AST) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield every function in a module or class, by its dotted name."""
    for node in ast.iter_child_nodes(tree):
        inner = f"{name}.{node.name}" if isinstance(node, ast.ClassDef | ast.FunctionDef) else name
        if isinstance(node, ast.FunctionDef):
            yield inner, node
        yield from functions(inner, node)


def test_functions_of_the_engine_and_of_transforms_are_short_and_narrow() -> None:
    long, wide = set(), set()
    for module, path in modules():
        if module.startswith(("core.", "transforms.")):
            for name, node in functions(module, ast.parse(path.read_text())):
                first = node.body[0]
                # the docstring does not count
                said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
                if node.body[-1].end_lineno - (first.end_lineno if said else node.lineno - 1) > 40:  # type: ignore[operator]
                    long.add(name)
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len(set(names) - {"self"}) > 6:
                    wide.add(name)
    assert (long, wide) == (LONG, WIDE)


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    folders = re.compile(rf"{re.escape(str(ROOT))}\b|(?<![\w.:/~-])/(home|root|Users|mnt|work)/\w")
    for name in tracked.stdout.split("\n"):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            found = folders.search((ROOT / name).read_text(errors="replace"))
            assert not found, f"{name} has {found and found[0]}"


def test_files_are_short() -> None:
    for name, path in modules():
        assert len(path.read_text().splitlines()) <= 490, name


def test_nothing_imports_a_test() -> None:
    """Code shared by several tests is in tests/helpers."""
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/*.py"), *ROOT.glob("benchmarks/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                tests = [name for name in names if re.search(r"(^|\.)test_", name)]
                assert not tests, f"{path.relative_to(ROOT)}:{node.lineno} imports {tests}"


def test_a_user_who_looks_meets_public_names_alone() -> None:
    shown = {name for name in dir(xg) if not name.startswith("__")}
    assert shown == {*xg.__all__, "bfloat16"} - {"__array_namespace_info__"}
    for name in shown - {"bfloat16"}:  # it needs ml_dtypes
        assert hasattr(xg, name), name
