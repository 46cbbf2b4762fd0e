"""``GET /v1/models`` and ``/v1/models/{model}``: what this gateway can reach now. No key needed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from headgate.catalog.catalog import Model, split_name
from headgate.catalog.views import detail, listing
from headgate.errors import not_found
from headgate.providers.table import PROVIDERS
from headgate.web.services import Services

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> JSONResponse:
    """Every model with a configured provider, newest first. Query parameters of either vendor (``limit``,
    ``after_id`` …) are accepted; the list always comes whole."""
    services: Services = request.app.state.services
    configured = await _configured(services)
    models = [model for model in services.catalog if any(route.provider in configured for route in model.routes)]
    return JSONResponse(listing(models))


@router.get("/v1/models/{name:path}")
async def get_model(request: Request) -> JSONResponse:
    """One model by slug, alias or ``provider/slug``; ``auto`` is the pool's first. Raises 404."""
    # Not an argument: for those FastAPI imports the whole of pydantic.v1, 4 % of a cold start.
    name = request.path_params["name"]
    services: Services = request.app.state.services
    configured = await _configured(services)
    model = _find(services, name)
    if model is None or not any(route.provider in configured for route in model.routes):
        raise not_found(f"The model '{name}' does not exist.", code="model_not_found", param="model")
    return JSONResponse(detail(model, services.catalog))


def _find(services: Services, name: str) -> Model | None:
    if name == "auto":
        return services.catalog.find(services.catalog.auto[0])
    return services.catalog.find(name) or services.catalog.find(split_name(name)[1])


async def _configured(services: Services) -> set[str]:
    """The providers with credentials."""
    return {slug for slug, row in PROVIDERS.items() if await services.credentials.access(row) is not None}
