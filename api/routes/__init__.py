"""One module of routes a subdomain; each says who may call, parses, calls one service function, and answers."""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter


def all_routers() -> list[APIRouter]:
    """Return the `router` of every module of this package, by name."""
    names = sorted(module.name for module in iter_modules(__path__))
    return [import_module(f"{__name__}.{name}").router for name in names]
