"""A conversation in memory, with others in it and faults to order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.hosts.conversation import Comment, HostError, Missing, Standing, TooLong
from pipeline.hosts.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = "a" * 40


def endless_patience() -> Patience:
    """Sleeps not at all."""
    return Patience(1e9, sleep=lambda _wait_s: None)


@dataclass(slots=True)
class MemoryConversation:
    """What was said, by id. ``before`` and ``after`` hold the errors that the next creations end in."""

    limit_bytes: int = 65_536
    taken_bytes: int = 65_536
    stands: Standing = field(default_factory=lambda: Standing(open=True, head=HEAD))
    said: dict[int, Comment] = field(default_factory=dict)
    before: list[HostError] = field(default_factory=list)
    after: list[HostError] = field(default_factory=list)
    on_write: list[Callable[[], object]] = field(default_factory=list)
    created: int = 0
    edited: int = 0
    last_id: int = 100

    def say(self, body: str, *, own: bool = True) -> int:
        self.last_id += 1
        number = self.last_id
        self.said[number] = Comment(number, own, body)
        return number

    @property
    def own_bodies(self) -> list[str]:
        return [comment.body for comment in self.said.values() if comment.own]

    def standing(self) -> Standing:
        return self.stands

    def comments(self) -> list[Comment]:
        return list(self.said.values())

    def create(self, body: str) -> int:
        self._write(body)
        if self.before:
            raise self.before.pop()
        self.created += 1
        number = self.say(body)
        if self.after:
            raise self.after.pop()
        return number

    def edit(self, comment: int, body: str) -> None:
        self._write(body)
        if comment not in self.said:
            raise Missing("gone")
        self.edited += 1
        self.said[comment] = Comment(comment, self.said[comment].own, body)

    def delete(self, comment: int) -> None:
        self.said.pop(comment, None)

    def _write(self, body: str) -> None:
        if len(body.encode()) > self.taken_bytes:
            raise TooLong("body is too long")
        if self.on_write:
            self.on_write.pop()()
