"""What attackers of the HTTP API try, and where that is tried here."""

from __future__ import annotations

from pathlib import Path

import pytest

ROWS = {
    "a wrong key, any route and method": "security: without_a_valid_key no_wrong_key",
    "a key that is none": "security: a_server_with_a_key_that_is_none a_server_without_a_key_serves",
    "odd bytes and sizes of keys": "security: no_wrong_key_is_taken",
    "tricks with paths": "security: without_a_valid_key_every_route health_needs_no_key",
    "headers of proxies, an evil Host": "security: a_server_without_a_key_serves",
    "forms and pages of other sites": "security: no_page_of_another_site reading_changes_nothing",
    "preflights": "security: no_page_of_another_site",
    "markup in values": "security: what_is_in_the_broker_is_shown_as_data browser_shown: hostile_text_stays_text",
    "headers of answers": "security: answers_are_not_guessed_at",
    "bodies that are large, slow, odd": "security: bodies_that_are_too_large a_body_without_a_length slow_clients",
    "floods, and clients that do not read": "security: a_flood_of_requests who_takes_nothing",
    "hostile JSON": "tasks: json_is_read_strictly what_is_very_deep an_argument_may_have_any_name",
    "very many parts": "security: bodies_of_very_many_parts",
    "numbers": "tasks: what_does_not_fit options_that_do_not_fit",
    "pages and cursors": "operating: tasks_are_found_by_state a_page_reads_a_bounded_number",
    "names": "security: names_in_a_path",
    "text in scripts, code from data": "guards/safety: nothing_turns_data_into_code",
    "types that nobody has declared": "tasks: what_does_not_fit",
    "raw bytes in the broker": "security: what_is_in_the_broker operating: what_nobody_can_read",
    "a request that is sent again": "tasks: a_request_with_an_idempotency_key",
    "secrets in errors and logs": "security: an_error_shows_nothing keys_are_in_no_log",
    "secrets in arguments": "tasks: values_of_named_arguments_are_hidden",
    "no broker": "tasks: while_the_broker_is_away",
    "many wrong keys, many listeners": "security: many_wrong_keys operating: many_listeners",
    "aborted requests": "tasks: aborted_requests",
    "encryption to the broker": "system/tls: what_does_not_fit_is_said",
}
"""What an attacker tries -> files, and how the names of the tests there begin."""


@pytest.mark.parametrize("row", ROWS)
def test_what_an_attacker_tries_is_tried(row: str) -> None:
    text = ""
    for word in ROWS[row].split():
        if word.endswith(":"):
            folder, _, name = word.removesuffix(":").rpartition("/")
            text = (Path(__file__).parents[1] / (folder or "server") / f"test_{name}.py").read_text("utf-8")
        else:
            assert f"\ndef test_{word}" in text, word
