"""Write Python source: from bodies in other languages, from functions, and from values of a %%dag cell."""
