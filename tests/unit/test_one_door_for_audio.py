"""Generated audio leaves through services.marking: only these modules write sound files.

A new module here writes speech that cannot be told from a recording. Use ``Speech.encode`` or
``Speech.save`` instead, or, for streams, ``SpeechService.stream``.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("storycore_tts", "qwen_tts_comfyui", "storycore_tts_cli")

WRITERS = {
    "storycore_tts/sound/files.py": "the encoder of whole files, with tags",
    "storycore_tts/sound/ffmpeg.py": "FFmpeg's encoder, for the next two",
    "storycore_tts/sound/stream_encoder.py": "the encoder of streams, with tags",
    "storycore_tts/domain/speech.py": "speech without a service, with tags",
    "storycore_tts/services/marking.py": "the door",
    "storycore_tts/services/rendering.py": "streams, with the tags of the door",
    "storycore_tts/services/speech_service.py": "keeps recordings of users, as they are",
    "storycore_tts/services/voice_files.py": "keeps recordings of users, as they are",
    "storycore_tts/adapters/comfyui/speaking.py": "sends a user's recording to ComfyUI",
    "storycore_tts/testing/contract.py": "makes tones for tests",
    "storycore_tts/testing/comfyui/speech.py": "pretends to be ComfyUI",
    "storycore_tts/testing/comfyui/nodes.py": "pretends to be ComfyUI",
    "storycore_tts/testing/comfyui/training.py": "pretends to be ComfyUI",
}
OUR_ENCODERS = {"encode", "encode_exactly", "StreamEncoder", "FFmpegEncoder"}
OUR_MODULES = ("sound.files", "sound.stream_encoder", "sound.ffmpeg", "testing.comfyui.speech")
OUR_MODULE_NAMES = {"files", "stream_encoder", "ffmpeg"}


def _is_writer(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        ours = node.level > 0 or (node.module or "").endswith(OUR_MODULES)
        names = {name.name for name in node.names}
        if node.module in ("soundfile", "wave", "av"):
            return True  # their functions are called by the names of the modules
        whole_module = node.module == "storycore_tts.sound" and names & OUR_MODULE_NAMES
        return bool(whole_module or (ours and names & OUR_ENCODERS))
    if isinstance(node, ast.Import):
        return any(name.name == "wave" for name in node.names)
    return isinstance(node, ast.Call) and _opens_to_write(node)


def _opens_to_write(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name in ("soundfile.write", "sf.write", "wave.open"):
        return True
    if not name.endswith(("soundfile.SoundFile", "av.open")):
        return False
    mode = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
    return any(ast.unparse(one) not in ("'r'", '"r"') for one in mode)


def test_only_known_modules_write_sound_files():
    found = set()
    for package in PACKAGES:
        for file in sorted(ROOT.glob(f"{package}/**/*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            if any(map(_is_writer, ast.walk(tree))):
                found.add(str(file.relative_to(ROOT)))
    assert found == set(WRITERS)
