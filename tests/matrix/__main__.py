"""``python -m tests.matrix`` writes the table into the README."""

from tests.matrix.table import README, written

README.write_text(written(README.read_text("utf-8")), "utf-8")
