#!/bin/sh
# Builds, from Go, what the tests start beside Tidegate, into ${XDG_CACHE_HOME:-~/.cache}/tidegate-tests/bin. Run again
# it does nothing. Without them the tests that need them are skipped; in CI they fail.
set -eu

folder="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-tests/bin"

# name, module, version
build() {
    if [ -x "$folder/$1" ] && [ "$(cat "$folder/$1.version" 2>/dev/null)" = "$3" ]; then
        echo "$1 $3 is there"
        return
    fi
    if ! command -v go >/dev/null; then
        echo "$1 cannot be built: there is no go on PATH" >&2
        exit 1
    fi
    mkdir -p "$folder"
    echo "building $1 $3 (a few minutes, once)"
    GOBIN="$folder" go install "$2@$3"
    echo "$3" >"$folder/$1.version"
}

# A server that speaks the API of S3 over a folder.
build versitygw github.com/versity/versitygw/cmd/versitygw v1.8.0
