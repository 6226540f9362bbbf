#!/usr/bin/env bash
# Turns the verse listing of `bible -f` on standard input into JSON lines, one document per chapter: removes the verse
# labels and joins the verses of a chapter, one per line.
set -euo pipefail
export LC_ALL=C
awk '
  # A verse line is "Ge1:1 In the beginning ..."; the book may begin with a digit ("1Sa3:4").
  match($0, /^[0-9]?[A-Za-z]+[0-9]+:[0-9]+ /) {
    label = substr($0, 1, RLENGTH - 1)
    verse = substr($0, RLENGTH + 1)
    sub(/:.*/, "", label)
    if (label != chapter) {
      if (chapter != "") print "{\"text\":\"" body "\"}"
      chapter = label
      body = ""
    }
    gsub(/\\/, "\\\\\\\\", verse)
    gsub(/"/, "\\\"", verse)
    gsub(/[[:cntrl:]]/, " ", verse)
    body = body (body == "" ? "" : "\\n") verse
  }
  END { if (chapter != "") print "{\"text\":\"" body "\"}" }
'
