"""Parameters: each is declared once, sent by an adapter that takes it, and offered everywhere."""

import ast
import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pytest
import typer

from storycore_tts import QwenTTSConfig, create_app, open_tts
from storycore_tts.adapters import direct
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.adapters.comfyui.protocol import graphs
from storycore_tts.adapters.comfyui.protocol.nodes import NodeSpec
from storycore_tts.adapters.direct import DirectAdapter
from storycore_tts.adapters.direct.checkpoints import Card
from storycore_tts.adapters.direct.engine import GeneratedAudio
from storycore_tts.adapters.direct.parameters import generation_options
from storycore_tts.adapters.direct.speech_jobs import PreparedLine
from storycore_tts.domain.parameters import parameters_of
from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import Sampling, SamplingOptions, SamplingParameters
from storycore_tts.domain.training import TrainingOptions, TrainingParameters
from storycore_tts.entrypoints.cli.app import app as command_line
from storycore_tts.entrypoints.http.page import index
from storycore_tts.testing import comfyui
from storycore_tts.testing.contract import tone_reference

TEXT = "All is well. " * 150  # its budget is as large as max_new_tokens allows
SAMPLING, TRAINING = parameters_of(SamplingParameters), parameters_of(TrainingParameters)
by_name = pytest.mark.parametrize("parameter", [*SAMPLING, *TRAINING], ids=lambda one: one.name)
of_sampling = pytest.mark.parametrize("parameter", SAMPLING, ids=lambda one: one.name)


def another(parameter):
    """A value other than the default, near it: the nodes' ranges are narrower than ours."""
    if parameter.default is None:
        return 7
    if parameter.kind is int:
        return parameter.default + 1
    larger = parameter.default * 1.1
    return larger if larger <= parameter.high else parameter.default * 0.9


def request_with(parameter, kind=SpeechRequest):
    changed = {parameter.name: another(parameter)}
    if parameter in TRAINING:
        return TrainingRequest("/data", "/out", "mia", **changed)
    if kind is CloneRequest:
        return CloneRequest(TEXT, tone_reference(220.0), True, sampling=Sampling(**changed))
    return SpeechRequest(TEXT, "Ryan", sampling=Sampling(**changed))


# Adapters


def spec(class_type):
    """A node as ComfyUI with the pack 1.0.6 describes it."""
    nodes = json.loads((Path(comfyui.__file__).parent / "object_info.json").read_text())
    return NodeSpec.read(class_type, nodes[class_type])


async def sent_by_comfyui(parameter):
    request = request_with(parameter)
    if isinstance(request, TrainingRequest):
        yield graphs.training(request, spec(graphs.TRAIN), node_id="voice")["voice"]["inputs"]
        return
    clone, config = request_with(parameter, CloneRequest), QwenTTSConfig(backend="comfyui")
    job = {"seed": another(parameter), "job": "j"}  # the seed is chosen before the graph is made
    for graph in (
        graphs.custom_voice(request, config, spec(graphs.CUSTOM_VOICE), **job),
        graphs.voice_clone(clone, config, spec(graphs.VOICE_CLONE), uploaded="a.wav", **job),
    ):
        yield graph["voice"]["inputs"]


class Engine:
    """Notes what the package would be sent."""

    placement = SimpleNamespace(warnings=())

    def __init__(self):
        self.sent = []

    def load(self, *_):
        return self

    def unload(self):
        pass

    def speak(self, batch, seed):
        self.sent.append({**generation_options([job.line for job in batch]), "seed": seed})
        return [GeneratedAudio(np.full(1920, 0.5, np.float32), 0.1, False) for _ in batch]


async def sent_by_direct(parameter):
    if parameter in TRAINING:
        yield read_of_a_request(Path(direct.__file__).parent / "training", another(parameter))
        return
    engine = Engine()
    card = Card(("ryan",), ("english",), True, 1)
    adapter = DirectAdapter(QwenTTSConfig(), load=engine.load, read=lambda _: card)
    await adapter.synthesize(request_with(parameter))
    await adapter.clone(request_with(parameter, CloneRequest))
    await adapter.aclose()
    for sent in engine.sent:
        yield sent


def read_of_a_request(folder, value):
    """The attributes that code reads of a request: training itself takes torch, and long."""
    nodes = [
        node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ]
    return {
        node.attr: value
        for node in nodes
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("request", "self.request")
    }


ADAPTERS = [
    (ComfyUIAdapter(QwenTTSConfig()), sent_by_comfyui),
    (DirectAdapter(QwenTTSConfig()), sent_by_direct),
]


@by_name
async def test_a_parameter_reaches_each_adapter_that_takes_it_and_one_at_least(parameter):
    taking = [
        sent for adapter, sent in ADAPTERS if parameter.name in adapter.capabilities.parameters
    ]
    assert taking, f"no adapter declares {parameter.name}, so that it changes nothing"
    for sent in taking:
        inputs = [one async for one in sent(parameter)]
        assert inputs
        for one in inputs:
            assert one.get(parameter.name) == another(parameter)


@pytest.mark.parametrize("adapter", [adapter for adapter, _ in ADAPTERS])
def test_an_adapter_declares_nothing_else(adapter):
    assert adapter.capabilities.parameters <= {one.name for one in (*SAMPLING, *TRAINING)}


@of_sampling
def test_lines_that_differ_in_a_parameter_share_no_batch_on_the_direct_backend(parameter):
    one = PreparedLine("Hi.", "Auto", Sampling(), 512)
    other = replace(one, sampling=Sampling(**{parameter.name: another(parameter)}))
    is_the_lines_own = parameter.name in ("seed", "max_new_tokens")
    assert (one.batch_key == other.batch_key) is is_the_lines_own


async def test_what_the_backend_that_spoke_ignores_is_said_in_the_result():
    config = QwenTTSConfig(backend="comfyui", comfyui_url="http://127.0.0.1:9", fallback="draft")
    async with open_tts(config) as tts:
        cool = await tts.say("Hi.", language="en", sampling=Sampling(temperature=0.5, seed=1))
        plain = await tts.say("Hi.", language="en")
    assert cool.backend == plain.backend == "draft"
    assert "draft ignores temperature: it has no such parameter" in cool.warnings
    assert not any("ignores" in warning for warning in plain.warnings)


# Where they are offered


@pytest.mark.parametrize(
    ("options", "declared"),
    [(SamplingOptions, SamplingParameters), (TrainingOptions, TrainingParameters)],
)
def test_keyword_arguments_have_the_names_and_types_that_are_declared(options, declared):
    wanted = {one.name: one.kind | None for one in parameters_of(declared)}
    assert get_type_hints(options) == wanted


def fields_of(schema, parameter):
    """The field of a parameter in a JSON schema, without the alternative null."""
    field = schema["properties"][parameter.name]
    return field, next(one for one in field.get("anyOf", [field]) if one["type"] != "null")


@by_name
def test_settings_hold_to_the_declaration(parameter):
    block = "training" if parameter in TRAINING else "generation"
    model = QwenTTSConfig.model_fields[block].annotation
    field, number = fields_of(model.model_json_schema(), parameter)
    assert field["default"] == parameter.default
    assert field["description"] == parameter.help
    assert (number["minimum"], number["maximum"]) == (parameter.low, parameter.high)
    value = another(parameter)
    assert getattr(model(**{parameter.name: value}), parameter.name) == value


@by_name
def test_http_bodies_hold_to_the_declaration(parameter):
    schemas = create_app(QwenTTSConfig(backend="draft")).openapi()["components"]["schemas"]
    names = [name for name, one in schemas.items() if parameter.name in one.get("properties", {})]
    expected = 1 if parameter in TRAINING else 3  # a line, a clone, and a line of OpenAI's
    assert len(names) == expected, names
    for name in names:
        field, number = fields_of(schemas[name], parameter)
        assert field["description"] == parameter.help
        told = (number["minimum"], number["maximum"])  # FastAPI makes floats of them
        assert told == pytest.approx((parameter.low, parameter.high))


@by_name
def test_the_command_line_has_an_option(parameter):
    commands = typer.main.get_command(command_line).commands
    for name in ["train"] if parameter in TRAINING else ["say", "clone"]:
        (option,) = [one for one in commands[name].params if parameter.option in one.opts]
        assert option.default is None
        assert parameter.help in option.help
        assert parameter.range in option.help


@of_sampling
def test_the_page_has_a_field(parameter):
    page = asyncio.run(index()).body.decode()
    assert f'id="{parameter.name}" name="{parameter.name}" min="{parameter.low}"' in page
