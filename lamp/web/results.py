"""Results as HTML: the viewer, what LaMP thinks of each motion, downloads."""

import html
from collections.abc import Sequence

from lamp.web.schemas import Captions, Reply, Shown

OUTSIDE = "Outside what this model knows: no caption that it learnt is like this text, so the motion is a guess."
STYLE = """
.lamp iframe{width:100%;height:min(70vh,540px);border:1px solid #777;border-radius:6px}
.lamp .card{border:1px solid #777;border-radius:6px;padding:.6rem .8rem;margin:.6rem 0}
.lamp .kind{display:inline-block;border:1px solid currentColor;border-radius:4px;padding:0 .4rem;font-weight:600}
.lamp .files a{display:inline-block;margin:.15rem .6rem .15rem 0;min-height:24px;text-decoration:underline}
.lamp .warn{border-left:4px solid #b45309;padding-left:.6rem;font-weight:600}
.lamp{overflow-wrap:anywhere}
button[role=tab].selected{color:var(--body-text-color)!important}
.or{color:inherit!important}
footer{display:none!important}
"""
_KINDS = {"made": "made by LaMP", "edited": "edited by LaMP", "uploaded": "your file", "real": "real"}


def problem_html(text: str) -> str:
    """Why there is no result."""
    return f'<div class="lamp"><p class="warn" role="alert">{html.escape(text)}</p></div>'


def reply_html(reply: Reply, also: Sequence[str] = ()) -> str:
    """Motions side by side in the viewer, and a card for each; `also` are ids to show before them."""
    if not reply.motions:
        return problem_html("the library has no clips")
    warnings = ([OUTSIDE] if reply.outside else []) + reply.notes
    lines = "".join(f'<p class="warn" role="alert">{html.escape(text)}</p>' for text in warnings)
    cards = "".join(_card(number, motion) for number, motion in enumerate(reply.motions, start=1 + len(also)))
    return f'<div class="lamp">{lines}{viewer_html([*also, *(motion.id for motion in reply.motions)])}{cards}</div>'


def captions_html(captions: Captions, motion: Shown) -> str:
    """What happens in a motion, and the motion."""
    lines = "".join(f"<li>{html.escape(text)}</li>" for text in captions.captions)
    return f'<div class="lamp"><ol class="captions">{lines}</ol>{viewer_html([motion.id])}</div>'


def chosen_html(name: str) -> str:
    """A motion alone, by its id."""
    return f'<div class="lamp">{viewer_html([name])}</div>'


def viewer_html(names: Sequence[str]) -> str:
    """Motions by their ids, side by side."""
    # Its script runs, but in an origin of its own.
    address = html.escape(f"/api/view?ids={','.join(names)}")
    return f'<iframe title="viewer" sandbox="allow-scripts" src="{address}"></iframe>'


def _card(number: int, motion: Shown) -> str:
    span = " of the new span" if motion.kind == "edited" else ""
    facts = [f"{motion.seconds:.1f} s"]
    if motion.match is not None:
        facts.append(f"match{span} {motion.match:.2f} of 1")
    if motion.skating is not None:
        facts.append(f"feet slide in {motion.skating:.0%} of the frames")
    links = " ".join(
        f'<a href="{html.escape(address)}" download aria-label="download take {number} as {name}">{name}</a>'
        for name, address in motion.files.items()
    )
    origin = f"<p>{html.escape(motion.source)}; {html.escape(motion.licence)}</p>" if motion.kind == "real" else ""
    return (
        f'<div class="card"><p><strong>{number}.</strong> <span class="kind">{_KINDS[motion.kind]}</span> '
        f"{html.escape(motion.title)}</p><p>{', '.join(facts)}</p>{origin}"
        f"<p>LaMP sees{span and ' in it'}: {html.escape(motion.caption)}</p>"
        f'<p class="files">Download: {links}</p></div>'
    )
