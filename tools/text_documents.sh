#!/usr/bin/env bash
# Turns one text on standard input into JSON lines: paragraphs (separated by blank lines) are joined into documents of at
# least 4,000 bytes, so that a single file can be split into training and validation. Lines end in LF, CRLF or CR; a
# line of white space is blank; a byte order mark at the start is dropped.
set -euo pipefail
export LC_ALL=C
sed $'s/\r*$//' | tr '\r' '\n' | awk '
  function escaped(s) {
    gsub(/\\/, "\\\\\\\\", s)
    gsub(/"/, "\\\"", s)
    gsub(/\t/, "\\t", s)
    gsub(/[[:cntrl:]]/, " ", s)
    return s
  }
  function flush() {
    if (bytes > 0) print "{\"text\":\"" body "\"}"
    body = ""
    bytes = 0
  }
  NR == 1 { sub(/^\357\273\277/, "") }
  /^[[:space:]]*$/ { $0 = "" }
  $0 == "" && bytes >= 4000 { flush(); next }
  { body = body escaped($0) "\\n"; bytes += length($0) + 1 }
  END { flush() }
'
