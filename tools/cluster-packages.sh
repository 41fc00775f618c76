#!/bin/sh
# Installs Debian's packages that the test clusters need; called by `make test-cluster`. Where it may
# not install them it says so and goes on: the tests that need one fail and name it.
set -eu
missing=
for pair in containerd:containerd runc:runc nft:nftables conntrack:conntrack ip:iproute2 \
    debootstrap:debootstrap openssl:openssl buildah:buildah; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "test-cluster: some tests will fail: install Debian's packages$missing" >&2
    exit 0
fi
echo "test-cluster: installing$missing"
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
