"""Options that several commands share, alone and in groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storycore_tts.domain.sampling import SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.entrypoints.cli.groups import GivenParameters
from storycore_tts.errors import InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.domain.sampling import Sampling
    from storycore_tts.settings import QwenTTSConfig

RefText = Annotated[
    str | None,
    Option("--ref-text", metavar="TEXT", help="What the recording says, word for word."),
]
TextFile = Annotated[
    str | None,
    Option(
        "--text-file",
        metavar="FILE",
        help='What to say, in a UTF-8 or UTF-16 file; "-" is stdin.',
    ),
]
RefTextFile = Annotated[
    Path | None, Option("--ref-text-file", metavar="FILE", help="The same, in a UTF-8 file.")
]


@dataclass(frozen=True)
class Reporting:
    """How a command says what it did."""

    as_json: Annotated[
        bool, Option("--json", help="Print one JSON document on stdout, errors too.")
    ] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress on stderr.")] = False
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False


@dataclass(frozen=True)
class Settings:
    """Where the settings are."""

    config: Annotated[
        Path | None,
        Option("--config", metavar="FILE", help="YAML file with a tts.qwen block."),
    ] = None


@dataclass(frozen=True)
class Backend(Settings):
    """Who speaks: settings that are given in place of those in the file."""

    backend: Annotated[
        str | None, Option("--backend", metavar="NAME", help="Adapter: comfyui, draft, …")
    ] = None
    comfyui_url: Annotated[
        str | None, Option("--url", metavar="URL", help="Address of the ComfyUI server.")
    ] = None
    model_choice: Annotated[
        str | None, Option("--model-choice", metavar="SIZE", help="0.6B or 1.7B.")
    ] = None
    device: Annotated[
        str | None, Option("--device", metavar="NAME", help="auto, cuda, cuda:1, mps, xpu or cpu.")
    ] = None
    precision: Annotated[
        str | None, Option("--precision", metavar="NAME", help="bf16 or fp32.")
    ] = None


def of_size(backend: Backend, model_choice: str, preset: str | None) -> Backend:
    """Return the options with the model size that a preset needs.

    Raises:
        InvalidRequest: Another size was asked for.
    """
    if backend.model_choice not in (None, model_choice):
        raise InvalidRequest(
            f"The preset {preset!r} uses the {model_choice} model, "
            f"and --model-choice says {backend.model_choice}.",
            hint="Leave --model-choice out, or take another preset.",
        )
    return replace(backend, model_choice=model_choice)


StripMarkup = Annotated[
    bool | None,
    Option(
        "--strip-markup/--no-strip-markup",
        help="Leave Markdown, tags such as [laugh], and emoji out.  [default: as configured]",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Output:
    """Where the audio goes, and what is done to it first."""

    out: Annotated[
        str | None,
        Option(
            "--out",
            "-o",
            metavar="FILE|FOLDER|-",
            help="A .wav, .flac, .mp3, .ogg, .opus, .aac or .pcm; a folder, for a new file that is "
            'named after the text; "-", for stdout.  [default: a new wav file]',
        ),
    ] = None
    format: Annotated[
        str | None,
        Option("--format", metavar="NAME", help="Of what goes to stdout or into a new file: mp3."),
    ] = None
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False
    speed: Annotated[
        float, Option("--speed", metavar="X", help="Pace: 0.25 to 4; needs the extra media.")
    ] = 1.0
    pitch: Annotated[
        float,
        Option("--pitch", metavar="SEMITONES", help="-12 to 12; needs the extra media."),
    ] = 0.0


class SamplingOptions(GivenParameters):
    """How the model draws its tokens; what is not given comes from the settings."""

    declared = SamplingParameters

    def over(self, config: QwenTTSConfig) -> Sampling:
        """Return the configured sampling, with what was given in its place.

        Raises:
            InvalidRequest: A value out of its range.
        """
        return config.generation.sampling(**self.values)


class TrainingOptions(GivenParameters):
    """How a voice is trained; what is not given comes from the settings."""

    declared = TrainingParameters
