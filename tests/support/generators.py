"""The generators of packaging/generate.py, which is not part of the package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_PATH = Path(__file__).parents[2] / "packaging" / "generate.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


_GENERATORS = _load()


def manual() -> str:
    """Return the manual page."""
    text: str = _GENERATORS.manual()
    return text


def generated_files() -> dict[str, str]:
    """Return every generated file, by its path."""
    return dict(_GENERATORS.generated_files())
