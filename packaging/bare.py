"""Run ``make demo`` and ``make test`` in a bare Debian that is built for the purpose (``make bare``).

debootstrap builds the root directory from the Debian mirror that this machine's apt uses. The root holds
Debian's minimal system and ``python3 python3-venv make git``, and a copy of this checkout. pip works there
as it is configured here: same index, certificates and proxies. ``CI`` is not set, so tests without their
optional program are skipped. Mounts and processes live in namespaces and end with the run.
"""

import argparse
import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from configparser import RawConfigParser
from pathlib import Path

TOP = Path(__file__).parents[1]
PACKAGES = ("python3", "python3-venv", "make", "git")
CHECKOUT = "root/smki-sync"
"""Where the copy of this checkout lies, below the root directory."""

NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
NETWORK = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Environment variables that say how to reach an index; proxies also in upper case."""

ENTER = """\
set -e
root=$1
shift
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$1"
  mount -o remount,bind,ro "$root$1"
  shift
done
shift
exec chroot "$root" /usr/bin/env -i "$@"
"""
"""Arguments: the root directory, paths to show there read-only, ``--``, then arguments of ``env``."""

WORK = f"cd /{CHECKOUT} && python3 --version && make demo && make test"


def mirror_in(index_targets: str) -> str | None:
    """Return the URL of the Debian archive in lines of ``ORIGIN LABEL URL``, as apt prints them."""
    for line in index_targets.splitlines():
        origin, label, url = line.split(" ", 2)
        if (origin, label) == ("Debian", "Debian"):
            if url.startswith("mirror+file:"):  # a list of mirrors, as in Debian's cloud images
                listed = Path("/" + url.removeprefix("mirror+file:").strip("/")).read_text(encoding="utf-8")
                return listed.split()[0]
            return url
    return None


def mirror_of_apt() -> str:
    """Return the URL of the Debian archive that apt uses on this machine."""
    form = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    mirror = mirror_in(output("apt-get", "indextargets", "--format", form, "Created-By: Packages"))
    if mirror is None:
        sys.exit("apt knows no Debian mirror. Run `apt-get update`, or name one with MIRROR=URL.")
    return mirror


def proxy_of_apt() -> dict[str, str]:
    """Return the HTTP proxy of apt as an environment variable, if it has one."""
    proxy = output("apt-config", "dump", "--format", "%v", "Acquire::http::Proxy").strip()
    return {} if proxy in {"", "DIRECT"} else {"http_proxy": proxy}


def settings_in(config_list: str) -> RawConfigParser:
    """Return the output of ``pip config list`` as one configuration file.

    pip prefers its environment variables (``:env:``) to its files, so they come last.
    """
    settings = RawConfigParser()
    for line in sorted(config_list.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, key = name.replace(":env:", "global").partition(".")
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, key, str(ast.literal_eval(value)))
    return settings


def local_paths(settings: Iterable[tuple[str, str]]) -> list[str]:
    """Return the files and directories of this machine that settings name, as a path or a ``file:`` URL.

    For a package index it is the directory above, because an index usually has its files beside it.
    """
    found = set()
    for name, value in settings:
        for word in value.split():
            path = Path(word.removeprefix("file://"))
            path = path.parent if name.endswith("index-url") else path
            if path.is_absolute() and path != Path("/") and path.exists():
                found.add(str(path))
    return sorted(found)


def network_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say how to reach an index."""
    names = {*NETWORK, *(name.upper() for name in NETWORK)}
    return {name: value for name, value in environment.items() if name in names}


def output(*command: str) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=TOP).stdout


def build(root: Path, suite: str, mirror: str) -> None:
    """Make the root directory with debootstrap."""
    with_packages = ("--variant=minbase", f"--include={','.join(PACKAGES)}")
    command = [*NAMESPACES, "debootstrap", *with_packages, suite, str(root), mirror]
    with (root.parent / "debootstrap.log").open("w+") as log:
        environment = {**proxy_of_apt(), **os.environ}
        if subprocess.run(command, check=False, stdout=log, stderr=log, env=environment).returncode:
            log.seek(0)
            sys.exit(f"debootstrap failed:\n{log.read()[-4000:]}")


def copy_checkout(target: Path) -> None:
    """Copy the files of this checkout: those that git knows, as they are now, and new ones."""
    known = output("git", "-c", f"safe.directory={TOP}", "ls-files", "-zco", "--exclude-standard")
    for name in filter(None, known.split("\0")):
        if (TOP / name).exists() or (TOP / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, target / name, follow_symlinks=False)


def prepare(root: Path) -> list[str]:
    """Write what the network and pip need into the root directory; return the paths to show in it."""
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    settings = settings_in(output(sys.executable, "-m", "pip", "config", "list"))
    with (root / "etc/pip.conf").open("w", encoding="utf-8") as file:
        settings.write(file)
    named = [item for section in settings.sections() for item in settings.items(section)]
    paths = local_paths([*named, *network_of(os.environ).items()])
    for path in paths:
        place = root / path.lstrip("/")
        if Path(path).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    return paths


def run(root: Path, paths: list[str]) -> int:
    """Run both commands in the root directory and return the exit code."""
    variables = {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **network_of(os.environ)}
    environment = [f"{name}={value}" for name, value in variables.items()]
    inside = [str(root), *paths, "--", *environment, "sh", "-c", WORK]
    return subprocess.run([*NAMESPACES, "sh", "-c", ENTER, "sh", *inside], check=False).returncode


def main() -> int:
    """Build the root directory, run both commands in it, and remove it."""
    parser = argparse.ArgumentParser(description="Run make demo and make test in a bare Debian.")
    parser.add_argument("suite", nargs="?", default="trixie", help="Debian release (default: trixie)")
    parser.add_argument("--mirror", help="Debian mirror (default: the one that apt uses)")
    parser.add_argument("--keep", action="store_true", help="keep the root directory")
    options = parser.parse_args()
    if os.geteuid():
        sys.exit("make bare needs root.")
    for program in ("debootstrap", "git"):
        if not shutil.which(program):
            sys.exit(f"{program} was not found. Install it: apt install {program}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, as after Ctrl-C
    begun = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="smki-sync-bare-", dir=os.environ.get("TMPDIR", "/var/tmp")))  # noqa: S108 - made by mkdtemp
    root = place / "root"
    try:
        mirror = options.mirror or mirror_of_apt()
        print(f"Building a bare Debian {options.suite} from {mirror} in {root}", flush=True)
        build(root, options.suite, mirror)
        copy_checkout(root / CHECKOUT)
        code = run(root, prepare(root))
    finally:
        if not options.keep:
            shutil.rmtree(place)
    result = "passed" if code == 0 else f"failed with exit code {code}"
    print(f"Bare Debian {options.suite}: {result} after {time.monotonic() - begun:.0f} seconds", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
