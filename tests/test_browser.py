"""The browser's helper: a picture that Chromium gave up on is asked for again."""

import pytest

from tests.browser import picture


def test_a_picture_is_asked_for_again() -> None:
    timeout = pytest.importorskip("selenium.common.exceptions").TimeoutException
    answers = [timeout("aborted by navigation")] * 6 + [b"png"]

    def take() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert picture(take, pause=0.01) == b"png"
    answers.extend([timeout("gone")] * 200)
    with pytest.raises(timeout):
        picture(take, patience=0.05, pause=0.01)
