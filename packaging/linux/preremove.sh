#!/bin/sh
# deb: remove; rpm: 0 when the last version goes. An upgrade leaves the entry alone.
set -e
${LOAD}
case "$1" in
remove | 0)
	remove_entry
	restart_osquery
	;;
esac
