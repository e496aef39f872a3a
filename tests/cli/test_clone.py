"""``storycore-tts clone``."""

import soundfile

CLONE = "FB_Qwen3TTSVoiceClone"
LINE = "These are words that the recording never said."


def test_a_transcript_is_used(cli, spoken, server, inputs_of):
    audio, words = spoken
    told = cli("clone", audio, LINE, "--url", server.url, "--ref-text", words, "--json").json
    assert told["x_vector_only"] is False
    assert told["warnings"] == []
    sent = inputs_of(CLONE)
    assert (sent["ref_text"], sent["target_text"]) == (words, LINE)


def test_a_transcript_may_stand_in_a_file(cli, spoken, server, inputs_of, tmp_path):
    audio, words = spoken
    (tmp_path / "words.txt").write_text(words + "\n", encoding="utf-8-sig")
    answer = cli("clone", audio, LINE, "--url", server.url, "--ref-text-file", "words.txt")
    assert answer.status == 0
    assert inputs_of(CLONE)["ref_text"] == words


def test_only_the_timbre_is_taken_without_a_transcript_or_when_asked_for(
    cli, spoken, server, inputs_of
):
    audio, words = spoken
    answer = cli("clone", audio, LINE, "--url", server.url, "--json")
    assert answer.json["x_vector_only"] is True
    assert "warning: cloned from the x-vector only" in answer.err
    answer = cli(
        "clone", audio, LINE, "--url", server.url, "--ref-text", words, "--x-vector-only", "--json"
    )
    assert answer.json["x_vector_only"] is True
    assert inputs_of(CLONE)["x_vector_only"] is True


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


def test_a_backend_that_cannot_clone_says_so(cli, spoken):
    answer = cli("clone", spoken[0], LINE, "--backend", "draft", "--json")
    assert (answer.status, answer.json["error"]["type"]) == (2, "UnsupportedByBackend")
