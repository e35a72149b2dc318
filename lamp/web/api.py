"""The app's HTTP server: a typed JSON API over a `Studio`, with the pages beside it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, FastAPI, File, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse

from lamp.serve.desk import LOOK, BusyError, CancelledError
from lamp.serve.network import LOCAL
from lamp.utils.errors import UserError, told
from lamp.web.documentation import documentation
from lamp.web.guard import TOO_LARGE, Guard
from lamp.web.schemas import (
    LARGEST_UPLOAD,
    MOST_FOUND,
    Ask,
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

_KINDS = {"npy": "application/octet-stream", "glb": "model/gltf-binary", "vrma": "model/gltf-binary"}
_KINDS |= {"mp4": "video/mp4", "html": "text/html", "bvh": "text/plain"}
FAILED = "something went wrong in the app itself; its terminal says what"
Asked = TypeVar("Asked", bound=Ask)
Result = TypeVar("Result")


class TooLargeError(UserError):
    """A file of more than `LARGEST_UPLOAD` bytes."""


def build_api(studio: Studio, host: str) -> FastAPI:
    """The server.

    Args:
        studio: what answers.
        host: address that will be listened on, see `lamp.serve.network.LOCAL`.
    """

    @contextlib.asynccontextmanager
    async def threads(app: FastAPI) -> AsyncIterator[None]:
        """Besides the threads that quick answers share, one for everybody who may wait at a desk."""
        anyio.to_thread.current_default_thread_limiter().total_tokens += sum(desk.most for desk in studio.desks)
        yield

    app = FastAPI(
        title="LaMP",
        description="Text in, 3D motion out; motion in, text out; search. Motions have 22 joints, metres, Y up.",
        docs_url=None,
        redoc_url=None,
        lifespan=threads,
        responses={code: {"model": Problem} for code in (400, 409, 413, 422, 503)},
    )
    app.include_router(_routes(studio))
    app.add_exception_handler(UserError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def docs() -> str:
        return documentation(app.openapi())

    app.add_middleware(Guard)
    if host in LOCAL:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))
    return app


def _routes(studio: Studio) -> APIRouter:
    routes = APIRouter(prefix="/api")

    async def attended(request: Request, job: str, work: Callable[[], Result]) -> Result:
        """The result of a request's work in a thread, which is cancelled by its name when the client goes away."""
        watching = asyncio.create_task(_cancel_when_gone(request, studio, job))
        try:
            return await run_in_threadpool(work)
        finally:
            watching.cancel()

    async def answer(request: Request, work: Callable[[Asked], Result], ask: Asked) -> Result:
        ask.job = ask.job or _job()
        return await attended(request, ask.job, partial(work, ask))

    @routes.post("/make")
    async def make(ask: MakeAsk, request: Request) -> Reply:
        """Make motions from a sentence."""
        return await answer(request, studio.make, ask)

    @routes.post("/motions")
    async def upload(
        file: Annotated[UploadFile, File(description="motion file: .bvh, .npy or .npz")], request: Request
    ) -> Shown:
        """Take a motion file, to edit, describe or search by it."""
        data, job = await file.read(LARGEST_UPLOAD + 1), _job()
        if len(data) > LARGEST_UPLOAD:
            raise TooLargeError(TOO_LARGE)
        return await attended(request, job, partial(studio.upload, file.filename or "", data, job))

    @routes.post("/edit")
    async def edit(ask: EditAsk, request: Request) -> Reply:
        """Make a span of a motion anew from a sentence; the rest stays."""
        return await answer(request, studio.edit, ask)

    @routes.post("/describe")
    async def describe(ask: DescribeAsk, request: Request) -> Captions:
        """Describe a motion in words."""
        return await answer(request, studio.describe, ask)

    @routes.post("/search")
    async def search(ask: SearchAsk, request: Request) -> Reply:
        """Search the library by a sentence or by a motion."""
        return await answer(request, studio.search, ask)

    @routes.post("/find-or-make")
    async def find_or_make(ask: FindOrMakeAsk, request: Request) -> Reply:
        """The nearest clips of the library and generated motions, on one scale."""
        return await answer(request, studio.find_or_make, ask)

    @routes.post("/cancel/{job}")
    async def cancel(job: str) -> Cancelled:
        """Cancel a request by the name that it was given as `job`."""
        return Cancelled(cancelled=studio.cancel(job))

    @routes.get("/motions/{motion}/{format}", response_class=Response)
    async def file(motion: str, format: str, request: Request) -> Response:
        """A motion's file: npy, npz, bvh, glb, vrma, smpl, mp4 or html."""
        job = _job()
        name, data = await attended(request, job, partial(studio.file, motion, format, job))
        kind = _KINDS.get(format, "application/octet-stream")
        return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    @routes.get("/view", response_class=HTMLResponse)
    async def view(
        ids: Annotated[str, Query(max_length=20 * MOST_FOUND * 2, description="ids with commas between")],
        request: Request,
    ) -> str:
        """A page that plays motions side by side."""
        names, job = [name for name in ids.split(",") if name][: MOST_FOUND * 2], _job()
        return await attended(request, job, partial(studio.page, names, job))

    return routes


def _job() -> str:
    """A name that no other request has."""
    return uuid.uuid4().hex


async def _cancel_when_gone(request: Request, studio: Studio, job: str) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    while True:  # its thread may not have come to the desk yet
        studio.cancel(job)
        await asyncio.sleep(LOOK)


def _problem(status: int, text: str) -> JSONResponse:
    return JSONResponse(Problem(detail=told(text)).model_dump(), status)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    statuses: dict[type[Exception], int] = {BusyError: 503, CancelledError: 409, TooLargeError: 413}
    return _problem(statuses.get(type(error), 400), str(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The first thing that is wrong with a request, in one line."""
    first: dict[str, Any] = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ())[1:]) or "the request"
    return _problem(422, f"{place}: {first.get('msg', 'cannot be read')}")


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return _problem(500, FAILED)
