"""Who may import whom.  The table is the architecture; the test holds it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "proxy"

MAY_IMPORT = {
    "core": {"core"},
    "wire": {"core", "wire"},
    "rules": {"core", "rules"},
    "redact": {"core", "redact"},
    "config": {"core", "config"},
    "observe": {"core", "observe"},
    "semantic": {"core", "wire", "rules", "observe", "semantic"},
    "policies": {"core", "wire", "rules", "redact", "observe", "semantic", "config.schema"},
    "stores": {"core", "rules", "stores"},
    "identity": {"core", "identity"},
    "judges": {"core", "wire", "rules", "judges"},
    "encoders": {"core", "encoders"},
    "upstream": {"core", "wire", "rules", "upstream"},
    "edge": {"core", "wire", "observe", "edge"},
    "commands": {"config", "commands"},
}
IO_FLOORS = {"stores", "identity", "judges", "encoders", "upstream", "edge", "commands"}
IO_FILES = {"core/pipeline.py"}
IO_MODULES = {"asyncio", "aiohttp", "redis", "socket", "ssl", "time", "random", "threading"}
BROAD = {"core/pipeline.py", "reload.py"}

files = sorted(ROOT.rglob("*.py"))
floors = [p for p in files if p.parent != ROOT]
each_file = pytest.mark.parametrize("path", files, ids=lambda p: str(p.relative_to(ROOT)))
each_floor = pytest.mark.parametrize("path", floors, ids=lambda p: str(p.relative_to(ROOT)))


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node, node.module or "."
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)


@each_floor
def test_file_imports_only_what_its_floor_may(path):
    where = path.relative_to(ROOT)
    floor = where.parts[0]
    pure = floor not in IO_FLOORS and str(where) not in IO_FILES
    for node, name in imports(ast.parse(path.read_text())):
        top, _, rest = name.partition(".")
        if top == "proxy":
            parts = rest.split(".")
            reached = {".".join(parts[:i]) for i in range(1, len(parts) + 1)}
            assert reached & MAY_IMPORT[floor], (
                f"{where}:{node.lineno}: {floor} may not import {name}"
            )
        elif pure:
            assert top not in IO_MODULES, f"{where}:{node.lineno}: pure, yet imports {top}"


def test_no_policy_imports_another():
    for path in (ROOT / "policies").glob("*.py"):
        for node, name in imports(ast.parse(path.read_text())):
            assert not name.startswith("proxy.policies"), f"{path.name}:{node.lineno}: {name}"


def test_there_is_no_import_cycle():
    graph = {}
    for path in files:
        where = path.relative_to(ROOT)
        module = ".".join(("proxy", *where.with_suffix("").parts)).removesuffix(".__init__")
        names = {name for _, name in imports(ast.parse(path.read_text()))}
        graph[module] = {n for n in names if n.startswith("proxy")}
    done, path_now = set(), []

    def visit(module):
        assert module not in path_now, " -> ".join([*path_now, module])
        if module in done or module not in graph:
            return
        path_now.append(module)
        for name in graph[module]:
            visit(name)
        path_now.pop()
        done.add(module)

    for module in graph:
        visit(module)


@each_file
def test_imports_are_absolute_and_at_the_top(path):
    tree = ast.parse(path.read_text())
    for node, name in imports(tree):
        assert not getattr(node, "level", 0), f"{path}:{node.lineno}: write {name} out"
        assert node in tree.body, f"{path}:{node.lineno}: import {name} at the top"


@each_file
def test_file_is_one_sitting_long(path):
    assert len(path.read_text().splitlines()) <= 300


@each_file
def test_functions_are_short_and_nothing_is_global(path):
    where = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Global), f"{where}:{node.lineno}: global"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno
            assert length <= 60, f"{where}:{node.lineno}: {node.name} has {length} lines"
        if isinstance(node, ast.ExceptHandler) and where not in BROAD:
            name = node.type.id if isinstance(node.type, ast.Name) else ""
            reraises = any(isinstance(n, ast.Raise) for n in node.body)
            assert name != "Exception", f"{where}:{node.lineno}: except Exception"
            assert name != "BaseException" or reraises, f"{where}:{node.lineno}: swallows all"


def test_few_modules_know_of_the_event_loop():
    names = [
        str(p.relative_to(ROOT))
        for p in files
        if any(
            n.partition(".")[0] in ("asyncio", "socket")
            for _, n in imports(ast.parse(p.read_text()))
        )
    ]

    assert len(names) <= len(files) / 4, names
