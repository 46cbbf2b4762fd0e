"""Builds the layers and functions that ``template.yaml`` deploys. Standard library and pip only, no container.

Two things decide how fast a new execution environment answers, and both are settled here: how little is shipped
(botocore's wheel alone carries the models of every AWS service, 22 MB), and whether it is compiled. ``/opt`` and
``/var/task`` are read-only, so Python can never cache bytecode there: without ``.pyc`` every cold start compiles
everything again, at more than twice the import time.

usage: build.py dependencies --architecture arm64|x86_64 SOURCE OUTPUT
       build.py runtime|product|function SOURCE OUTPUT
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

RUNTIME_VERSION = "3.13"
"""Python's minor version of the functions' runtime. Bytecode and compiled wheels fit no other."""

MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
"""Lambda's architecture names to those in wheel tags."""

AWS_SERVICES = ("dynamodb", "s3", "ssm", "sts")
"""The services whose models botocore keeps. A client for any other one fails with ``UnknownServiceError``."""

UNUSED = ("cffi", "pyasn1", "pyasn1_modules", "pycparser")
"""Packages that others require and no request reaches: google-auth takes the first of two RSA implementations, which is
cryptography's own, and that needs of cffi only its compiled half, which lies beside the package."""

_LEFT_OUT_DIRECTORIES = ("test", "tests", "examples", "bin", "__pycache__")
_LEFT_OUT_SUFFIXES = (".pyi", ".pyx", ".pxd", ".c", ".h")
# importlib.metadata reads these two at run time (versions; opentelemetry finds its context class by entry point).
_METADATA_KEPT = ("METADATA", "entry_points.txt", "licenses", "LICENSE", "NOTICE")


class BuildError(Exception):
    """The build cannot be done here; the message says what is missing."""


def build_dependencies(source: Path, output: Path, architecture: str) -> None:
    """Install the locked requirements of ``source`` for the target's platform, then leave out what never runs."""
    target = output / "python"
    machine = MACHINES[architecture]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    # The lock names every package, and pip would resolve markers against the Python that runs it, not the target's.
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", RUNTIME_VERSION]
    for manylinux in ("manylinux_2_34", "manylinux_2_28", "manylinux2014"):  # Amazon Linux 2023 has glibc 2.34
        command += ["--platform", f"{manylinux}_{machine}"]
    command += ["--target", str(target), "--requirement", str(source / "requirements.txt")]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        raise BuildError(f"{sys.executable} has no pip; set PYTHON to a Python 3 that has it")
    if subprocess.run(command).returncode:
        raise BuildError("pip could not install the locked requirements")
    prune_packages(target)
    prune_botocore(target / "botocore", AWS_SERVICES)
    drop_packages(target, UNUSED)
    shutil.rmtree(target / "boto3" / "data")  # resource descriptions: `boto3.resource` is not used
    compile_tree(output, "/opt")


def build_runtime(source: Path, output: Path) -> None:
    """The exec wrapper at the layer's top (``/opt/headgate-runtime``) and its package under ``/opt/python``."""
    output.mkdir(parents=True, exist_ok=True)
    wrapper = output / "headgate-runtime"
    shutil.copyfile(source / "headgate-runtime", wrapper)
    wrapper.chmod(0o755)  # a checkout on a file system without modes loses it, and Lambda then cannot start
    _copy_sources(source / "headgate_runtime", output / "python" / "headgate_runtime")
    compile_tree(output, "/opt")


def build_product(source: Path, output: Path) -> None:
    """The package ``headgate`` under ``/opt/python``."""
    _copy_sources(source / "headgate", output / "python" / "headgate")
    compile_tree(output, "/opt")


def build_function(source: Path, output: Path) -> None:
    """One function's own few lines."""
    _copy_sources(source, output)
    compile_tree(output, "/var/task")


def prune_packages(target: Path) -> None:
    """Remove tests, type stubs, C sources, scripts and the parts of ``*.dist-info`` that only an installer reads."""
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir():
            if path.name in _LEFT_OUT_DIRECTORIES:
                shutil.rmtree(path)
        elif path.name.endswith(_LEFT_OUT_SUFFIXES):
            path.unlink()
    for directory in target.glob("*.dist-info"):
        for path in directory.iterdir():
            if not path.name.startswith(_METADATA_KEPT):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def drop_packages(target: Path, names: Iterable[str]) -> None:
    """Remove whole packages with what describes them. One that is not there was renamed or is no longer required."""
    for name in names:
        if not (target / name).is_dir():
            raise BuildError(f"the locked requirements have no {name} to leave out")
        for path in (target / name, *target.glob(f"{name}-*.dist-info")):
            shutil.rmtree(path)


def prune_botocore(package: Path, services: Iterable[str]) -> None:
    """Keep the models of ``services`` only, and their entries only in the table of endpoints, which botocore parses
    whole for the first client."""
    kept = set(services)
    data = package / "data"
    missing = kept - {path.name for path in data.iterdir()}
    if missing:
        raise BuildError(f"botocore has no model of {', '.join(sorted(missing))}")
    for path in data.iterdir():
        if path.is_dir() and path.name not in kept:
            shutil.rmtree(path)
    endpoints = data / "endpoints.json"
    table = json.loads(endpoints.read_bytes())
    for partition in table["partitions"]:
        partition["services"] = {name: entry for name, entry in partition["services"].items() if name in kept}
    endpoints.write_text(json.dumps(table, separators=(",", ":")))


def compile_tree(output: Path, mount: str) -> bool:
    """Compile everything under ``output``, which Lambda mounts at ``mount``; False if no matching Python is here.

    Unchecked hashes: the files' times change on the way through a zip, and nothing edits them afterwards. The path
    inside them is the mounted one, so that two builds in two directories give the same layer."""
    python = find_runtime_python()
    if python is None:
        print(f"headgate: no Python {RUNTIME_VERSION} found, so no .pyc is shipped: cold starts are slower", flush=True)
        return False
    command = [python, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    if subprocess.run([*command, "-s", str(output), "-p", mount, str(output)]).returncode:
        raise BuildError("compileall failed")
    return True


def find_runtime_python() -> str | None:
    """A Python of the runtime's minor version that runs (a version manager's shim may be on the path and refuse to)."""
    candidates = [sys.executable, shutil.which(f"python{RUNTIME_VERSION}"), shutil.which("python3")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{RUNTIME_VERSION}.*/bin/python3"))]
    uv = shutil.which("uv")
    if uv:
        found = subprocess.run([uv, "python", "find", "--offline", RUNTIME_VERSION], capture_output=True, text=True)
        candidates.append(found.stdout.strip())
    probe = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    for candidate in candidates:
        if candidate:
            answer = subprocess.run([candidate, "-c", probe], capture_output=True, text=True)
            if answer.returncode == 0 and answer.stdout.split() == [RUNTIME_VERSION, "cpython"]:
                return candidate
    return None


def _copy_sources(source: Path, output: Path) -> None:
    if not source.is_dir():
        raise BuildError(f"{source} is not there")
    shutil.copytree(source, output, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))


def _report(what: str, output: Path) -> None:
    files = [path for path in output.rglob("*") if path.is_file()]
    compiled = sum(path.suffix == ".pyc" for path in files)
    size = sum(path.stat().st_size for path in files)
    print(f"headgate: {what}: {len(files)} files, {size / 1e6:.1f} MB unzipped, {compiled} of them .pyc", flush=True)


def main() -> int:
    """The command line. Exit status 1 with one line of reason where the build cannot be done."""
    parser = argparse.ArgumentParser(description="Build one layer or function of template.yaml.")
    parser.add_argument("what", choices=("dependencies", "runtime", "product", "function"))
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--architecture", choices=tuple(MACHINES), help="for dependencies only")
    arguments = parser.parse_args()
    if (arguments.what == "dependencies") != (arguments.architecture is not None):
        parser.error("--architecture belongs to dependencies, and only to them")
    source, output = arguments.source.resolve(), arguments.output.resolve()
    try:
        match arguments.what:
            case "dependencies":
                build_dependencies(source, output, arguments.architecture)
            case "runtime":
                build_runtime(source, output)
            case "product":
                build_product(source, output)
            case _:
                build_function(source, output)
    except BuildError as error:
        print(f"headgate: {error}", file=sys.stderr)
        return 1
    _report(arguments.what, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
