"""What exists before the first task: the folder, photos and a database of old orders."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

MARK = ".distq-demo"
"""In every folder that the demo has made; no other one is ever replaced."""

ORDERS_PER_MONTH = 500
SIZES = ((1600, 1200), (1200, 1600), (2000, 1125), (1024, 1024))


def make_folder(place: Path) -> Path:
    """An empty folder of our own; replaces that of an earlier run. Raises FileExistsError if there is another one."""
    if place.exists() and any(place.iterdir()):
        if not (place / MARK).exists():
            raise FileExistsError(f"{place} holds files that are not from this demo: choose another --output")
        shutil.rmtree(place)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    (place / MARK).touch()
    for name in ("photos", "thumbnails", "exports", "mail"):
        (place / name).mkdir()
    (place / "reminders.csv").write_text("order,due,noted\n", encoding="utf-8")
    (place / "journal.jsonl").touch()
    return place


def make_photos(folder: Path, number: int) -> list[str]:
    """Still lifes in several sizes, half of them JPEG, half of them PNG; returns their names."""
    names = []
    for n in range(number):
        name = f"photo-{n + 1:02}.{'jpg' if n % 2 == 0 else 'png'}"
        picture(n).save(folder / name, **({"quality": 90} if n % 2 == 0 else {"compress_level": 1}))
        names.append(name)
    return names


def picture(n: int) -> Image.Image:
    """A few round things before a wall, always the same for the same number."""
    chance = random.Random(n)
    width, height = SIZES[n % len(SIZES)]
    hue = chance.randrange(360)
    wall = Image.linear_gradient("L").resize((width, height))
    image = Image.composite(color(width, height, hue, 20), color(width, height, hue, 75), wall)
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        size = chance.randrange(height // 10, height // 3)
        x, y = chance.randrange(width), chance.randrange(height // 3, height)
        shade = (
            f"hsl({(hue + chance.randrange(60, 300)) % 360},{chance.randrange(35, 80)}%,{chance.randrange(35, 75)}%)"
        )
        draw.ellipse((x - size, y - size, x + size, y + size), fill=shade)
    return image.filter(ImageFilter.GaussianBlur(1.5))


def color(width: int, height: int, hue: int, light: int) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (width, height), f"hsl({hue},40%,{light}%)")


def make_database(path: Path, months: int) -> list[str]:
    """SQLite with the orders of the last months; returns the months ("2025-11")."""
    chance = random.Random(1)
    names = [f"2025-{month:02}" for month in range(1, months + 1)]
    rows = [
        (f"{month}-{chance.randrange(1, 29):02}", f"customer {chance.randrange(900)}", chance.randrange(60), chance.randrange(500, 90_000))
        for month in names
        for _ in range(ORDERS_PER_MONTH + chance.randrange(100))
    ]  # fmt: skip
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, placed TEXT, customer TEXT, product INTEGER, cents INTEGER)"
        )
        database.executemany("INSERT INTO orders (placed, customer, product, cents) VALUES (?, ?, ?, ?)", rows)
    return names
