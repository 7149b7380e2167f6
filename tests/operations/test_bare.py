"""``make`` on a bare machine: the Python that it takes, and how ``make bare`` builds such a machine."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FIND = ROOT / "packaging" / "python.sh"

PYTHON = """\
#!/bin/sh
[ "$1" = -c ] || exit 1
exec {python} -c "import sys
sys.version_info = {version}
for name in {without}: sys.modules[name] = None
$2"
"""
"""An interpreter of another version, perhaps without some modules."""

SHIM = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"

Make = Callable[..., subprocess.CompletedProcess[str]]


def versions() -> list[str]:
    """The versions in the Makefile, newest first."""
    found = re.search(r"^TESTED := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture
def find(tmp_path: Path) -> Make:
    """Let the Makefile's script look for an interpreter where nothing but what a test puts there is."""

    def run(*names: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(FIND), *names],
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def install(place: Path, name: str, *, version: tuple[int, int], without: tuple[str, ...] = ()) -> None:
    program = place / name
    program.write_text(PYTHON.format(python=sys.executable, version=version, without=without))
    program.chmod(0o755)


def test_first_named_interpreter_is_found(tmp_path: Path, find: Make) -> None:
    install(tmp_path, "python3.13", version=(3, 13))
    install(tmp_path, "python3.11", version=(3, 11))
    assert find("python3.13", "python3.12", "python3.11", "python3").stdout == "python3.13\n"


def test_next_interpreter_is_found_when_one_is_missing(tmp_path: Path, find: Make) -> None:
    install(tmp_path, "python3.11", version=(3, 11))
    assert find("python3.13", "python3.12", "python3.11", "python3").stdout == "python3.11\n"


def test_next_interpreter_is_found_when_one_has_no_venv(tmp_path: Path, find: Make) -> None:
    install(tmp_path, "python3.13", version=(3, 13), without=("ensurepip",))
    install(tmp_path, "python3.12", version=(3, 12), without=("venv",))
    install(tmp_path, "python3.11", version=(3, 11))
    assert find("python3.13", "python3.12", "python3.11", "python3").stdout == "python3.11\n"


def test_next_interpreter_is_found_when_one_is_a_shim_that_fails(tmp_path: Path, find: Make) -> None:
    (tmp_path / "python3.13").write_text(SHIM)
    (tmp_path / "python3.13").chmod(0o755)
    install(tmp_path, "python3", version=(3, 14))
    assert find("python3.13", "python3").stdout == "python3\n"


@pytest.mark.parametrize(("version", "without"), [((3, 10), ()), ((3, 13), ("ensurepip",))])
def test_one_line_names_the_package_when_no_interpreter_is_usable(
    tmp_path: Path, find: Make, version: tuple[int, int], without: tuple[str, ...]
) -> None:
    install(tmp_path, "python3", version=version, without=without)
    done = find("python3.13", "python3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "apt install python3-venv" in done.stderr


def test_make_names_the_package_when_no_interpreter_is_usable(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "setup", f"VENV={tmp_path / 'venv'}", "PYTHON=python2.0"],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
    )
    assert done.returncode == 2
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_classifiers_and_readme_name_the_versions() -> None:
    tested = versions()
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    prefix = "Programming Language :: Python :: 3."
    assert [f"{prefix}{version[2:]}" for version in reversed(tested)] == [
        name for name in classifiers if name.startswith(prefix)
    ]
    *first, last = reversed(tested)
    assert f"Python {', '.join(first)} and {last}" in (ROOT / "README.md").read_text()


# make bare


@pytest.fixture(scope="module")
def bare() -> ModuleType:
    """``packaging/bare.py`` as a module."""
    spec = spec_from_file_location("bare", ROOT / "packaging" / "bare.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mirror_is_the_debian_archive_that_apt_uses(bare: ModuleType) -> None:
    targets = (
        "Docker CE https://download.example/linux/debian\n"
        "Debian Debian-Security http://mirror.example/debian-security/\n"
        "Debian Debian http://mirror.example/debian/\n"
        "Debian Debian http://other.example/debian/\n"
    )
    assert bare.mirror_in(targets) == "http://mirror.example/debian/"


def test_mirror_is_unknown_when_apt_has_no_debian_archive(bare: ModuleType) -> None:
    assert bare.mirror_in("Ubuntu Ubuntu http://archive.example/ubuntu/\n") is None
    assert bare.mirror_in("") is None


def test_mirror_is_the_first_of_a_list_of_mirrors(bare: ModuleType, tmp_path: Path) -> None:
    listed = tmp_path / "debian.list"
    listed.write_text("https://one.example/debian\nhttps://two.example/debian\n")
    assert bare.mirror_in(f"Debian Debian mirror+file:{listed}/\n") == "https://one.example/debian"


def test_settings_of_pip_become_one_file_in_which_the_environment_wins(bare: ModuleType) -> None:
    settings = bare.settings_in(
        ":env:.index-url='https://environment.example/simple'\n"
        "global.index-url='https://file.example/simple'\n"
        "global.find-links='\\n/wheels\\nhttps://links.example'\n"
        "install.require-hashes='true'\n"
    )
    assert settings.get("global", "index-url") == "https://environment.example/simple"
    assert settings.get("global", "find-links").split() == ["/wheels", "https://links.example"]
    assert settings.get("install", "require-hashes") == "true"


def test_local_paths_are_those_that_exist_here(bare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    found = bare.local_paths(
        [("find-links", f"file://{tmp_path}/wheels https://links.example {tmp_path}/gone")]
    )
    assert found == [f"{tmp_path}/wheels"]


def test_local_path_of_an_index_is_the_directory_above(bare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "simple").mkdir()
    urls = f"https://index.example/simple file://{tmp_path}/simple"
    assert bare.local_paths([("extra-index-url", urls), ("index-url", "/simple")]) == [str(tmp_path)]


def test_network_of_an_environment_has_proxies_and_not_ci(bare: ModuleType) -> None:
    environment = {"HTTPS_PROXY": "http://proxy.example", "no_proxy": "localhost", "CI": "true", "HOME": "/"}
    assert bare.network_of(environment) == {"HTTPS_PROXY": "http://proxy.example", "no_proxy": "localhost"}
