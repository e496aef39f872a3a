"""Which folders a request may name."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.entrypoints.http.security.roots import folder_within
from storycore_tts.errors import InvalidRequest


@pytest.fixture
def root(tmp_path):
    for name in ("voices/mia/epoch_9", "secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "voices/note.txt").write_text("no folder")
    (tmp_path / "voices/away").symlink_to(tmp_path / "secret", target_is_directory=True)
    (tmp_path / "voices/best").symlink_to(tmp_path / "voices/mia/epoch_9", target_is_directory=True)
    return tmp_path / "voices"


def named(name, *roots, what="checkpoint"):
    return folder_within(str(name), list(map(str, roots)), what=what)


async def test_a_folder_below_a_root_is_found(root):
    for name in ("mia", "mia/epoch_9", "mia/", "./mia", "mia/../mia", "best", root / "mia"):
        found = await named(name, "/nowhere", root)
        assert found.startswith(str(root.resolve() / "mia"))


@pytest.mark.parametrize(
    "name",
    ["..", "../secret", "mia/../../secret", "/etc", "away", "note.txt", ".", "~", "a" * 300],
)
async def test_everything_else_is_refused_alike(root, name):
    with pytest.raises(InvalidRequest, match="was not found") as refused:
        await named(name, root)
    assert str(root) not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b"])
async def test_what_is_no_name_at_all_is_refused(root, name):
    with pytest.raises(InvalidRequest):
        await named(name, root)


async def test_a_root_that_nobody_can_look_into_is_another_machines():
    endless = "/" + "x" * 300  # refused to everybody; one without permission is not, to root
    assert await named("mia", endless) == f"{endless}/mia"


async def test_without_a_root_nothing_is_found():
    with pytest.raises(InvalidRequest, match="has not configured any"):
        await named("mia")


FAR = ["/srv/far/voices", "D:\\far\\voices"]


@pytest.mark.parametrize(
    ("root", "name", "found"),
    [
        (FAR[0], "mia/epoch_9", "/srv/far/voices/mia/epoch_9"),
        (FAR[0], "/srv/far/voices/mia", "/srv/far/voices/mia"),
        (FAR[1], "mia/epoch_9", "D:\\far\\voices\\mia\\epoch_9"),
    ],
)
async def test_a_folder_on_another_machine_is_judged_by_its_name(root, name, found):
    assert await named(name, root, what="dataset") == found


@pytest.mark.parametrize(
    "name",
    ["..", "a/../../b", "a\\..\\b", "/etc/passwd", "C:\\x", "~/x", "a//b", "/srv/far/voicesx"],
)
@pytest.mark.parametrize("root", FAR)
async def test_no_name_leads_out_of_another_machines_folder(root, name):
    with pytest.raises(InvalidRequest, match=r"^The dataset .* was not found"):
        await named(name, root, what="dataset")


@given(st.text("ab./\\:~ ", max_size=20))
async def test_no_name_at_all_leads_out(name):
    try:
        found = await named(name, FAR[0], what="dataset")
    except InvalidRequest:
        return
    assert found.startswith(FAR[0] + "/")
    assert ".." not in found.split("/")


if sys.platform == "win32":
    pytestmark = pytest.mark.skip("links need a privilege there")
