"""What sound files say of themselves."""

FILES = "storycore_tts/sound/files.py"
TAGGED = ["tests/unit/sound/test_tagged_files.py"]
MARKING = ["tests/unit/services/test_marking.py"]

MUTANTS = [
    (
        FILES,
        'struct.pack("<I", len(data) + len(chunks) - 8)',
        "data[4:8]",
        "the tags of a wav lie behind its end, where no program reads them",
        TAGGED,
    ),
    (
        FILES,
        '(mp3_silence(data, sample_rate, MP3_BIT_RATE) if by_ffmpeg else b"")',
        'b""',
        "FFmpeg drops the beginning of each line of joined mp3 files",
        TAGGED,
    ),
    (
        FILES,
        "return start + data + id3_end(tags)",
        "return start + data",
        "FFmpeg fails in the middle of joined mp3 files",
        TAGGED,
    ),
    (
        "storycore_tts/sound/decoders.py",
        "        return 0\n    return int(file.frames)",
        "        pass\n    return int(file.frames)",
        "an mp3 with tags and without an index is refused as truncated",
        TAGGED,
    ),
    (
        "storycore_tts/domain/provenance.py",
        "if checkpoint or PureWindowsPath(model).root:",
        "if False:",
        "a file tells the world the folders of its user",
        MARKING,
    ),
    (
        "storycore_tts/services/marking.py",
        'and not (joinable and suffix == ".mp3")',
        "and True",
        "the manifest of the first of several joined mp3 files does not hold",
        MARKING,
    ),
    (
        "storycore_tts/services/speech_service.py",
        "                        encoder.tag(tts.marking.tags(speech))\n",
        "                        pass\n",
        "streams have no marks",
        MARKING,
    ),
    (
        "storycore_tts/container.py",
        "    if reason := config.marking.off_because:\n",
        "    if reason := None:\n",
        "marking is switched off, and the log is silent",
        MARKING,
    ),
    (
        "storycore_tts/entrypoints/http/openai/streaming.py",
        "bare = asked.stream_format is None",
        "bare = False",
        "a client that cuts 44 bytes off a wav plays its tags as noise",
        ["tests/http/test_clients.py"],
    ),
]
