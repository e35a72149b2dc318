"""The app's HTTP server: a typed JSON API over a `Studio`, with the pages beside it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, File, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse

from lamp.serve.network import LOCAL
from lamp.utils.errors import UserError, told
from lamp.web.desk import BusyError, CancelledError
from lamp.web.documentation import documentation
from lamp.web.schemas import (
    LARGEST_UPLOAD,
    MOST_FOUND,
    Cancelled,
    Captions,
    DescribeAsk,
    EditAsk,
    FindOrMakeAsk,
    MakeAsk,
    Problem,
    Reply,
    SearchAsk,
    Shown,
)
from lamp.web.studio import Studio

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
"""What pages may load: nothing of other sites. Gradio's pages need inline code."""
_KINDS = {"npy": "application/octet-stream", "glb": "model/gltf-binary", "vrma": "model/gltf-binary"}
_KINDS |= {"mp4": "video/mp4", "html": "text/html", "bvh": "text/plain"}
FAILED = "something went wrong in the app itself; its terminal says what"
_OVERHEAD = 64 * 1024  # of a form around its file


def build_api(studio: Studio, host: str) -> FastAPI:
    """The server.

    Args:
        studio: what answers.
        host: address that will be listened on, see `lamp.serve.network.LOCAL`.
    """
    app = FastAPI(
        title="LaMP",
        description="Text in, 3D motion out; motion in, text out; search. Motions have 22 joints, metres, Y up.",
        docs_url=None,
        redoc_url=None,
        responses={code: {"model": Problem} for code in (400, 409, 422, 503)},
    )
    app.include_router(_routes(studio))
    app.add_exception_handler(UserError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def docs() -> str:
        return documentation(app.openapi())

    @app.middleware("http")
    async def guarded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """No bodies that are too large, and pages that load nothing of other sites."""
        if request.method == "POST":
            size = request.headers.get("content-length", "")
            if not size.isdigit() and request.url.path.startswith("/api/"):
                return _problem(411, "say how long the request is (Content-Length)")
            if size.isdigit() and int(size) > LARGEST_UPLOAD + _OVERHEAD:
                return _problem(413, f"the file is too large; upload at most {LARGEST_UPLOAD // 2**20} MB")
        response = await answer(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    if host in LOCAL:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))
    return app


def _routes(studio: Studio) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/make")
    def make(ask: MakeAsk) -> Reply:
        """Make motions from a sentence."""
        return studio.make(ask)

    @routes.post("/motions")
    def upload(file: Annotated[UploadFile, File(description="motion file: .bvh, .npy or .npz")]) -> Shown:
        """Take a motion file, to edit, describe or search by it."""
        return studio.upload(file.filename or "", file.file.read(LARGEST_UPLOAD + 1)[:LARGEST_UPLOAD])

    @routes.post("/edit")
    def edit(ask: EditAsk) -> Reply:
        """Make a span of a motion anew from a sentence; the rest stays."""
        return studio.edit(ask)

    @routes.post("/describe")
    def describe(ask: DescribeAsk) -> Captions:
        """Describe a motion in words."""
        return studio.describe(ask)

    @routes.post("/search")
    def search(ask: SearchAsk) -> Reply:
        """Search the library by a sentence or by a motion."""
        return studio.search(ask)

    @routes.post("/find-or-make")
    def find_or_make(ask: FindOrMakeAsk) -> Reply:
        """The nearest clips of the library and generated motions, on one scale."""
        return studio.find_or_make(ask)

    @routes.post("/cancel/{job}")
    def cancel(job: str) -> Cancelled:
        """Cancel a request by the name that it was given as `job`."""
        return Cancelled(cancelled=studio.desk.cancel(job))

    @routes.get("/motions/{motion}/{format}", response_class=Response)
    def file(motion: str, format: str) -> Response:
        """A motion's file: npy, npz, bvh, glb, vrma, smpl, mp4 or html."""
        name, data = studio.file(motion, format)
        kind = _KINDS.get(format, "application/octet-stream")
        return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    @routes.get("/view", response_class=HTMLResponse)
    def view(ids: Annotated[str, Query(max_length=20 * MOST_FOUND * 2, description="ids with commas between")]) -> str:
        """A page that plays motions side by side."""
        return studio.page([name for name in ids.split(",") if name][: MOST_FOUND * 2])

    return routes


def _problem(status: int, text: str) -> JSONResponse:
    return JSONResponse(Problem(detail=told(text)).model_dump(), status)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    status = 503 if isinstance(error, BusyError) else 409 if isinstance(error, CancelledError) else 400
    return _problem(status, str(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The first thing that is wrong with a request, in one line."""
    first: dict[str, Any] = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ())[1:]) or "the request"
    return _problem(422, f"{place}: {first.get('msg', 'cannot be read')}")


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return _problem(500, FAILED)
