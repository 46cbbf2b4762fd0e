"""How the runtime starts, fails to start, is restored and is wrapped."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.runtime.support import FUNCTIONS, LAYER, Scripted, http_event, running

WRAPPER = LAYER / "headgate-runtime"


@pytest.mark.parametrize(
    ("function", "handler", "kind", "words"),
    [
        ("importing", "app.handler", "Runtime.ImportModuleError", "a_module_that_is_not_there"),
        ("starting", "app.handler", "Runtime.StartupFailed", "no table named headgate"),
        ("plain", "nowhere.handler", "Runtime.ImportModuleError", "nowhere"),
        ("plain", "handler", "Runtime.MalformedHandlerName", "handler"),
        ("handling", "app.other", "Runtime.HandlerNotFound", "'other'"),
    ],
)
async def test_a_failed_start_is_reported_and_ends_the_process(function, handler, kind, words):
    api = Scripted([])
    async with running(api, function, _HANDLER=handler) as process:
        assert process.returncode == 1
    (report,) = api.received
    assert report.path == "/init/error"
    assert report.headers["Lambda-Runtime-Function-Error-Type"] == kind
    fault = json.loads(report.body)
    assert fault["errorType"] == kind
    assert words in fault["errorMessage"]


async def test_restore_comes_after_the_start_and_runs_the_hooks_in_order():
    api = Scripted([http_event("/")])
    async with running(api, "restoring", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start"):
        assert [request.path for request in api.received[:2]] == ["/restore/next", "/invocation/next"]
        log = json.loads(api.responses()[0].body.partition(bytes(8))[2])
    assert log == ["imported", "registered hook", "hook on the application"]


async def test_without_a_snapshot_no_hook_runs():
    api = Scripted([http_event("/")])
    async with running(api, "restoring"):
        assert json.loads(api.responses()[0].body.partition(bytes(8))[2]) == ["imported"]


async def test_a_failed_restore_is_reported_and_ends_the_process():
    api = Scripted([])
    variables = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "FAIL_RESTORE": "1"}
    async with running(api, "restoring", **variables) as process:
        assert process.returncode == 65
    assert [request.path for request in api.received] == ["/restore/next", "/restore/error"]
    assert api.received[1].headers["Lambda-Runtime-Function-Error-Type"] == "Runtime.AfterRestoreError"
    assert json.loads(api.received[1].body)["errorMessage"] == "nothing to connect to"


async def test_a_runtime_api_that_is_gone_ends_the_process():
    api = Scripted([])
    async with running(api, AWS_LAMBDA_RUNTIME_API="127.0.0.1:9") as process:
        assert process.returncode not in (0, None)


@pytest.mark.parametrize("switch", [{"AWS_SAM_LOCAL": "true"}, {"HEADGATE_STOCK_RUNTIME": "1"}])
def test_the_wrapper_steps_aside_for_the_stock_runtime(switch, tmp_path):
    script = "import json, sys; print(json.dumps([sys.argv, sys.path]))"
    stock = tmp_path / "stock runtime.py"
    stock.write_text(script)
    ran = subprocess.run(
        [WRAPPER, sys.executable, stock, "app.handler"],
        env={"LAMBDA_TASK_ROOT": "/code", "PYTHONPATH": "/before", **switch},
        capture_output=True,
        check=True,
    )
    argv, path = json.loads(ran.stdout)
    assert argv == [str(stock), "app.handler"]
    wanted = ["/code", "/opt/python", f"{LAYER}/python", str(LAYER), "/before"]
    assert [entry for entry in path if entry in wanted] == wanted


def test_the_wrapper_runs_ours_otherwise(tmp_path):
    # The interpreter is a stand-in that shows how it was called.
    fake = tmp_path / "python"
    fake.write_text('#!/bin/bash\necho "$@"\n')
    fake.chmod(0o755)
    ran = subprocess.run([WRAPPER, fake, "/var/runtime/bootstrap.py"], env={}, capture_output=True, check=True)
    assert ran.stdout.decode().split() == ["-P", "-m", "headgate_runtime"]


def test_the_wrapper_needs_an_interpreter():
    ran = subprocess.run([WRAPPER], env={}, capture_output=True)
    assert ran.returncode == 2
    assert b"usage" in ran.stderr


def test_the_product_can_be_imported_without_the_layer():
    code = "import sys; sys.path[:] = [p for p in sys.path if 'layers' not in p]; import headgate; print(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(LAYER.parent.parent / "shared")}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, cwd=FUNCTIONS)
    assert b"headgate_runtime" not in ran.stdout


def test_hooks_can_be_forgotten():
    from headgate_runtime import hooks

    hooks.on_restore(print)
    assert print in hooks.registered()
    hooks.clear()
    assert hooks.registered() == []
