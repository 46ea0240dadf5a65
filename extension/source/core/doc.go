// Package core reads evidence from osquery itself, over the extension socket
// that an osquery process serves: a buffered client, what the running osquery
// can see, and the sources built on its tables.
//
// There are two kinds of sources. Events reads a table that grows with time: one of
// osquery's event tables, an event log of Windows, the record of logins. Snapshots
// compares how things are with how they were: services, launchd's jobs, open
// sockets, patches, sessions. Each source is a description of its table (a feed or
// a snapshot) and how its rows become evidence; Sources puts together those that a
// platform has, and Plan decides which of them are read.
//
// The rules of that neighbourhood are kept here so that nobody else has to know
// them: an event table is never read without a constraint on time (that would
// move the cursor of whichever scheduled query is running), the tables that
// describe the schedule are never read at all (the scheduler holds their lock),
// and everything that arrives is bounded, since a socket is only as honest as
// whoever listens on it.
package core
