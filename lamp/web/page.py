"""The page: Gradio over a `Studio`, mounted beside its API."""

import html
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from pydantic import ValidationError

from lamp.utils.errors import UserError, told
from lamp.web import schemas
from lamp.web.api import FAILED, build_api
from lamp.web.results import STYLE, captions_html, chosen_html, problem_html, reply_html
from lamp.web.schemas import LONGEST, MOST_FOUND, MOST_SAMPLES, MOST_STEPS, SHORTEST
from lamp.web.studio import NO_LIBRARY, UPLOADS, Studio

EXAMPLES = (
    "a person walks forward and waves with the right hand",
    "an old man walks slowly",
    "someone kicks with the right leg",
    "a happy person runs",
    "a person bows deeply",
)


UPLOADS_STAY = (600, 3600)
"""Seconds between looks at the files that pages uploaded, and after which they are removed."""

NAMES = """<script>
new MutationObserver(() => document.querySelectorAll(".upload-container[aria-label]").forEach(
  place => place.removeAttribute("aria-label"))).observe(document, {childList: true, subtree: true});
</script>"""
"""Gradio names its places for files otherwise than they read, which those who speak to their computer trip over."""


def build_app(studio: Studio, host: str, queue: int) -> FastAPI:
    """The API with the page at `/`."""
    page = build_page(studio)
    page.queue(default_concurrency_limit=queue + 1, max_size=queue + 1, api_open=False)
    return gr.mount_gradio_app(
        build_api(studio, host),
        page,
        path="/",
        server_name=host,
        footer_links=[],
        show_error=False,
        max_file_size=schemas.LARGEST_UPLOAD,
        ssr_mode=False,
        theme=_theme(),
        css=STYLE,
        head=NAMES,
    )


def _theme() -> gr.themes.Base:
    """Fonts of the reader's own computer, and buttons whose words stand out enough."""
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    colors = {"button_primary_background_fill": "*primary_700", "button_primary_background_fill_hover": "*primary_800"}
    return theme.set(**colors, **{f"{name}_dark": color for name, color in colors.items()})


def number(value: float | None, name: str) -> float:
    """What a field of numbers holds.

    Raises:
        UserError: it was emptied.
    """
    if value is None:
        raise UserError(f"{name} is empty; give a number")
    return value


def answered(work: Callable[..., str]) -> Callable[..., str]:
    """What a person gets of a request: its result, or the line that says what to change."""

    def call(*given: Any) -> str:
        try:
            return work(*given)
        except ValidationError as error:
            first = error.errors()[0]
            return problem_html(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        except UserError as error:
            return problem_html(told(error))
        except Exception:  # a bug; a person at the page can do nothing with its traceback
            traceback.print_exc()
            return problem_html(FAILED)

    return call


class _Page:
    """Handlers of the page's buttons. `request` names the visitor's session, which is the job that Cancel ends."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def make(
        self,
        prompt: str,
        auto: bool,
        seconds: float | None,
        seed: float | None,
        samples: float | None,
        own: bool,
        guidance: float | None,
        steps: float | None,
        clean: bool,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        last = ""

        def work() -> str:
            nonlocal last
            ask = schemas.MakeAsk(
                prompt=prompt,
                seconds=None if auto else number(seconds, "seconds"),
                seed=int(number(seed, "seed")),
                samples=int(number(samples, "takes side by side")),
                guidance=number(guidance, "guidance") if own else None,
                steps=int(number(steps, "steps")),
                clean_feet=clean,
                job=request.session_hash or "",
            )
            reply = self.studio.make(ask)
            last = reply.motions[0].id
            return reply_html(reply)

        shown = answered(work)()
        return (shown, last or gr.skip(), *self.timeline(last))

    def choose(self, file: str) -> tuple[Any, ...]:
        """A file to edit: its id, the timeline and what it shows."""
        motion = ""

        def work() -> str:
            nonlocal motion
            motion = self.uploaded(file)
            return chosen_html(motion)

        shown = answered(work)()
        return (motion, *self.timeline(motion), shown)

    def timeline(self, motion: str) -> tuple[Any, Any]:
        """The sliders of a motion's span: its middle third at first."""
        if not motion:
            return gr.skip(), gr.skip()
        seconds = self.studio.kept(motion).source.seconds
        third = round(seconds / 3 * 5) / 5
        return gr.Slider(maximum=seconds, value=third), gr.Slider(maximum=seconds, value=2 * third)

    def edit(
        self,
        last: str,
        chosen: str,
        start: float | None,
        end: float | None,
        prompt: str,
        seed: float | None,
        request: gr.Request,
    ) -> str:
        def work() -> str:
            motion = chosen or last
            if not motion:
                raise UserError("there is no motion yet; make one, or choose a file")
            ask = schemas.EditAsk(
                prompt=prompt,
                motion=motion,
                start=number(start, "from second"),
                end=number(end, "to second"),
                seed=int(number(seed, "seed")),
                job=request.session_hash or "",
            )
            return reply_html(self.studio.edit(ask), also=[motion])

        return answered(work)()

    def describe(self, last: str, file: str | None, request: gr.Request) -> str:
        def work() -> str:
            motion = self.uploaded(file) if file else last
            if not motion:
                raise UserError("choose a motion file, or make a motion first")
            ask = schemas.DescribeAsk(motion=motion, job=request.session_hash or "")
            return captions_html(self.studio.describe(ask), self.studio.kept(motion).facts)

        return answered(work)()

    def search(self, prompt: str, file: str | None, count: float | None, request: gr.Request) -> str:
        def work() -> str:
            many = int(number(count, "how many"))
            motion = self.uploaded(file) if file else ""
            ask = schemas.SearchAsk(prompt=prompt, motion=motion, count=many, job=request.session_hash or "")
            return reply_html(self.studio.search(ask))

        return answered(work)()

    def find_or_make(self, prompt: str, seed: float | None, request: gr.Request) -> str:
        def work() -> str:
            own = int(number(seed, "seed"))
            ask = schemas.FindOrMakeAsk(prompt=prompt, seed=own, job=request.session_hash or "")
            return reply_html(self.studio.find_or_make(ask))

        return answered(work)()

    async def cancel(self, request: gr.Request) -> None:  # `async`: it needs no thread, which others may have taken
        self.studio.cancel(request.session_hash or "")

    def uploaded(self, file: str) -> str:
        try:
            data = Path(file).read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"{Path(file).name} was uploaded long ago and is gone; choose it again") from error
        return self.studio.upload(Path(file).name, data).id


def _file(label: str, name: str) -> gr.File:
    """A place for a motion file."""
    return gr.File(label=label, file_types=list(UPLOADS), type="filepath", elem_id=name, height=120)


def _cancel(do: _Page) -> None:
    """A button that ends what this visitor waits for."""
    gr.Button("Cancel").click(do.cancel, None, None, queue=False, api_visibility="private")


def build_page(studio: Studio) -> gr.Blocks:
    """The tabs."""
    do = _Page(studio)
    with gr.Blocks(title="LaMP: motion from words", analytics_enabled=False, delete_cache=UPLOADS_STAY) as page:
        page.unload(do.cancel)  # who closes the page waits no longer
        gr.HTML("<h1>LaMP: motion from words</h1><p>Write what a person does and press Enter.</p>")
        last, chosen = gr.State(""), gr.State("")
        with gr.Tab("Make"):
            prompt = gr.Textbox(
                EXAMPLES[0], label="What does the person do?", elem_id="prompt", max_lines=1, autofocus=True
            )
            with gr.Row():
                go = gr.Button("Make a motion", variant="primary", elem_id="make")
                _cancel(do)
            with gr.Row(elem_id="examples"):
                for example in EXAMPLES:
                    gr.Button(example, size="sm").click(
                        lambda text=example: text, None, prompt, queue=False, api_visibility="private"
                    )
            with gr.Row():
                auto = gr.Checkbox(True, label="the model chooses the length", elem_id="auto")
                seconds = gr.Number(4.0, label="or seconds", minimum=SHORTEST, maximum=LONGEST, step=0.2)
                seed = gr.Number(0, label="seed: another number, another take", precision=0, minimum=0)
                samples = gr.Number(1, label="takes side by side", precision=0, minimum=1, maximum=MOST_SAMPLES)
            with gr.Accordion("Advanced", open=False):
                own = gr.Checkbox(False, label="own guidance instead of the model's")
                guidance = gr.Number(4.0, label="guidance: how closely to follow the words", minimum=1, maximum=20)
                steps = gr.Number(10, label="steps", precision=0, minimum=1, maximum=MOST_STEPS)
                clean = gr.Checkbox(True, label="planted feet stand still")
            shown = gr.HTML(elem_id="made", min_height=20)
            values = [prompt, auto, seconds, seed, samples, own, guidance, steps, clean]
        with gr.Tab("Edit"):
            gr.HTML("<p>The motion that you made last, or a file; everything outside the span stays.</p>")
            edited = _file("motion file (.bvh, .npy, .npz)", "edit_file")
            with gr.Row():
                start = gr.Slider(0, LONGEST, 1.0, step=0.2, label="from second", elem_id="start")
                end = gr.Slider(0, LONGEST, 2.0, step=0.2, label="to second", elem_id="end")
                take = gr.Number(0, label="seed", precision=0, minimum=0)
            what = gr.Textbox(label="What should happen there?", elem_id="edit_prompt", max_lines=1)
            with gr.Row():
                change = gr.Button("Make this span anew", variant="primary", elem_id="edit")
                _cancel(do)
            result = gr.HTML(elem_id="edited", min_height=20)
            for event in (go.click, prompt.submit):
                event(do.make, values, [shown, last, start, end], api_visibility="private")
            edited.upload(do.choose, edited, [chosen, start, end, result], api_visibility="private")
            edited.clear(lambda: ("", ""), None, [chosen, result], queue=False, api_visibility="private")
            for event in (change.click, what.submit):
                event(do.edit, [last, chosen, start, end, what, take], result, api_visibility="private")
        with gr.Tab("Describe"):
            gr.HTML("<p>A motion file in words; without a file, the motion that you made last.</p>")
            described = _file("motion file (.bvh, .npy, .npz)", "describe_file")
            with gr.Row():
                tell = gr.Button("Describe", variant="primary", elem_id="describe")
                _cancel(do)
            words = gr.HTML(elem_id="described", min_height=20)
            tell.click(do.describe, [last, described], words, api_visibility="private")
        with gr.Tab("Search"):
            if studio.library is None:
                gr.HTML(f'<p id="no_library">{html.escape(NO_LIBRARY)}</p>')
            else:
                query = gr.Textbox(label="What should the clip show?", elem_id="query", max_lines=1)
                like = _file("or a motion file whose like you want", "like")
                count = gr.Number(5, label="how many", precision=0, minimum=1, maximum=MOST_FOUND)
                with gr.Row():
                    seek = gr.Button("Search", variant="primary", elem_id="search")
                    _cancel(do)
                found = gr.HTML(elem_id="found", min_height=20)
                for event in (seek.click, query.submit):
                    event(do.search, [query, like, count], found, api_visibility="private")
        with gr.Tab("Find or make"):
            if studio.library is None:
                gr.HTML(f"<p>{html.escape(NO_LIBRARY)}</p>")
            else:
                wish = gr.Textbox(label="What does the person do?", elem_id="wish", max_lines=1)
                other = gr.Number(0, label="seed", precision=0, minimum=0)
                with gr.Row():
                    both = gr.Button("Find or make", variant="primary", elem_id="both")
                    _cancel(do)
                ranked = gr.HTML(elem_id="ranked", min_height=20)
                for event in (both.click, wish.submit):
                    event(do.find_or_make, [wish, other], ranked, api_visibility="private")
        gr.HTML('<p>Other programs: <a href="/docs">the API of this app</a>.</p>')
    return page
