"""What the app's API takes and gives."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lamp.models.sequences import MIN_FRAMES
from lamp.serve.workspace import LONGEST_PROMPT, MOST_CAPTIONS
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES

SHORTEST, LONGEST = MIN_FRAMES / HUMANML3D.fps, MAX_FRAMES / HUMANML3D.fps
MOST_SAMPLES = 4
MOST_FOUND = 12
MOST_STEPS = 50
LARGEST_SEED = 2**32 - 1
LARGEST_UPLOAD = 20 * 2**20  # bytes
LONGEST_UPLOAD = 60.0  # seconds


class Ask(BaseModel):
    """What every request may say."""

    model_config = ConfigDict(extra="forbid")
    job: str = Field(default="", max_length=64, description="a name of your choice, to cancel the request by")


class Prompted(Ask):
    """A sentence and a seed."""

    prompt: str = Field(min_length=1, max_length=LONGEST_PROMPT, description="what the person does, in English")
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED, description="another seed gives another take")


class MakeAsk(Prompted):
    """Make motions from a sentence."""

    seconds: float | None = Field(
        default=None, ge=SHORTEST, le=LONGEST, description="duration; left out, the model chooses"
    )
    samples: int = Field(default=1, ge=1, le=MOST_SAMPLES, description="how many takes; they have successive seeds")
    guidance: float | None = Field(
        default=None, ge=1, le=20, description="how closely to follow the prompt; default: tuned"
    )
    steps: int = Field(default=10, ge=1, le=MOST_STEPS, description="rounds in which a motion is filled in")
    clean_feet: bool = Field(default=True, description="planted feet stand still")
    caption: bool = Field(default=True, description="say what LaMP's captioner sees; without, an answer comes sooner")


class EditAsk(Prompted):
    """Make a span of a motion anew."""

    motion: str = Field(max_length=64, description="id of a motion")
    start: float = Field(ge=0, le=LONGEST_UPLOAD, description="seconds")
    end: float = Field(gt=0, le=LONGEST_UPLOAD, description="seconds")


class DescribeAsk(Ask):
    """Describe a motion in words."""

    motion: str = Field(max_length=64, description="id of a motion")
    count: int = Field(default=3, ge=1, le=MOST_CAPTIONS, description="how many captions")


class SearchAsk(Ask):
    """Search the library by a sentence, or by a motion."""

    prompt: str = Field(
        default="", max_length=LONGEST_PROMPT, description="a sentence; or leave it out and give a motion"
    )
    motion: str = Field(default="", max_length=64, description="id of a motion whose like is searched for")
    count: int = Field(default=5, ge=1, le=MOST_FOUND, description="how many clips")


class FindOrMakeAsk(Prompted):
    """The nearest clips of the library and generated ones, on one scale."""

    found: int = Field(default=3, ge=1, le=MOST_FOUND, description="how many real clips")
    samples: int = Field(default=2, ge=1, le=MOST_SAMPLES, description="how many generated ones")


class Shown(BaseModel):
    """A motion, and what LaMP thinks of it."""

    id: str = Field(description="for further requests; motions are kept in memory, the oldest are forgotten")
    kind: Literal["made", "edited", "uploaded", "real"]
    title: str
    seconds: float
    frames: int
    fps: float
    match: float | None = Field(
        default=None, description="LaMP's cosine of text and motion (of an edit: its new span), 1 at most"
    )
    caption: str = Field(default="", description="what LaMP's captioner says of the motion")
    skating: float | None = Field(default=None, description="share of frames in which a foot slides")
    licence: str = Field(default="", description="of a real clip")
    source: str = Field(default="", description="file and seconds of a real clip")
    files: dict[str, str] = Field(description="address of the motion in each format")
    viewer: str = Field(description="address of a page that plays it")


class Reply(BaseModel):
    """Motions, the best match first where there is a choice."""

    motions: list[Shown]
    outside: bool = Field(default=False, description="the text is far from all captions that the models learnt")
    notes: list[str] = Field(
        default=[], description="what of the prompt is not understood, made in other words, or not seen"
    )


class Captions(BaseModel):
    """Descriptions of a motion, the best first."""

    captions: list[str]


class Cancelled(BaseModel):
    """Whether there was a request of this name."""

    cancelled: bool


class Problem(BaseModel):
    """Why a request was not answered, in one line that says what to change."""

    detail: str
