"""Shared by the generators of Unicode tables. Uses the package unicodedata2 if installed: it is newer than the
interpreter's own tables, and its version 16.0.0 made the committed files."""

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

POINTS = range(0x110000)


def runs(value_of):
    """[first, last, value] of every run of code points with the same value, both included; value 0 is left out."""
    found = []
    for point in POINTS:
        value = value_of(chr(point))
        if not value:
            continue
        if found and found[-1][1] == point - 1 and found[-1][2] == value:
            found[-1][1] = point
        else:
            found.append([point, point, value])
    return found


def table(declaration, items):
    """A C++ array of the items, in lines of 120 characters."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 120:
            lines.append(line)
            line = "   "
        line += " " + item + ","
    lines.append(line.rstrip(","))
    return "inline constexpr %s[] = {\n%s};\n" % (declaration, "\n".join(lines))
