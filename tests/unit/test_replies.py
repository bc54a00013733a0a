"""Error replies: their code, whatever a server puts around it."""

from __future__ import annotations

import pytest

from distq.broker.connect import ServerError

OOM = "OOM command not allowed when used memory > 'maxmemory'."
CALL = "ERR Error running script (call to f_8f55ae4a3be429c6d38c5d5db3e80edf89197b64)"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (OOM, "OOM", OOM),
        (f"-{OOM}", "OOM", f"-{OOM}"),
        (f"{CALL}: @user_script:41: @user_script: 41: -{OOM}", "OOM", OOM),
        (f"{CALL}: @user_script:41: {OOM}", "OOM", OOM),
        (f"{CALL}: @user_script:1: WRONGTYPE of\nlines", "WRONGTYPE", "WRONGTYPE of\nlines"),
        (f"{CALL}: @user_script:3: attempt to index nil", "ERR", f"{CALL}: @user_script:3: attempt to index nil"),
        ("NOSCRIPT No matching script.", "NOSCRIPT", "NOSCRIPT No matching script."),
        ("", "", ""),
    ],
)
def test_the_code_of_an_error_reply_is_that_of_the_command_which_was_refused(text: str, code: str, said: str) -> None:
    error = ServerError(text)
    assert (error.code, str(error)) == (code, said)
