"""What stands before the app: no bodies that are too large, and pages that load nothing of other sites."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lamp.web.schemas import LARGEST_UPLOAD, Problem

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
"""What pages may load: nothing of other sites. Gradio's pages need inline code."""
LARGEST_ASK = 64 * 1024
"""Bytes of a request without a file, and of a form around its file."""
UPLOADING = ("/api/motions", "/gradio_api/upload")
"""Paths that take a motion file."""
TOO_LARGE = f"the file is too large; upload at most {LARGEST_UPLOAD // 2**20} MB"


class Guard:
    """ASGI middleware; bodies are counted as they come, so that those without a length are bounded, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        uploading = path in UPLOADING
        most = LARGEST_UPLOAD + LARGEST_ASK if uploading else LARGEST_ASK
        large = TOO_LARGE if uploading else f"the request is too large; send at most {LARGEST_ASK // 1024} KB"
        size, had, refused = headers.get("content-length", ""), 0, False

        async def guarded(message: Message) -> None:
            if refused:  # what the app says of a body that it did not get whole
                return
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        async def refuse(status: int, text: str) -> None:
            await JSONResponse(Problem(detail=text).model_dump(), status)(scope, receive, guarded)

        async def counted() -> Message:
            nonlocal had, refused
            message = await receive()
            had += len(message.get("body", b""))
            if had > most:
                if not refused:
                    await refuse(413, large)
                refused = True
                return {"type": "http.disconnect"}
            return message

        if scope["method"] == "POST" and path.startswith("/api/") and not size.isdecimal():
            await refuse(411, "say how long the request is (Content-Length)")
        elif size.isdecimal() and int(size) > most:
            await refuse(413, large)
        else:
            try:
                await self.app(scope, counted, guarded)
            except Exception:
                if not refused:
                    raise
