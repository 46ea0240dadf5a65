package store

import "zombiezen.com/go/sqlite/sqlitemigration"

// appID marks the file as Rollcall's ("RLCL").
const appID = 0x524c434c

// schema holds one script a version; a script that was released is never edited.
var schema = sqlitemigration.Schema{
	AppID: appID,
	Migrations: []string{
		`CREATE TABLE meta (
			key   TEXT PRIMARY KEY,
			value TEXT NOT NULL
		) WITHOUT ROWID;
		CREATE TABLE cursors (
			source TEXT PRIMARY KEY,
			cursor TEXT NOT NULL
		) WITHOUT ROWID;
		CREATE TABLE events (
			id             INTEGER PRIMARY KEY,
			event_id       TEXT    NOT NULL UNIQUE,
			time           INTEGER NOT NULL,
			recorded       INTEGER NOT NULL,
			identity       INTEGER NOT NULL,
			score          INTEGER NOT NULL,
			severity       TEXT NOT NULL,
			scope          TEXT NOT NULL,
			family         TEXT NOT NULL,
			rule_ids       TEXT NOT NULL,
			reasons        TEXT NOT NULL,
			technique      TEXT NOT NULL,
			pid            INTEGER NOT NULL,
			path           TEXT NOT NULL,
			cmdline        TEXT NOT NULL,
			canonical      TEXT NOT NULL,
			parent         INTEGER NOT NULL,
			parent_path    TEXT NOT NULL,
			parent_cmdline TEXT NOT NULL,
			ancestry       TEXT NOT NULL,
			uid            TEXT NOT NULL,
			username       TEXT NOT NULL,
			login_user     TEXT NOT NULL,
			login_source   TEXT NOT NULL,
			logon_id       TEXT NOT NULL,
			elevated       TEXT NOT NULL,
			session        TEXT NOT NULL,
			container_id   TEXT NOT NULL,
			cwd            TEXT NOT NULL,
			remote_host    TEXT NOT NULL,
			attribution    TEXT NOT NULL,
			platform       TEXT NOT NULL,
			host           TEXT NOT NULL,
			source         TEXT NOT NULL,
			eid            TEXT NOT NULL
		);
		CREATE INDEX events_recorded ON events (recorded);
		CREATE INDEX events_time     ON events (time);
		CREATE INDEX events_identity ON events (identity, time);
		CREATE TABLE baselines (
			username     TEXT NOT NULL,
			family       TEXT NOT NULL,
			first_seen   INTEGER NOT NULL,
			last_seen    INTEGER NOT NULL,
			count        REAL    NOT NULL,
			days         REAL    NOT NULL,
			day          INTEGER NOT NULL,
			today        INTEGER NOT NULL,
			observations INTEGER NOT NULL,
			hours        BLOB    NOT NULL,
			PRIMARY KEY (username, family)
		) WITHOUT ROWID;
		CREATE TABLE rule_stats (
			rule_id    TEXT PRIMARY KEY,
			matches    INTEGER NOT NULL,
			last_match INTEGER NOT NULL
		) WITHOUT ROWID;
		CREATE TABLE health (
			component      TEXT PRIMARY KEY,
			state          TEXT NOT NULL,
			detail         TEXT NOT NULL,
			remedy         TEXT NOT NULL,
			last_event     INTEGER NOT NULL,
			checked        INTEGER NOT NULL,
			events_read    INTEGER NOT NULL,
			events_matched INTEGER NOT NULL,
			events_dropped INTEGER NOT NULL,
			gaps           INTEGER NOT NULL
		) WITHOUT ROWID;
		CREATE TABLE gaps (
			id        INTEGER PRIMARY KEY,
			source    TEXT NOT NULL,
			from_time INTEGER NOT NULL,
			to_time   INTEGER NOT NULL,
			reason    TEXT NOT NULL,
			recorded  INTEGER NOT NULL
		);`,
		`ALTER TABLE events ADD COLUMN burst_id TEXT NOT NULL DEFAULT '';
		CREATE TABLE installs (
			id          INTEGER PRIMARY KEY,
			install_id  TEXT    NOT NULL UNIQUE,
			time        INTEGER NOT NULL,
			recorded    INTEGER NOT NULL,
			identity    INTEGER NOT NULL,
			score       INTEGER NOT NULL,
			severity    TEXT NOT NULL,
			reasons     TEXT NOT NULL,
			attribution TEXT NOT NULL,
			basis       TEXT NOT NULL,
			incident_id TEXT NOT NULL,
			data        TEXT NOT NULL
		);
		CREATE INDEX installs_recorded ON installs (recorded);
		CREATE INDEX installs_time     ON installs (time);
		CREATE INDEX installs_identity ON installs (identity, time);
		CREATE TABLE bursts (
			id          INTEGER PRIMARY KEY,
			burst_id    TEXT    NOT NULL UNIQUE,
			start_time  INTEGER NOT NULL,
			end_time    INTEGER NOT NULL,
			recorded    INTEGER NOT NULL,
			updated     INTEGER NOT NULL,
			data        TEXT NOT NULL
		);
		CREATE INDEX bursts_end     ON bursts (end_time);
		CREATE INDEX bursts_updated ON bursts (updated);
		CREATE TABLE incidents (
			id          INTEGER PRIMARY KEY,
			incident_id TEXT    NOT NULL UNIQUE,
			opened      INTEGER NOT NULL,
			last_time   INTEGER NOT NULL,
			recorded    INTEGER NOT NULL,
			updated     INTEGER NOT NULL,
			status      TEXT NOT NULL,
			decision    TEXT NOT NULL,
			data        TEXT NOT NULL
		);
		CREATE INDEX incidents_updated  ON incidents (updated);
		CREATE INDEX incidents_recorded ON incidents (recorded);
		CREATE INDEX incidents_last     ON incidents (last_time);
		CREATE TABLE around (
			id   INTEGER PRIMARY KEY,
			kind TEXT    NOT NULL,
			time INTEGER NOT NULL,
			data TEXT    NOT NULL,
			UNIQUE (kind, time, data)
		);
		CREATE INDEX around_time ON around (time);
		CREATE TABLE destinations (
			address    TEXT PRIMARY KEY,
			first_seen INTEGER NOT NULL,
			last_seen  INTEGER NOT NULL,
			days       INTEGER NOT NULL
		) WITHOUT ROWID;`,
	},
}
