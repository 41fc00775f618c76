#!/bin/sh
# Fills trimtab-data/datasets/fashion-mnist, which pvc://datasets/fashion-mnist means locally, from
# Debian's package dataset-fashion-mnist.
set -eu
cd "$(dirname "$0")/.."
source=/usr/share/datasets/fashion-mnist
target=trimtab-data/datasets/fashion-mnist

if [ ! -d "$source" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "data: install Debian's package dataset-fashion-mnist, or put the four IDX files of" \
            "Fashion-MNIST into $target" >&2
        exit 1
    fi
    apt-get update -qq
    apt-get install -y -qq dataset-fashion-mnist >/dev/null
fi
mkdir -p "$target"
cp "$source"/*-ubyte.gz "$target"
echo "data: $target holds $(find "$target" -name '*.gz' | wc -l) files"
