"""Values that break out of a text if they are pasted into it."""

from __future__ import annotations

VALUES: tuple[str, ...] = (
    # quotes
    "'", '"', "''", '""', "`", "it's", 'say "hi"', "'; DROP TABLE t; --", '"; DROP TABLE t; --', "' OR '1'='1", "\\", "\\'",
    # shells
    "$(touch hacked)", "`touch hacked`", "$HOME", "${IFS}", "$((1+1))", "a; touch hacked", "a && touch hacked",
    "a | tee hacked", "> hacked", "*", "~", "!!", "#", "-rf", "--help", "a\nb", "a\r\nb", "\n", "EOF\ntouch hacked\nEOF",
    "$'\\x41'", "{a,b}", "[a-z]", "?",
    # templates and formats
    "{x}", "{{ x }}", "{{ 7 * 7 }}", "{% raw %}", "{# #}", "{0}", "%s", "%(x)s", "%", "100%25",
    # other languages
    ":x", ":y::int", "$x", "<script>alert(1)</script>", "&amp;", "a=b&c=d", "http://other.example/", "a b ", " ", "",
    "é 漢字 🙂", "\u202e", "\x1b[31m", "\x7f", "null", "true", "[1]",
)  # fmt: skip
NUL = "a\0b"
