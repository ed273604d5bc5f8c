"""What importing costs: the frameworks, which take seconds, are imported when they are needed and not before."""

import importlib
import subprocess
import sys

import pytest

import rainbownet

FRAMEWORKS = "{'keras', 'tensorflow', 'tf_keras', 'jax', 'torch', 'sklearn', 'skimage', 'matplotlib'}"


def run(script):
    """Runs a script in a fresh process and gives what it printed."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_no_framework():
    assert run(f"import sys, rainbownet; print({FRAMEWORKS} & set(sys.modules))").strip() == "set()"


def test_help_imports_no_framework():
    script = f"""
import sys
from rainbownet.cli import main
sys.argv = ["rainbownet", "--help"]
try:
    code = main()
except SystemExit as end:
    code = end.code
print("code", code or 0)
print({FRAMEWORKS} & set(sys.modules))
"""
    *text, code, imported = run(script).splitlines()
    assert imported == "set()"
    assert code == "code 0" and any("colorize" in line for line in text)


def test_a_model_loads_where_nothing_but_its_loader_was_imported(tmp_path):
    # Keras restores a codec only after the module that registers it was imported.
    path = tmp_path / "model.keras"
    rainbownet.systems.get("rainbownet", size=16, filters=2).model().save(path)
    script = f"from rainbownet import color_model; print(color_model.load({str(path)!r}).codec.outputs)"
    assert run(script).splitlines()[-1] == "112"


@pytest.mark.parametrize("name", rainbownet.__all__)
def test_every_public_name_is_there(name):
    assert getattr(rainbownet, name) is not None
    assert name in dir(rainbownet)


def test_names_and_submodules_are_the_same_objects_by_every_way():
    assert rainbownet.color is importlib.import_module("rainbownet.color")
    assert rainbownet.ab_112 is importlib.import_module("rainbownet.buckets").ab_112


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'rainbownet' has no attribute 'colour'"):
        rainbownet.colour  # noqa: B018
