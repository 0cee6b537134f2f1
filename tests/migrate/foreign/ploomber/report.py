# + tags=["parameters"]
upstream = ["fit-*"]
product = None
# -

from pathlib import Path
texts = [Path(each["model"]).read_text() for each in upstream["fit-*"].values()]
Path("output/texts.txt").write_text("|".join(texts))
print(texts)
