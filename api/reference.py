"""The API's reference for people at /docs: Swagger UI from a wheel; it needs no network and no foreign script."""

from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi_csp_docs.docs import get_swagger_ui_html, get_swagger_ui_init_js

PAGE: Final = "/docs"
ASSETS: Final = f"{PAGE}/assets"
START: Final = f"{PAGE}/start.js"
# Swagger UI writes style attributes, and draws its arrows from data: addresses; scripts come from here alone.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LOOK: Final = {"deepLinking": True, "docExpansion": "none", "filter": True, "tryItOutEnabled": True}


def install(app: FastAPI) -> None:
    """Add the page, its start script and its files to the app."""

    async def page(_request: Request) -> Response:
        answer = get_swagger_ui_html(
            title=app.title,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_init_script_url=START,
        )
        answer.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        return answer

    async def start(_request: Request) -> Response:
        return get_swagger_ui_init_js(openapi_url=str(app.openapi_url), swagger_ui_parameters=_LOOK)

    async def home(_request: Request) -> Response:
        return RedirectResponse(PAGE, status_code=307)

    app.add_route("/", home, include_in_schema=False)
    app.add_route(PAGE, page, include_in_schema=False)
    app.add_route(START, start, include_in_schema=False)
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))
