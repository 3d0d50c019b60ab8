from __future__ import annotations

import pytest

from pipeline.hosts.conversation import HostError, Unclear
from pipeline.hosts.sticky import Sticky, upsert
from tests.support.conversations import HEAD, MemoryConversation, endless_patience

STICKY = Sticky("models/trt-engines.yaml")


def body(text: str, sticky: Sticky = STICKY) -> str:
    return f"{sticky.first_line(HEAD)}\n{text}"


def put(conversation: MemoryConversation, text: str, *, create: bool = True) -> int | None:
    return upsert(conversation, STICKY, body(text), endless_patience(), create=create)


def test_the_first_time_a_comment_is_written_and_then_edited_in_place() -> None:
    conversation = MemoryConversation()
    first = put(conversation, "one")
    assert put(conversation, "two") == first
    assert conversation.own_bodies == [body("two")]
    assert conversation.created == 1


def test_a_text_that_stands_already_is_not_written_again() -> None:
    conversation = MemoryConversation()
    put(conversation, "one")
    put(conversation, "one")
    assert (conversation.created, conversation.edited) == (1, 0)


def test_each_manifest_has_its_own() -> None:
    conversation = MemoryConversation()
    other = Sticky("other.yaml")
    put(conversation, "one")
    upsert(conversation, other, body("two", other), endless_patience())
    assert conversation.own_bodies == [body("one"), body("two", other)]


def test_a_comment_of_another_author_is_left_alone_whatever_it_says() -> None:
    conversation = MemoryConversation()
    planted = conversation.say(body("planted"), own=False)
    put(conversation, "one")
    assert conversation.said[planted].body == body("planted")
    assert conversation.own_bodies == [body("one")]


def test_a_comment_of_ours_that_only_quotes_the_marker_is_left_alone() -> None:
    conversation = MemoryConversation()
    conversation.say(f"> {body('quoted')}")
    put(conversation, "one")
    assert conversation.own_bodies == [f"> {body('quoted')}", body("one")]


def test_an_unclear_answer_after_the_comment_was_written_makes_no_second_one() -> None:
    conversation = MemoryConversation(after=[Unclear("502")])
    put(conversation, "one")
    assert conversation.own_bodies == [body("one")]
    assert conversation.created == 1


def test_an_unclear_answer_before_the_comment_was_written_is_tried_again() -> None:
    conversation = MemoryConversation(before=[Unclear("502"), Unclear("502")])
    put(conversation, "one")
    assert conversation.own_bodies == [body("one")]


def test_a_comment_that_is_deleted_while_it_is_edited_is_written_anew() -> None:
    conversation = MemoryConversation()
    first = put(conversation, "one")
    assert first is not None
    conversation.on_write = [lambda: conversation.delete(first)]
    second = put(conversation, "two")
    assert second != first
    assert conversation.own_bodies == [body("two")]


def test_of_two_that_were_written_at_once_the_older_stays() -> None:
    conversation = MemoryConversation()
    conversation.on_write = [lambda: conversation.say(body("theirs"))]
    kept = put(conversation, "ours")
    assert kept == 101
    assert conversation.own_bodies == [body("ours")]


def test_a_comment_that_is_not_listed_yet_is_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = MemoryConversation()
    monkeypatch.setattr(MemoryConversation, "comments", lambda _self: [])
    assert put(conversation, "one") == 101
    assert conversation.created == 1


def test_nothing_new_is_written_where_that_is_not_wanted() -> None:
    conversation = MemoryConversation()
    assert put(conversation, "one", create=False) is None
    first = put(conversation, "one")
    assert put(conversation, "two", create=False) == first


def test_a_host_that_never_takes_it_is_given_up() -> None:
    conversation = MemoryConversation(before=[Unclear("502")] * 20)
    with pytest.raises(HostError, match="comes and goes"):
        put(conversation, "one")


def test_the_marker_tells_nothing_that_could_end_it() -> None:
    hostile = Sticky("--> <img src=x> -->.yaml")
    assert hostile.first_line(HEAD).count("-->") == 1
