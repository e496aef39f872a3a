"""Options shared by several commands, single and in groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storycore_tts.domain.disclosure import Disclosure
from storycore_tts.domain.sampling import SamplingParameters
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.entrypoints.cli.groups import GivenParameters
from storycore_tts.errors import InvalidRequest

if TYPE_CHECKING:
    from storycore_tts.domain.sampling import Sampling
    from storycore_tts.settings import QwenTTSConfig

RefText = Annotated[
    str | None,
    Option("--ref-text", metavar="TEXT", help="Verbatim transcript of the recording."),
]
TextFile = Annotated[
    str | None,
    Option(
        "--text-file",
        metavar="FILE",
        help='UTF-8 or UTF-16 file with the text to speak; "-" is stdin.',
    ),
]
RefTextFile = Annotated[
    Path | None, Option("--ref-text-file", metavar="FILE", help="UTF-8 file with the transcript.")
]


@dataclass(frozen=True)
class Reporting:
    """Options for the output of a command."""

    as_json: Annotated[
        bool, Option("--json", help="Print one JSON document on stdout, for errors too.")
    ] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress on stderr.")] = False
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False


@dataclass(frozen=True)
class Settings:
    """Options for the settings file."""

    config: Annotated[
        Path | None,
        Option("--config", metavar="FILE", help="YAML file with a tts.qwen block."),
    ] = None


@dataclass(frozen=True)
class BackendFlags(Settings):
    """Options for the backend, which override the settings file."""

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


def of_size(backend: BackendFlags, model_choice: str, preset: str | None) -> BackendFlags:
    """Return the options with the model size of a preset.

    Args:
        backend: The options.
        model_choice: Model size of the preset.
        preset: Name of the preset; None if none is used.

    Raises:
        InvalidRequest: The options select another size.
    """
    if backend.model_choice not in (None, model_choice):
        raise InvalidRequest(
            f"The preset {preset!r} uses the {model_choice} model, "
            f"and --model-choice says {backend.model_choice}.",
            hint="Omit --model-choice, or choose another preset.",
        )
    return replace(backend, model_choice=model_choice)


StripMarkup = Annotated[
    bool | None,
    Option(
        "--strip-markup/--no-strip-markup",
        help="Remove Markdown, tags such as [laugh], and emoji.  [default: as configured]",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Use:
    """Options for what a line is used for; some voices may be used for certain things only."""

    project: Annotated[
        str, Option("--project", metavar="NAME", help="Project that the line belongs to.")
    ] = ""
    purpose: Annotated[
        str, Option("--purpose", metavar="NAME", help="What the line is for, such as trailer.")
    ] = ""


@dataclass(frozen=True)
class Output:
    """Options for the audio: destination, format, speed and pitch."""

    out: Annotated[
        str | None,
        Option(
            "--out",
            "-o",
            metavar="FILE|FOLDER|-",
            help="A .wav, .flac, .mp3, .ogg, .opus, .aac, .m4a or .pcm file; a folder, for a new "
            'file named after the text; or "-" for stdout.  [default: a new wav file]',
        ),
    ] = None
    format: Annotated[
        str | None,
        Option("--format", metavar="NAME", help="Format of stdout or a new file, such as mp3."),
    ] = None
    force: Annotated[bool, Option("--force", help="Overwrite an existing file.")] = False
    speed: Annotated[
        float, Option("--speed", metavar="X", help="Speed, 0.25 to 4; needs the extra media.")
    ] = 1.0
    pitch: Annotated[
        float,
        Option("--pitch", metavar="SEMITONES", help="Pitch, -12 to 12; needs the extra media."),
    ] = 0.0


@dataclass(frozen=True)
class DisclosureFlags:
    """Options for notices that the audio was generated."""

    disclose: Annotated[
        bool, Option("--disclose", help="Begin with a spoken notice that AI generated the audio.")
    ] = False
    disclose_text: Annotated[
        str | None,
        Option(
            "--disclose-text",
            metavar="TEXT",
            help="The spoken notice.  [default: one sentence in the language of the text]",
        ),
    ] = None
    disclose_voice: Annotated[
        str | None,
        Option(
            "--disclose-voice", metavar="NAME", help="Its voice.  [default: the configured one]"
        ),
    ] = None
    caption: Annotated[
        Path | None,
        Option("--caption", metavar="FILE", help="Write the notice as subtitles: .srt or .vtt."),
    ] = None

    @property
    def wanted(self) -> Disclosure | None:
        """The spoken notice; None if there is none."""
        if not self.disclose and self.disclose_text is None and self.disclose_voice is None:
            return None
        return Disclosure(self.disclose_text, self.disclose_voice)


class SamplingFlags(GivenParameters):
    """Sampling parameters; omitted ones come from the settings."""

    declared = SamplingParameters

    def over(self, config: QwenTTSConfig) -> Sampling:
        """Return the configured sampling, overridden by the given options.

        Args:
            config: The settings.

        Raises:
            InvalidRequest: A value is out of range.
        """
        return config.generation.sampling(**self.values)


class TrainingFlags(GivenParameters):
    """Training parameters; omitted ones come from the settings."""

    declared = TrainingParameters
