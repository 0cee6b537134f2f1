"""The rehearsal of a notebook: find out whether a scheduled run would differ from the saved notebook.

    compare/      two outputs of a cell: numbers within a tolerance, tables by cell, images by content
    findings.py   one finding, with its place, its weight and its remedy
    saved.py      hidden state that the saved notebook shows: order of execution, missing names, cells that never ran
    sources.py    code that depends on chance, the clock, the locale, or the machine
    pins.py       packages whose versions no file pins
    observations.py  what the cells used in a run, as the kernels observed it
    plain_run.py  a run of all cells in one kernel
    judge.py      the findings from all of these modules and from two runs
    page.py       the findings as an HTML page

Only `plain_run` starts a kernel. Only `pins` and `observations` read files; the other modules are pure functions.
"""
