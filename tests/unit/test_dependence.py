"""The order in which the packages may depend on each other, walked from the imports themselves."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "shared" / "headgate"

# Later may import earlier, never the other way round.
CORE = {"conversation", "events", "fold", "losses", "errors", "usage", "tokens"} | {
    "text_tokens",
    "token_rates",
    "media_tokens",
}
ORDER = ["core", "protocols", "providers", "catalog", "routing", "web"]
# These stand beside the chain: they may use the core (and what is listed), and only web, cli joins them.
BESIDE = {"storage": {"core", "settings"}, "access": {"core", "settings", "storage"}}
ANYONE = {"settings", "observe"}
PROTOCOLS = {path.name for path in (PACKAGE / "protocols").iterdir() if path.is_dir() and path.name[0] != "_"}
NO_INPUT_OR_OUTPUT = {"httpx", "boto3", "botocore", "socket", "asyncio", "http", "threading", "os"}


def layer(module: str) -> str:
    first = module.split(".")[1] if "." in module else "__init__"
    return "core" if first in CORE else first


def imports() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in PACKAGE.rglob("*.py"):
        here = ".".join(("headgate", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found += [(here, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{here}: relative import"
                found.append((here, node.module or ""))
    return found


def forbidden(source: str, target: str) -> bool:
    from_layer, to_layer = layer(source), layer(target)
    if from_layer == to_layer or to_layer in ANYONE | {"__init__"} or from_layer in ("cli", "__main__"):
        return False
    if from_layer in ANYONE:
        return True
    if from_layer in BESIDE:
        return to_layer not in BESIDE[from_layer]
    if to_layer in BESIDE:
        return from_layer != "web"
    return ORDER.index(to_layer) > ORDER.index(from_layer)


def test_no_import_runs_against_the_order():
    ours = [(source, target) for source, target in imports() if target.startswith("headgate")]
    assert len(ours) > 50
    assert [pair for pair in ours if forbidden(*pair)] == []


def test_the_rule_would_notice():
    assert forbidden("headgate.conversation", "headgate.protocols.sse")
    assert forbidden("headgate.protocols.messages.relay", "headgate.catalog.catalog")
    assert forbidden("headgate.storage.turns", "headgate.web.call")
    assert not forbidden("headgate.web.call", "headgate.storage.turns")


def test_protocols_do_not_know_each_other_and_do_no_input_or_output():
    for source, target in imports():
        if layer(source) not in ("core", "protocols"):
            continue
        assert target != "urllib.request" and target.split(".")[0] not in NO_INPUT_OR_OUTPUT, (
            f"{source} imports {target}"
        )
        parts, others = source.split("."), target.split(".")
        if len(parts) > 2 and parts[2] in PROTOCOLS and target.startswith("headgate.protocols."):
            assert others[2] == parts[2] or others[2] not in PROTOCOLS, f"{source} imports {target}"


def test_only_the_named_modules_touch_the_network():
    allowed = (
        "headgate.routing.transport",
        "headgate.routing.media",
        "headgate.storage",
        "headgate.cli",
        "headgate.providers.auth",
    )
    for source, target in imports():
        if target.split(".")[0] in ("httpx", "boto3", "botocore", "socket"):
            assert source.startswith(allowed), f"{source} imports {target}"
