"""Errors cross to another process whole, and keep secrets to themselves."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from storycore_tts import (
    BackendTimeout,
    ConfigurationError,
    InvalidReferenceAudio,
    QwenTTSConfig,
    ReferenceAudio,
    RunawayGeneration,
)


@pytest.mark.parametrize(
    "error",
    [
        BackendTimeout("Too late.", wait="queue", seconds=3.0, hint="Wait.", backend="comfyui"),
        RunawayGeneration("It ran on.", partial_duration=40.8),
        ConfigurationError("No.", source="a.yaml", key="k", value=3, allowed="4"),
    ],
)
def test_an_error_survives_pickling(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("settings", "key", "secret"),
    [
        ({"comfyui": {"headers": {"Authorization": 123456}}}, "headers.Authorization", "123456"),
        ({"comfyui_url": "http://me:s3cret@127.0.0.1:8188"}, "comfyui_url", "s3cret"),
    ],
)
def test_a_refused_setting_keeps_its_secret_to_itself(settings, key, secret):
    with pytest.raises(ConfigurationError) as refused:
        QwenTTSConfig(**settings)
    assert key in str(refused.value)
    assert secret not in str(refused.value)
    assert secret not in str(refused.value.value)


def test_integers_passed_as_floats_are_no_reference():
    loud = (10_000 * np.sin(np.arange(48_000) / 20)).astype(np.float32)
    with pytest.raises(InvalidReferenceAudio, match="Divide 16-bit integers by 32768"):
        ReferenceAudio(loud)
