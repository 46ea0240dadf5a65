package fakecore

// schema is the part of osquery's that Rollcall asks about, with osquery's own
// names and types. A real core computes these; here tests put rows in.
const schema = `
CREATE TABLE process_events (
	pid BIGINT, path TEXT, mode TEXT, cmdline TEXT, cmdline_size BIGINT, env TEXT, env_count BIGINT, env_size BIGINT,
	cwd TEXT, auid BIGINT, uid BIGINT, euid BIGINT, gid BIGINT, egid BIGINT, owner_uid BIGINT, owner_gid BIGINT,
	atime BIGINT, mtime BIGINT, ctime BIGINT, btime BIGINT, overflows TEXT, parent BIGINT, time BIGINT, uptime BIGINT,
	eid TEXT, fsuid BIGINT, suid BIGINT, fsgid BIGINT, sgid BIGINT, syscall TEXT
);
CREATE INDEX process_events_time ON process_events (time);
CREATE TABLE osquery_registry (registry TEXT, name TEXT, owner_uuid INTEGER, internal INTEGER, active INTEGER);
CREATE TABLE osquery_events (
	name TEXT, publisher TEXT, type TEXT, subscriptions INTEGER, events INTEGER, refreshes INTEGER, active INTEGER
);
CREATE TABLE osquery_flags (
	name TEXT, type TEXT, description TEXT, default_value TEXT, value TEXT, shell_only INTEGER
);
CREATE TABLE osquery_info (
	pid INTEGER, uuid TEXT, instance_id TEXT, version TEXT, config_hash TEXT, config_valid INTEGER, extensions TEXT,
	build_platform TEXT, build_distro TEXT, start_time INTEGER, watcher INTEGER, platform_mask INTEGER
);
CREATE TABLE users (
	uid BIGINT, gid BIGINT, uid_signed BIGINT, gid_signed BIGINT, username TEXT, description TEXT, directory TEXT,
	shell TEXT, uuid TEXT
);
CREATE TABLE processes (
	pid BIGINT, name TEXT, path TEXT, cmdline TEXT, state TEXT, cwd TEXT, root TEXT, uid BIGINT, gid BIGINT,
	euid BIGINT, egid BIGINT, suid BIGINT, sgid BIGINT, on_disk INTEGER, parent BIGINT, start_time BIGINT
);
INSERT INTO osquery_registry VALUES
	('table', 'process_events', 0, 0, 1), ('table', 'processes', 0, 0, 1), ('table', 'users', 0, 0, 1),
	('table', 'osquery_info', 0, 0, 1), ('table', 'osquery_flags', 0, 0, 1), ('table', 'osquery_events', 0, 0, 1),
	('table', 'osquery_registry', 0, 0, 1), ('event_publisher', 'auditeventpublisher', 0, 0, 1),
	('event_subscriber', 'process_events', 0, 0, 1);
INSERT INTO osquery_events VALUES
	('auditeventpublisher', 'auditeventpublisher', 'publisher', 1, 0, 0, 1),
	('process_events', 'auditeventpublisher', 'subscriber', 1, 0, 0, 1);
INSERT INTO osquery_flags VALUES
	('disable_events', 'bool', '', 'false', 'false', 0),
	('disable_audit', 'bool', '', 'true', 'false', 0),
	('audit_allow_config', 'bool', '', 'false', 'true', 0),
	('audit_allow_process_events', 'bool', '', 'true', 'true', 0),
	('audit_allow_fork_process_events', 'bool', '', 'false', 'false', 0),
	('events_expiry', 'uint64', '', '3600', '3600', 0),
	('events_max', 'uint64', '', '50000', '50000', 0);
INSERT INTO osquery_info (pid, version, build_platform, config_valid) VALUES (1, '5.23.0', 'linux', 1);
INSERT INTO users (uid, gid, username, directory, shell) VALUES
	(0, 0, 'root', '/root', '/bin/bash'), (1000, 1000, 'alex', '/home/alex', '/bin/bash');
`
