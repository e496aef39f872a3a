"""Folders for data of the program."""

import os
import subprocess
import sys

import pytest

HOMELESS = """
import os, platformdirs.unix, pwd
from storycore_tts.errors import ConfigurationError
from storycore_tts.services.files import user_data
for name in ("HOME", "XDG_DATA_HOME"):
    os.environ.pop(name, None)
os.setuid(64321)
try:
    user_data()
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may be others")
def test_an_unknown_user_without_a_home_is_told_to_name_a_folder():
    command = [sys.executable, "-c", HOMELESS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Set HOME or XDG_DATA_HOME" in done.stdout, done.stderr
