#!/bin/sh
# deb: configure; rpm: 1 for an install, 2 for an upgrade.
set -e
${LOAD}
case "$1" in
configure | 1 | 2)
	add_entry
	restart_osquery
	;;
esac
