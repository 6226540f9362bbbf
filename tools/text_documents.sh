#!/usr/bin/env bash
# Turns one text on standard input into JSON lines: paragraphs (separated by blank lines) are joined into documents of at
# least 4,000 bytes, so that a single file can be split into training and validation.
set -euo pipefail
export LC_ALL=C
awk '
  function escaped(s) {
    gsub(/\\/, "\\\\\\\\", s)
    gsub(/"/, "\\\"", s)
    gsub(/\t/, "\\t", s)
    gsub(/\r/, "\\r", s)
    gsub(/[[:cntrl:]]/, " ", s)
    return s
  }
  function flush() {
    if (bytes > 0) print "{\"text\":\"" body "\"}"
    body = ""
    bytes = 0
  }
  $0 == "" && bytes >= 4000 { flush(); next }
  { body = body escaped($0) "\\n"; bytes += length($0) + 1 }
  END { flush() }
'
