#!/bin/sh
# Builds what is shipped twice, in two places, the second time without anything that was
# built before, and compares.
set -eu
cd "$(dirname "$0")/../.."

dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
for at in "$dir/one" "$dir/another/place"; do
	mkdir -p "$at"
	cp -R go.mod go.sum extension tables packs "$at/"
	(
		cd "$at"
		[ "$at" = "$dir/one" ] || export GOCACHE="$dir/cache"
		for p in extension extension/cmd/rollcall; do
			CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "built/$p/program" \
				-ldflags '-s -w -buildid= -X github.com/osquery-rollcall/rollcall/extension/version.Number=1.2.3' "./$p"
		done
		cd built && sha256sum extension/program extension/cmd/rollcall/program >"$at.sums"
	)
done
if ! cmp -s "$dir/one.sums" "$dir/another/place.sums"; then
	echo 'two builds differ:'
	cat "$dir/one.sums" "$dir/another/place.sums"
	exit 1
fi
echo 'two builds in two places, one hash:'
cat "$dir/one.sums"
