# %% [markdown]
# # Clean

# %% tags=["parameters"]
upstream = ["get"]
product = None

# %%
from pathlib import Path

lines = Path(upstream["get"]).read_text().split()[1:]

# %%
kept = [line for line in lines if line != "0"]
len(kept)

# %%
Path(product["data"]).write_text("\n".join(kept))
