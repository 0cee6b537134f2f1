from pathlib import Path


def get(product, rows):
    Path(product).write_text("x\n" + "\n".join(str(n) for n in range(rows)))


def check(product):
    assert Path(product).exists()
