#!/bin/sh
# Runs the tests of every package that are for Windows too, and the programs that are
# shipped for Windows, under wine, in a prefix of its own. WINE_PACKAGES narrows it.
set -eu
cd "$(dirname "$0")/../.."

wine=
for w in wine64 /usr/lib/wine/wine64 wine; do
	if command -v "$w" >/dev/null 2>&1; then
		wine=$(command -v "$w")
		break
	fi
done
if [ -z "$wine" ]; then
	echo 'NOT TESTED: Windows: there is no wine64 here (Debian: apt-get install wine64 gcc-mingw-w64-x86-64)'
	exit 0
fi
cc=x86_64-w64-mingw32-gcc
if ! command -v "$cc" >/dev/null 2>&1; then
	echo "NOT TESTED: Windows: there is no $cc here (Debian: apt-get install gcc-mingw-w64-x86-64)"
	exit 0
fi

dir=$(mktemp -d)
export WINEPREFIX="$dir/prefix" WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe=' DISPLAY=
server=$(command -v wineserver || echo /usr/lib/wine/wineserver)
cleanup() {
	"$server" -k >/dev/null 2>&1 || true # of this prefix
	"$server" -w >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

if ! timeout 300 "$wine" wineboot -i >"$dir/boot" 2>&1 || [ ! -d "$WINEPREFIX/drive_c/windows/system32" ]; then
	echo 'NOT TESTED: Windows: wine cannot make a prefix here:'
	tail -n 5 "$dir/boot"
	exit 0
fi
"$cc" -O1 -Wall -Werror -shared -s -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" tests/wine/lib/bcryptprimitives.c

export GOOS=windows GOARCH=amd64 CGO_ENABLED=0
printf 'package main\n\nfunc main() { print("runs") }\n' >"$dir/hello.go"
go build -o "$dir/hello.exe" "$dir/hello.go"
if ! timeout 300 "$wine" "$dir/hello.exe" 2>&1 | grep -q runs; then
	echo 'NOT TESTED: Windows: the wine of this machine runs no program of Go'
	exit 0
fi
packages=${WINE_PACKAGES:-$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./extension/... ./tables/... ./packs/... ./packaging/... ./tests/wine)}
[ "${1:-}" = smoke ] && packages=$PWD/tests/wine
mkdir "$dir/programs"
make -s windows-programs OUT="$dir/programs"
ROLLCALL_PROGRAMS=$(printf 'Z:%s' "$dir/programs" | tr / '\\')
export ROLLCALL_PROGRAMS

failed=
for p in $packages; do
	name=${p#"$PWD"/}
	go test -c -o "$dir/test.exe" "$p"
	[ -f "$dir/test.exe" ] || continue
	if (cd "$p" && timeout 900 "$wine" "$dir/test.exe" -test.short -test.v -test.timeout 14m) >"$dir/out" 2>&1; then
		printf 'ok    %s: %s passed, %s not tested\n' "$name" "$(grep -c '^--- PASS' "$dir/out")" "$(grep -c '^ *--- SKIP' "$dir/out" || true)"
	else
		printf 'FAIL  %s\n' "$name"
		grep -B 20 -e '^ *--- FAIL' "$dir/out" | tail -n 200 || true # go tells of them in the middle of all others
		tail -n 40 "$dir/out"
		failed="$failed $name"
	fi
	rm -f "$dir/test.exe"
done
if [ -n "$failed" ]; then
	echo "make wine: failed:$failed"
	exit 1
fi
