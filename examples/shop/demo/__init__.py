"""The demo: real work through a broker and two worker processes, and a check of what became of it.

    python -m examples.shop.demo

`__main__` is the play in order. Before it: `amounts`, `files`. Around it: `mail`, `partners`, `worker`. During it:
`orders`, `progress`. After it: `claims` (is it true?), `summary` (what happened?).
"""
