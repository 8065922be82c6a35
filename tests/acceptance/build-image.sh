#!/usr/bin/env bash
# Builds the image of the acceptance application (app/): a Debian root file system with
# redis, plus Python 3.6 and the application's packages copied from this machine. Nothing
# is pulled from an image registry. Usage: build-image.sh [TAG]
#
# The intermediate results stay in $USHER_ACCEPTANCE_CACHE, so that only the first run is
# slow. A run with unchanged inputs leaves the image alone.
set -euo pipefail
# What is copied into the image must be readable for its user.
umask 022

tag="${1:-usher-acceptance}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${USHER_ACCEPTANCE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/usher/acceptance}"
label="acceptance-of-usher"
debian_suite="bookworm"
debian_packages="redis-server"
image_prefix="/opt/python"

say() { echo "build-image: $*"; }
die() { echo "build-image: $*" >&2; exit 1; }

hash_of() { (cd "$here" && find "$@" -type f -not -name '*.pyc' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16); }

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null && return
    ((EUID == 0)) || die "$1 is missing, install it with: sudo apt-get install $2"
    say "installing $2, for the missing $1"
    apt-get install -qq --yes "$2" >/dev/null
}

# A command of its own in PATH comes first, then what pyenv holds: the pyenv shim of that
# name fails unless this version is the chosen one.
find_python() {
    local candidate
    for candidate in python3.6 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.6.*/bin/python3.6; do
        "$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null && return
    done
    die "Python 3.6 is missing, install it with: pyenv install 3.6.15"
}

build_base() {
    say "debian $debian_suite with $debian_packages"
    # A killed debootstrap may leave /proc mounted in there.
    rm -rf --one-file-system "$base.partial"
    if ! debootstrap --variant=minbase --include="$debian_packages" \
        "$debian_suite" "$base.partial" >"$cache/debootstrap.log" 2>&1; then
        die "debootstrap failed, see $cache/debootstrap.log"
    fi
    rm -rf "$base.partial"/var/{cache,lib}/apt "$base.partial"/usr/share/{doc,man,locale,info}
    mv "$base.partial" "$base"
}

# Copies the interpreter and its standard library, then lets the copy install the packages
# into itself.
build_python() {
    local source module stdlib prefix="$python.partial"
    source="$(find_python)"
    for module in ensurepip ssl zlib; do
        "$source" -c "import $module" 2>/dev/null ||
            die "$source lacks the module $module, which installing packages needs"
    done

    say "copying $source"
    rm -rf "$cache"/python-*
    mkdir -p "$prefix"/{bin,lib}
    stdlib="$("$source" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
    cp "$source" "$prefix/bin/python3.6"
    tar -C "${stdlib%/*}" -c --exclude='*.opt-[12].pyc' --exclude='config-3.6*' \
        --exclude='_tkinter*.so' --exclude='nis.*.so' \
        --exclude=python3.6/{site-packages,dist-packages,test,idlelib,lib2to3,tkinter,turtledemo} \
        python3.6 | tar -C "$prefix/lib" -x

    say "installing the python packages"
    # The pip that comes with Python 3.6 fails on PIP_NO_CACHE_DIR=1.
    local staged=(env -u PIP_NO_CACHE_DIR LD_LIBRARY_PATH="$prefix/lib" "$prefix/bin/python3.6" -m)
    if ! { "${staged[@]}" ensurepip &&
        "${staged[@]}" pip install --no-deps -r "$here/app/requirements.txt"; } >"$cache/pip.log" 2>&1; then
        die "installing the packages failed, see $cache/pip.log"
    fi
    sed -i "1s|^#!.*|#!$image_prefix/bin/python3.6|" "$prefix/bin/daphne"
    rm -rf "$prefix"/lib/python3.6/{ensurepip,site-packages/pip*}

    copy_libraries "$prefix"
    mv "$python.partial" "$python"
}

# Copies the shared libraries that the files below $1 load and that the base lacks.
copy_libraries() {
    local library
    find "$1" \( -name '*.so*' -o -name python3.6 \) -type f -print0 |
        LD_LIBRARY_PATH="$1/lib" xargs -0 ldd | awk '/=>/ { print ($3 == "not" ? $1 : $3) }' |
        sort -u | while read -r library; do
        [[ "$library" == "$1"/* || -e "$base$library" ]] && continue
        [[ -e "$library" ]] || die "the shared library $library, which Python needs, is missing"
        cp -L "$library" "$1/lib"
    done
}

import_image() {
    local image
    say "importing $tag"
    image="$(tar -c --exclude='app/*__pycache__' \
        --transform="flags=r;s|^app|srv/app|;s|^${python##*/}|${image_prefix#/}|" \
        -C "$base" . -C "${python%/*}" "${python##*/}" -C "$here" app |
        docker import \
            --change "ENV PATH=$image_prefix/bin:/usr/bin:/bin LD_LIBRARY_PATH=$image_prefix/lib" \
            --change "WORKDIR /srv/app" \
            --change "USER nobody" \
            --change "LABEL $label=$inputs" \
            -)"
    docker run --rm --network none "$image" python3.6 -c "import daphne.cli, echo_site.asgi"
    docker tag "$image" "$tag"
    docker image prune --force --filter "label=$label" >/dev/null
}

need docker docker.io
docker version >/dev/null 2>&1 || die "the docker daemon does not answer, or refuses this user"

inputs="$(hash_of app build-image.sh)"
if [[ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$tag" 2>/dev/null)" == "$inputs" ]]; then
    say "$tag is up to date"
    exit
fi

((EUID == 0)) || die "building a root file system needs root, run: sudo $0 $*"
need debootstrap debootstrap
mkdir -p "$cache"
base="$cache/$debian_suite-$debian_packages"
python="$cache/python-$(hash_of app/requirements.txt build-image.sh)"
[[ -d "$base" ]] || build_base
[[ -d "$python" ]] || build_python
import_image
say "$tag is built"
