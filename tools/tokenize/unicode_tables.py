"""What the generators of Unicode tables here share. Uses the package unicodedata2 where installed, whose version 16.0.0
made the committed files: it is newer than the interpreter's own tables."""

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

POINTS = range(0x110000)


def runs(value_of):
    """[first, last, value] of neighbouring code points with one value, both included; without those whose value is 0."""
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
