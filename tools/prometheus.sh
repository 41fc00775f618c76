#!/bin/sh
# Puts promtool and prometheus where the tests look for them: unpacked from Debian's package and not
# installed, since its installation would start a service. Called by `make test` and `make
# test-cluster`. Where that is not possible it says so and goes on: the tests that need one fail and
# name it.
set -eu
if command -v promtool >/dev/null 2>&1 && command -v prometheus >/dev/null 2>&1; then
    exit 0
fi
cache=${TRIMTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trimtab}
[ -d "$cache/prometheus" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
    echo "test: some tests will fail: put prometheus and promtool 2.42 or newer on the PATH" >&2
    exit 0
fi
mkdir -p "$cache"
unpacked=$(mktemp -d "$cache/prometheus.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
cd "$unpacked"
echo "test: unpacking Debian's package prometheus into $cache"
# Only root may ask for a newer list of packages.
[ "$(id -u)" != 0 ] || apt-get update -qq
if ! apt-get -qq -o APT::Sandbox::User=root download prometheus >/dev/null; then
    echo "test: some tests will fail: Debian's package prometheus cannot be downloaded" >&2
    exit 0
fi
dpkg-deb -x prometheus_*.deb package
mkdir programs
mv package/usr/bin/prometheus package/usr/bin/promtool programs
# Another run may have been faster, and its programs are the same.
mv -T programs "$cache/prometheus" 2>/dev/null || true
