#!/bin/sh
# deb: purge takes the state; dpkg takes the configuration. The user's own rules stay.
set -e
${LOAD}
if [ "$1" = purge ]; then
	remove_entry
	rm -rf /var/lib/rollcall
	rmdir /etc/rollcall/rules.d /etc/rollcall 2>/dev/null || true
fi
