"""Which calls are meant by their arguments."""

from __future__ import annotations

from distq import Distq
from distq.message import Message
from distq.server.site import ServerConfig, Site
from distq.sought import Sought


def test_arguments_by_place_have_the_names_of_their_own_version() -> None:
    """Else all calls for user 7 that are cancelled would be those of an older version for shop 7."""
    app = Distq("app", broker="redis://nowhere:1")

    @app.task(version=2, upgrade={1: lambda shop, user: ((user, shop), {})})
    def mail(user: int, shop: int) -> None: ...

    def of(type: str) -> Message:
        return Message(0, 0, 0, 0, 0, 0, 1, 0, type, app.codec.pack_call((7, 1), {}))

    means = Sought(app, [("user", "7")])
    assert means(of("mail@2"))
    assert not means(of("mail"))
    names_of = Site(app, ServerConfig()).names_of
    assert (names_of("mail@2", 2), names_of("mail", 2)) == (["user", "shop"], ["[0]", "[1]"])
