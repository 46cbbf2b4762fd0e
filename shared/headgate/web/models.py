"""``GET /v1/models`` and below, ``GET /v1/providers``: what this gateway can reach now. No key needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from headgate.catalog.catalog import Model, Route, split_name
from headgate.catalog.filters import matching, read_filters
from headgate.catalog.views import detail, listing, provider_detail
from headgate.errors import not_found
from headgate.providers.auth import Access
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.rows import PROVIDERS, find_provider
from headgate.providers.table import Provider
from headgate.web.services import Services

# Not arguments of the functions: for those FastAPI imports the whole of pydantic.v1, 4 % of a cold start.
router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> JSONResponse:
    """Every model with a configured provider, newest first; dot paths filter. Paging parameters of either vendor
    (``limit``, ``after_id`` …) are accepted; the list always comes whole."""
    services, offered = await _offered(request)
    filters = read_filters(request.query_params.multi_items())
    return JSONResponse(listing(matching(offered, filters, services.catalog)))


@router.get("/v1/providers")
@router.get("/v1/models/providers")
async def list_providers(request: Request) -> JSONResponse:
    """The configured providers with their aliases."""
    services: Services = request.app.state.services
    configured = await _configured(services)
    return JSONResponse([_provider(row) for slug, row in PROVIDERS.items() if slug in configured])


@router.get("/v1/models/providers/{provider}/models")
async def list_provider_models(request: Request) -> JSONResponse:
    """The models that one provider offers. Raises 404."""
    _, offered = await _offered(request)
    row = await _named_provider(request)
    return JSONResponse(listing([model for model in offered if _at(model, row) is not None]))


@router.get("/v1/models/authors/{author}")
async def list_author_models(request: Request) -> JSONResponse:
    """The models of one author. Raises 404."""
    _, offered = await _offered(request)
    author = request.path_params["author"].lower()
    models = [model for model in offered if model.author == author]
    if not models:
        raise not_found(f"There is no model of an author '{author}'.", code="author_not_found", param="author")
    return JSONResponse(listing(models))


@router.get("/v1/models/{name:path}/providers/{provider}")
async def get_model_at_provider(request: Request) -> JSONResponse:
    """One provider's offer of a model. Raises 404."""
    _, model = await _named_model(request)
    row = await _named_provider(request)
    route = _at(model, row)
    if route is None:
        providers = ", ".join(each.provider for each in model.routes)
        raise not_found(
            f"The model '{model.slug}' is not offered by provider '{row.slug}'; it is by: {providers}.",
            code="model_not_found",
            param="provider",
        )
    return JSONResponse(provider_detail(route))


@router.get("/v1/models/{name:path}")
async def get_model(request: Request) -> JSONResponse:
    """One model by slug, alias or ``provider/slug``; ``auto`` is the pool's first. Raises 404."""
    services, model = await _named_model(request)
    return JSONResponse(detail(model, services.catalog))


async def _offered(request: Request) -> tuple[Services, list[Model]]:
    """Every model that can be reached, with the routes on which it can."""
    services: Services = request.app.state.services
    await services.refresh_catalog()
    configured = await _configured(services)
    reached = (_reached(model, configured) for model in services.catalog)
    return services, [model for model in reached if model.routes]


async def _named_model(request: Request) -> tuple[Services, Model]:
    name = request.path_params["name"]
    services: Services = request.app.state.services
    await services.refresh_catalog()
    model = _find(services, name)
    model = _reached(model, await _configured(services)) if model is not None else None
    if model is None or not model.routes:
        raise not_found(f"The model '{name}' does not exist.", code="model_not_found", param="model")
    return services, model


async def _named_provider(request: Request) -> Provider:
    name = request.path_params["provider"]
    services: Services = request.app.state.services
    row = find_provider(name)
    if row is None or row.slug not in await _configured(services):
        known = "is not configured on this gateway" if row else "does not exist"
        raise not_found(f"The provider '{name}' {known}.", code="provider_not_found", param="provider")
    return row


def _find(services: Services, name: str) -> Model | None:
    if name == "auto":
        return services.catalog.find(services.catalog.auto[0]) if services.catalog.auto else None
    return services.catalog.find(name) or services.catalog.find(split_name(name)[1])


def _reached(model: Model, configured: Mapping[str, Sequence[Access]]) -> Model:
    """The model with the routes on which one of the credentials reaches it, each as the first of them does."""
    routes: list[Route] = []
    for route in model.routes:
        accesses = (access for access in configured.get(route.provider, ()) if _spoken(route, access))
        found = next((at for access in accesses if (at := route.at(access)) is not None), None)
        if found is not None:
            routes.append(found)
    return replace(model, routes=tuple(routes))


def _spoken(route: Route, access: Access) -> bool:
    return not route.protocols or any(protocol in access.protocols for protocol in route.protocols)


def _at(model: Model, row: Provider) -> Route | None:
    return next((route for route in model.routes if route.provider == row.slug), None)


def _provider(row: Provider) -> dict[str, Any]:
    return {"slug": row.slug, "display_name": row.display_name, "aliases": list(row.aliases)}


async def _configured(services: Services) -> dict[str, Sequence[Access]]:
    """How to reach each provider that has credentials. One whose credentials are malformed is reported and left out."""
    configured: dict[str, Sequence[Access]] = {}
    for slug, row in PROVIDERS.items():
        try:
            # One reading of the parameter store serves them all.
            accesses = await services.credentials.accesses(row)
        except CredentialFault as fault:
            services.observer.logger.error("provider not configured", extra={"reason": str(fault)})
            continue
        if accesses:
            configured[slug] = accesses
    return configured
