"""What exists before the first task: the folder, photos and a database of old orders."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from PIL import Image, ImageDraw

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
    for name in ("photos", "mail"):
        (place / name).mkdir()
    return place


def make_photos(folder: Path, number: int) -> list[str]:
    """Still lifes in several sizes, JPEG and PNG in turn; returns their names."""
    names = []
    for n in range(number):
        if n % 2 == 0:
            name = f"photo-{n + 1:02}.jpg"
            still_life(n).save(folder / name, quality=90)
        else:
            name = f"photo-{n + 1:02}.png"
            still_life(n).save(folder / name, compress_level=1)
        names.append(name)
    return names


def still_life(n: int) -> Image.Image:
    """A few round things before a wall, always the same for the same number."""
    chance = random.Random(n)
    width, height = SIZES[n % len(SIZES)]
    hue = chance.randrange(360)
    dark, light = (Image.new("RGB", (width, height), f"hsl({hue},40%,{percent}%)") for percent in (20, 75))
    image = Image.composite(dark, light, Image.linear_gradient("L").resize((width, height)))
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        size = chance.randrange(height // 10, height // 3)
        x, y = chance.randrange(width), chance.randrange(height // 3, height)
        other_hue = (hue + chance.randrange(60, 300)) % 360
        fill = f"hsl({other_hue},{chance.randrange(35, 80)}%,{chance.randrange(35, 75)}%)"
        draw.ellipse((x - size, y - size, x + size, y + size), fill=fill)
    return image


def make_database(path: Path, months: int) -> list[str]:
    """SQLite with the orders of some months; returns the months ("2025-11")."""
    chance = random.Random(1)
    names = [f"2025-{month:02}" for month in range(1, months + 1)]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, placed TEXT, customer TEXT, product INTEGER, cents INTEGER)"
        )
        for month in names:
            database.executemany(
                "INSERT INTO orders (placed, customer, product, cents) VALUES (?, ?, ?, ?)",
                (make_order(chance, month) for _ in range(ORDERS_PER_MONTH + chance.randrange(100))),
            )
    return names


def make_order(chance: random.Random, month: str) -> tuple[str, str, int, int]:
    """placed, customer, product, cents."""
    day = chance.randrange(1, 29)
    return f"{month}-{day:02}", f"customer {chance.randrange(900)}", chance.randrange(60), chance.randrange(500, 90_000)
