"""Signed sound files."""

MUTANTS = [
    (
        "storycore_tts/adapters/c2pa/reader.py",
        '"remote_manifest_fetch": False',
        '"remote_manifest_fetch": True',
        "a stranger's file makes the service fetch an address",
        ["tests/unit/c2pa/test_reader.py"],
    ),
    (
        "storycore_tts/adapters/c2pa/credentials.py",
        '            with locked(folder / "lock"):\n',
        "            if True:\n",
        "two processes make two keys",
        ["tests/unit/c2pa/test_credentials.py"],
    ),
    (
        "storycore_tts/concurrency/shared_files.py",
        "0o600 if private else 0o666",
        "0o666",
        "others can read the key",
        ["tests/unit/c2pa/test_credentials.py"],
    ),
    (
        "storycore_tts/adapters/c2pa/signer.py",
        "            if self._time_required:\n                raise\n",
        "",
        "a file without a time stamp passes where one is required",
        ["tests/unit/c2pa/test_time_authority.py"],
    ),
    (
        "storycore_tts/adapters/c2pa/manifests.py",
        '"description": tags.comment,',
        '"description": tags.comment + (speech.request.text if speech.request else ""),',
        "the manifest tells the text",
        ["tests/unit/c2pa/test_signing.py"],
    ),
    (
        "storycore_tts/adapters/c2pa/time_authority.py",
        "answer.get(timeout=self._patience)",
        "answer.get(timeout=60)",
        "a time authority that hangs holds up every file",
        ["tests/unit/c2pa/test_time_authority.py"],
    ),
]
