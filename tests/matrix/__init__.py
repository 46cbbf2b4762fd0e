"""Frontend x provider x capability x {stream, json}: every cell a test, and the README's table out of the same data."""
