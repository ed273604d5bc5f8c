"""The rules of the house, see docs/architecture.md: held by reading the imports, without running the modules."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent

# A module imports only what stands before it. Within a package of `FOLDERS` the order is free, but nothing goes in a
# circle.
ORDER = (
    "color",
    "buckets",
    "priors",
    "codecs",
    "losses",
    "models",
    "embedding",
    "color_model",
    "systems",
    "damage",
    "data",
    "upsampling",
    "presets",
    "colorizer",
    "evaluation",
    "training",
    "export",
    "cli",
)
FOLDERS = ("models", "data", "evaluation")
# Who may import tensorflow at all; embedding only inside the functions that need it.
TENSORFLOW_ROOM = {"data", "export", "embedding"}
# What stands on top of the package and is never imported by it.
OUTSIDE = ("data_prep", "experiments", "benchmarks", "tests")


def modules(folder):
    """Python files under a folder of the checkout, by dotted name."""
    names = {}
    for path in sorted((CHECKOUT / folder).rglob("*.py")):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


PACKAGE = modules("rainbownet")
SCRIPTS = {name: path for folder in OUTSIDE[:3] for name, path in modules(folder).items()}


def imports(source, module, is_package=False, known=frozenset()):
    """What a source imports: a list of (dotted name, whether at the top, outside of all functions).

    `from a import b` gives "a.b" where `known` has that module, and otherwise "a:b": the name b of the module a. As the
    package imports its modules when they are first used, `import rainbownet` gives what is used of it.
    """
    tree = ast.parse(source)
    lazy = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for inner in ast.walk(outer)
    }
    found = []

    def add(origin, name, node):
        submodule = f"{origin}.{name}"
        found.append((submodule if submodule in known else f"{origin}:{name}", node not in lazy))

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in lazy) for alias in node.names if alias.name != "rainbownet"]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                home = module.split(".")[: len(module.split(".")) - node.level + is_package]
                origin = ".".join([*home, *filter(None, [node.module])])
            for alias in node.names:
                add(origin, alias.name, node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rainbownet":
            add("rainbownet", node.attr, node)
    return found


def imports_of(module):
    path = {**PACKAGE, **SCRIPTS}[module]
    return imports(path.read_text("utf-8"), module, path.name == "__init__.py", PACKAGE.keys())


def top(name):
    return re.split("[.:]", name)[0]


def room(module):
    """The part of the package that a module belongs to: "data" for rainbownet.data.files."""
    return re.split("[.:]", module)[1]


INNER = [module for module in PACKAGE if module != "rainbownet"]


def test_imports_are_read_wherever_they_stand():
    source = """
import a.b
from rainbownet import color, ab_112
from .files import read
def f():
    from .. import cli
    import rainbownet
    return rainbownet.color.luminance
"""
    assert imports(source, "rainbownet.data.photos", known={"rainbownet.color", "rainbownet.cli"}) == [
        ("a.b", True),
        ("rainbownet.color", True),
        ("rainbownet:ab_112", True),
        ("rainbownet.data.files:read", True),
        ("rainbownet.cli", False),
        ("rainbownet.color", False),
    ]
    assert imports("from . import files", "rainbownet.data", True) == [("rainbownet.data:files", True)]


def test_every_module_has_its_place_in_the_order():
    assert {room(module) for module in INNER} <= set(ORDER)


@pytest.mark.parametrize("module", INNER)
def test_imports_go_one_way(module):
    place = ORDER.index(room(module))
    for name, _ in imports_of(module):
        if top(name) == "rainbownet" and name != "rainbownet:__version__":
            assert not name.startswith("rainbownet:"), (
                f"{module} must import what it needs from the module that defines it, not {name}"
            )
            assert ORDER.index(room(name)) < place or room(name) == room(module) in FOLDERS, (
                f"{module} must not import {name}, which stands after it"
            )


@pytest.mark.parametrize("package", FOLDERS)
def test_nothing_goes_in_a_circle(package):
    package = f"rainbownet.{package}"
    # The package itself stands for its __init__.py, which imports its modules and is imported by none of them.
    waiting = {
        module: {name.split(":")[0] for name, _ in imports_of(module)} & (PACKAGE.keys() - {module})
        for module in PACKAGE
        if module == package or module.startswith(f"{package}.")
    }
    while free := [module for module, needs in waiting.items() if not needs & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert not waiting, f"these import each other in a circle: {', '.join(waiting)}"


@pytest.mark.parametrize("module", INNER)
def test_tensorflow_stays_in_its_room(module):
    for name, at_top in imports_of(module):
        if top(name) in ("tensorflow", "tensorflow_hub", "tf_keras"):
            assert room(module) in TENSORFLOW_ROOM, f"{module} must be pure keras.ops, but imports {name}"
            assert not (at_top and room(module) == "embedding"), f"{module} must import {name} where it is needed only"


@pytest.mark.parametrize("module", PACKAGE)
def test_the_package_knows_nothing_of_what_stands_on_it(module):
    assert not {top(name) for name, _ in imports_of(module)} & set(OUTSIDE)


@pytest.mark.parametrize("module", SCRIPTS)
def test_scripts_use_public_names_only(module):
    for name, _ in imports_of(module):
        if top(name) == "rainbownet":
            assert not any(part.startswith("_") and part != "__version__" for part in re.split("[.:]", name)), (
                f"{module} must use public names only, but imports {name}"
            )
