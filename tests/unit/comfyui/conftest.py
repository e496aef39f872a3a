import copy

import pytest

from storycore_tts.adapters.comfyui.protocol.nodes import NodeSpec

SPEAKERS = ["Aiden", "Dylan", "Eric", "Ono_anna", "Ryan", "Serena", "Sohee", "Uncle_fu", "Vivian"]
LANGUAGES = [
    "Auto",
    "Chinese",
    "English",
    "Japanese",
    "Korean",
    "French",
    "German",
    "Spanish",
    "Portuguese",
    "Russian",
    "Italian",
]

MODEL = {
    "model_choice": [["0.6B", "1.7B"], {"default": "1.7B"}],
    "device": [["auto", "cuda", "mps", "cpu"], {"default": "auto"}],
    "precision": [["bf16", "fp32"], {"default": "bf16"}],
    "language": [LANGUAGES, {"default": "Auto"}],
}
SAMPLING = {
    "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
    "max_new_tokens": ["INT", {"default": 2048, "min": 512, "max": 4096, "step": 256}],
    "top_p": ["FLOAT", {"default": 0.8, "min": 0.0, "max": 1.0, "step": 0.05}],
    "top_k": ["INT", {"default": 20, "min": 0, "max": 100, "step": 1}],
    "temperature": ["FLOAT", {"default": 1.0, "min": 0.1, "max": 2.0, "step": 0.1}],
    "repetition_penalty": ["FLOAT", {"default": 1.05, "min": 1.0, "max": 2.0, "step": 0.05}],
    "attention": [["auto", "sage_attn", "flash_attn", "sdpa", "eager"], {"default": "auto"}],
    "unload_model_after_generate": ["BOOLEAN", {"default": False}],
    "custom_model_path": ["STRING", {"default": ""}],
    "config": ["TTS_CONFIG"],
}
TEXT = ["STRING", {"multiline": True, "default": ""}]

# What ComfyUI 0.3.64 answers to GET /object_info for the node pack 1.0.6.
OBJECT_INFO = {
    "FB_Qwen3TTSCustomVoice": {
        "input": {
            "required": {"text": TEXT, "speaker": [SPEAKERS, {"default": "Ryan"}], **MODEL},
            "optional": {
                **SAMPLING,
                "instruct": TEXT,
                "custom_speaker_name": ["STRING", {"default": ""}],
            },
        },
        "python_module": "custom_nodes.ComfyUI-Qwen-TTS",
    },
    "FB_Qwen3TTSVoiceClone": {
        "input": {
            "required": {"target_text": TEXT, **MODEL},
            "optional": {
                **SAMPLING,
                "ref_audio": ["AUDIO", {}],
                "ref_text": TEXT,
                "voice_clone_prompt": ["VOICE_CLONE_PROMPT", {}],
                "x_vector_only": ["BOOLEAN", {"default": False}],
            },
        },
        "python_module": "custom_nodes.ComfyUI-Qwen-TTS",
    },
    "FB_Qwen3TTSTrain": {
        "input": {
            "required": {
                "init_model": [
                    [
                        "Qwen/Qwen3-TTS-Tokenizer-12Hz",
                        "Qwen/Qwen3-TTS-12Hz-1.7B-Base",
                        "Qwen/Qwen3-TTS-12Hz-0.6B-Base",
                    ],
                    {"default": "Qwen/Qwen3-TTS-12Hz-1.7B-Base"},
                ],
                "tokenizer": [["Qwen/Qwen3-TTS-Tokenizer-12Hz"], {}],
                "audio_folder": ["STRING", {"default": ""}],
                "output_dir": ["STRING", {"default": "/srv/ComfyUI/output/qwen3tts_finetune"}],
                "speaker_name": ["STRING", {"default": "new_speaker"}],
                "test_text": TEXT,
                "language": [LANGUAGES[:5], {"default": "English"}],
                "learning_rate": [
                    "FLOAT",
                    {"default": 2e-05, "min": 1e-07, "max": 0.001, "step": 1e-07},
                ],
                "num_epochs": ["INT", {"default": 10, "min": 1, "max": 100}],
                "batch_size": ["INT", {"default": 1, "min": 1, "max": 8}],
                "gradient_accumulation_steps": ["INT", {"default": 4, "min": 1, "max": 64}],
                "validate_every": ["INT", {"default": 2, "min": 1, "max": 10}],
            },
            "hidden": {"unique_id": "UNIQUE_ID"},
        },
        "python_module": "custom_nodes.ComfyUI-Qwen-TTS",
    },
}


def _in_the_new_spelling(info):
    """Spell lists of choices as newer servers do: ["COMBO", {"options": [...]}]."""
    for section in info["input"].values():
        for name, declared in section.items():
            if isinstance(declared, list) and isinstance(declared[0], list):
                options = declared[1] if len(declared) > 1 else {}
                section[name] = ["COMBO", {**options, "options": declared[0]}]
    return info


@pytest.fixture
def node_info():
    """Gives a fresh copy of a node's entry in /object_info, to be changed at will."""
    return lambda class_type: copy.deepcopy(OBJECT_INFO[f"FB_Qwen3TTS{class_type}"])


@pytest.fixture(params=["old", "new"])
def either_spelling(request):
    """Gives an entry as older and as newer servers spell it."""
    if request.param == "old":
        return copy.deepcopy
    return lambda info: _in_the_new_spelling(copy.deepcopy(info))


@pytest.fixture(scope="session")
def spec():
    """Reads a node, with its inputs changed if need be; None takes one out."""

    def spec(class_type, **changed):
        class_type = f"FB_Qwen3TTS{class_type}"
        info = copy.deepcopy(OBJECT_INFO[class_type])
        for name, declared in changed.items():
            for section in info["input"].values():
                if name in section:
                    section[name] = declared
                    if declared is None:
                        del section[name]
        return NodeSpec.read(class_type, info)

    return spec
