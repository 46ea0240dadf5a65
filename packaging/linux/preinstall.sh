#!/bin/sh
# An older Rollcall cannot read a newer one's state. rpm refuses downgrades itself.
set -e
if [ "$1" = upgrade ] && dpkg --compare-versions "$2" gt '${DEBVERSION}'; then
	echo "rollcall: $2 is installed, and ${DEBVERSION} is older: it may not be able to read the state." >&2
	echo "rollcall: to go back, purge the package first (its state goes with it)." >&2
	exit 1
fi
