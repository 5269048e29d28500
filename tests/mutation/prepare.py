"""Copy what mutation testing needs into an empty folder, with every rule a plain function there.

mutmut changes no function that has a decorator, and a cache would answer for a mutant with what the function
said before. So `@lru_cache` goes, and `@property` becomes a line behind the method; both leave what the rules
do as it was.
"""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

COPIED = ("conftest.py", "fake_runner", "pyproject.toml", "src", "tests")
"""What the tests of the rules need of the repository."""


def plain(source: str) -> str:
    """The source of a module whose functions are decorated by neither `property` nor `lru_cache`."""
    lines = source.splitlines()
    # From the end, so that what comes and goes moves nothing that is still to be done.
    for function in sorted(decorated(ast.parse(source)), key=lambda function: function.lineno, reverse=True):
        (decorator,) = function.decorator_list
        if name_of(decorator) == "property":
            assert function.end_lineno
            indentation = " " * function.col_offset
            lines.insert(function.end_lineno, f"{indentation}{function.name} = property({function.name})")
        del lines[decorator.lineno - 1]
    return "\n".join([*lines, ""])


def decorated(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a module and of its classes that have no decorator but one that is to go."""
    scopes: list[ast.Module | ast.ClassDef] = [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]
    functions = (node for scope in scopes for node in scope.body if isinstance(node, ast.FunctionDef))
    for function in functions:
        if [name_of(each) for each in function.decorator_list] in (["property"], ["lru_cache"]):
            yield function


def name_of(decorator: ast.expr) -> str:
    """What a decorator is called, with arguments or without."""
    return ast.unparse(decorator).partition("(")[0]


def prepare(repository: Path, folder: Path) -> None:
    """Copy the repository's files that matter, and make the modules of the package plain."""
    for name in COPIED:
        copied = shutil.copytree if (repository / name).is_dir() else shutil.copy2
        copied(repository / name, folder / name)
    for module in sorted((folder / "src" / "pytest_gpudiscover").rglob("*.py")):
        module.write_text(plain(module.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    prepare(*map(Path, sys.argv[1:]))
