"""``storycore-tts clone``."""

import soundfile

CLONE = "FB_Qwen3TTSVoiceClone"
LINE = "These are words that the recording never said."


def test_a_transcript_is_used_and_may_stand_in_a_file(there, spoken, inputs_of, tmp_path):
    audio, words = spoken
    (tmp_path / "words.txt").write_text(words + "\n", encoding="utf-8-sig")
    for option, value in (("--ref-text", words), ("--ref-text-file", "words.txt")):
        marked = f"**{LINE}**"
        how = (option, value, "--strip-markup", "--consent", "My own voice.", "--json")
        told = there("clone", audio, marked, *how).json
        assert (told["x_vector_only"], told["warnings"]) == (False, [])
        sent = inputs_of(CLONE)
        assert (sent["ref_text"], sent["target_text"]) == (words, LINE)


def test_only_the_timbre_is_taken_without_a_transcript_or_when_asked_for(there, spoken, inputs_of):
    audio, words = spoken
    for more in ([], ["--ref-text", words, "--x-vector-only"]):
        answer = there("clone", audio, LINE, "--json", *more)
        assert answer.json["x_vector_only"] is True
        assert "warning: the request does not state the speaker's consent" in answer.err
        assert more or "warning: cloned from the x-vector only" in answer.err
        assert inputs_of(CLONE)["x_vector_only"] is True


def test_how_to_say_it_is_passed_on_or_said_to_be_unheard(there, spoken):
    answer = there("clone", spoken[0], LINE, "--instruct", "Whisper.")
    assert answer.status == 0
    assert "clones ignore instruct" in answer.err


def test_a_real_clone_speaks(cli, spoken, speaking_server, tmp_path):
    audio, words = spoken
    out = tmp_path / "clone.ogg"
    answer = cli(
        "clone", audio, "-", "--url", speaking_server.url, "--ref-text", words, "-l", "en",
        "-o", out, "--seed", 1, stdin=LINE.encode(),
    )  # fmt: skip
    assert answer.path == str(out)
    samples, rate = soundfile.read(out)
    assert 1.5 < len(samples) / rate < 8
    assert abs(samples).max() > 0.05


def test_a_transcript_that_cannot_be_read_is_refused(cli, spoken, tmp_path):
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    for name, more, said in [
        ("none.txt", [], "Cannot read none.txt"),
        ("latin.txt", [], "is not UTF-8"),
        ("latin.txt", ["--ref-text", "a"], "not both"),
    ]:
        answer = cli("clone", spoken[0], LINE, "--ref-text-file", name, *more)
        assert answer.status == 2
        assert said in answer.err


def test_a_recording_that_is_none_is_refused_before_anybody_is_asked(cli, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF but no more")
    for name, said in [("none.wav", "No such file"), ("broken.wav", "Cannot read broken.wav")]:
        answer = cli("clone", name, LINE, "--url", "http://127.0.0.1:9", "--json")
        assert answer.status == 2
        assert answer.json["error"]["type"] == "InvalidReferenceAudio"
        assert said in answer.err
