#!/bin/sh
# Says what this machine lacks to install and run Tidegate, and the command that gets it.
#
# Prints the Python to use on standard output and ends with 0; or explains on standard error, all at once, and ends
# with 1. PYTHON=/path/to/python overrides the search. Needs nothing but a shell, and changes nothing.

missing=0

lacks() { # what, command
    missing=$((missing + 1))
    printf 'missing: %s\n' "$1" >&2
    printf '    %s\n' "$2" >&2
}

has() { command -v "$1" >/dev/null 2>&1; }

# The first argument for Debian and Ubuntu, the second for Fedora, the third for macOS, the last for all others.
get() {
    if has apt-get; then
        if [ "$(id -u)" = 0 ]; then printf 'apt-get install -y %s' "$1"; else printf 'sudo apt-get install -y %s' "$1"; fi
    elif has dnf; then
        if [ "$(id -u)" = 0 ]; then printf 'dnf install -y %s' "$2"; else printf 'sudo dnf install -y %s' "$2"; fi
    elif has brew; then printf 'brew install %s' "$3"
    elif [ "$system" = Darwin ]; then printf 'install Homebrew (https://brew.sh), then: brew install %s' "$3"
    else printf '%s' "$4"
    fi
}

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

system=$(uname -s)
machine=$(uname -m)

# The gateway is Envoy, which comes as a ready-made program for some platforms only.
case "$system $machine" in
    Linux\ x86_64 | Linux\ aarch64)
        glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
        if [ -z "$glibc" ]; then
            lacks "glibc: this Linux has another C library (musl, as on Alpine), for which there is no Envoy" \
                "use Debian, Ubuntu or Fedora, for example in a container: docker run -it debian:12"
        else
            minor=${glibc##*.}
            case "$minor" in *[!0-9]* | '') minor=0 ;; esac
            if [ "$minor" -lt 31 ]; then
                lacks "glibc 2.31 or newer, which Envoy needs; this is $glibc" \
                    "use Debian 11, Ubuntu 20.04, Fedora 32 or newer"
            fi
        fi
        ;;
    Darwin\ arm64)
        release=$(sw_vers -productVersion 2>/dev/null)
        case "${release%%.*}" in
            '' | *[!0-9]*) ;;
            *) if [ "${release%%.*}" -lt 15 ]; then
                lacks "macOS 15 or newer, which Envoy needs; this is $release" "update macOS: softwareupdate --list"
            fi ;;
        esac
        ;;
    *)
        lacks "a platform that Envoy runs on; this is $system on $machine" \
            "use Linux on x86_64 or aarch64 (on Windows: wsl --install), or macOS 15 on Apple silicon"
        ;;
esac

for program in git make; do
    has "$program" || lacks "$program" "$(get "$program" "$program" "$program" "install $program with your system's packages")"
done

python=
if [ -n "${PYTHON:-}" ]; then
    if recent "$PYTHON"; then
        python=$PYTHON
    else
        lacks "Python 3.11 or newer: PYTHON=$PYTHON is not one" "unset PYTHON, or let it name another"
    fi
else
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if has "$candidate" && recent "$candidate"; then
            python=$(command -v "$candidate")
            break
        fi
    done
    if [ -z "$python" ]; then
        if has python3; then found="python3 is $(python3 -V 2>&1)"; else found="there is no python3"; fi
        lacks "Python 3.11 or newer; $found" \
            "$(get 'python3.11 python3.11-venv' python3.12 python@3.12 'install Python 3.12')
    where the system has none that new: uv python install 3.12 && make PYTHON=\"\$(uv python find 3.12)\" install"
    fi
fi

if [ -n "$python" ]; then
    # Debian keeps the parts that make a virtual environment in a package of its own.
    if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
        # `python3-venv` belongs to the system's own python3 alone.
        case "$python" in */python3) package=python3-venv ;; *) package=python$version-venv ;; esac
        lacks "the venv and ensurepip modules of $python" \
            "$(get "$package" "python3" "python@3.12" "install a Python that has venv and ensurepip")"
    fi
    for module in sqlite3 ssl; do
        "$python" -c "import $module" >/dev/null 2>&1 || lacks "the $module module of $python" \
            "$(get "libsqlite3-0 libssl3" "sqlite-libs openssl-libs" "python@3.12" "build Python with $module")
    if you built this Python yourself: build it again where the headers of $module are installed, or set PYTHON"
    done
fi

if [ "$missing" != 0 ]; then
    printf '\nTidegate cannot be installed yet: get what is missing, then run make again.\n' >&2
    exit 1
fi
printf '%s\n' "$python"
